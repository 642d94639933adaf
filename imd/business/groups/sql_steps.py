"""Steps of which every transaction on a group is made.

Each transaction locks the group's row first, then the rows of the people it brings in, by id. What is read after that
is what counts: whoever wants to change the same group, or to bring the same people into another one, waits. Always in
this order, so that nobody waits for one who waits for them. Whatever else belongs to a group (members, blacklist,
admissions, departures) is only changed under the lock on its row and needs none of its own; but for what members want for themselves, which
touches nothing but their own row and locks nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from imd.business.accounts.model import ACTIVE
from imd.business.announced import of_membership
from imd.business.groups.joining import ApplicationState
from imd.business.groups.model import (
    MEMBER,
    OPERATOR,
    OWNER,
    UNKNOWN,
    Announcement,
    Group,
    Rules,
    Standing,
)
from imd.business.groups.sql_past import restore_mutes, write_departures
from imd.business.relations.model import NOT_ACCEPTED, Audience
from imd.business.sql_announced import remember
from imd.business.tables.groups import group_admissions, group_blacklist, group_conversations, group_members
from imd.business.tables.people import blocks, friends, users
from imd.kernel.errors import Forbidden, PayloadInvalid, ServerBusy
from imd.storage.sql import ROWS_PER_STATEMENT

_NO_SUCH_USER = "one of these users does not exist"
_THEY_DO_NOT = "one of these users does not accept this"

_GROUP_COLUMNS = (
    group_conversations.c.id,
    group_conversations.c.title.label("group_title"),
    group_conversations.c.version,
    group_conversations.c.member_count,
    group_conversations.c.created_at_ms,
    group_conversations.c.kind,
    group_conversations.c.sensitive,
    group_conversations.c.join_policy,
    group_conversations.c.question,
    group_conversations.c.answer_hash,
    group_conversations.c.members_invite,
    group_conversations.c.consent,
    group_conversations.c.history_from_join,
    group_conversations.c.announcement,
    group_conversations.c.announced_by,
    group_conversations.c.announced_at_ms,
    group_conversations.c.all_muted_until_ms,
    group_conversations.c.all_muted_at_ms,
)


def groups_with(*columns: Any) -> Select[Any]:
    """What ``group_of`` reads, and these columns behind."""
    return select(*_GROUP_COLUMNS, *columns)


def group_of(row: Row[Any]) -> Group:
    """The group in a row of ``groups_with``."""
    return Group(
        row.id,
        row.group_title,
        row.version,
        row.member_count,
        row.created_at_ms,
        row.kind,
        bool(row.sensitive),
        Rules(
            row.join_policy,
            row.question,
            row.answer_hash,
            bool(row.members_invite),
            bool(row.consent),
            bool(row.history_from_join),
        ),
        Announcement(row.announcement, row.announced_by, row.announced_at_ms),
        row.all_muted_until_ms,
        row.all_muted_at_ms,
    )


# Put together once: building a statement costs more than running it.
_STANDING = (
    groups_with(group_members.c.role)
    .join_from(group_conversations, group_members)
    .where(group_conversations.c.id == bindparam("group"), group_members.c.user_id == bindparam("user"))
)
_GROUP = groups_with().where(
    group_conversations.c.id == bindparam("group"), group_conversations.c.dissolved_at_ms == 0
)
_LOCK_GROUP = (
    select(group_conversations.c.id).where(group_conversations.c.id == bindparam("group")).with_for_update()
)
_SOME: Any = bindparam("some", expanding=True)
_LOCK_ACTIVE = (
    select(users.c.id)
    .where(users.c.id.in_(_SOME), users.c.status == ACTIVE)
    .order_by(users.c.id)
    .with_for_update()
)
_IN_TOO_MANY = (
    select(group_members.c.user_id)
    .where(group_members.c.user_id.in_(_SOME))
    .group_by(group_members.c.user_id)
    .having(func.count() >= bindparam("most"))
    .limit(1)
)
_BARRED = (
    select(group_blacklist.c.user_id)
    .where(group_blacklist.c.group_id == bindparam("group"), group_blacklist.c.user_id.in_(_SOME))
    .limit(1)
)
_BLOCKS_ACTOR = exists().where(blocks.c.user_id == users.c.id, blocks.c.blocked_id == bindparam("actor"))
_IS_ACTORS_FRIEND = exists().where(
    friends.c.user_id == users.c.id, friends.c.friend_id == bindparam("actor"), friends.c.ended_at_ms == 0
)
# As ``relations.model.may_write`` has it.
_NOT_ACCEPTING = (
    select(users.c.id)
    .where(
        users.c.id.in_(_SOME),
        users.c.id != bindparam("actor"),
        or_(
            _BLOCKS_ACTOR,
            users.c.message_from > Audience.FRIENDS,
            and_(users.c.message_from == Audience.FRIENDS, ~_IS_ACTORS_FRIEND),
        ),
    )
    .limit(1)
)
_ROLES_OF = select(group_members.c.user_id, group_members.c.role).where(
    group_members.c.group_id == bindparam("group"), group_members.c.user_id.in_(_SOME)
)
_BUMP = (
    update(group_conversations)
    .where(group_conversations.c.id == bindparam("group"))
    .values(version=bindparam("new_version"), member_count=bindparam("new_count"))
)
_END = (
    update(group_conversations)
    .where(group_conversations.c.id == bindparam("group"))
    .values(dissolved_at_ms=bindparam("now_ms"))
)
_MEMBER_IDS = select(group_members.c.user_id).where(group_members.c.group_id == bindparam("group"))
_DROP_SOME = delete(group_members).where(
    group_members.c.group_id == bindparam("group"), group_members.c.user_id.in_(_SOME)
)
_ADD_MEMBERS = insert(group_members)
# Whatever was open is answered by their being in; PENDING and APPROVED, ACCEPTED are the same for both kinds.
_SETTLE_ADMISSIONS = (
    update(group_admissions)
    .where(
        group_admissions.c.group_id == bindparam("group"),
        group_admissions.c.user_id.in_(_SOME),
        group_admissions.c.state == ApplicationState.PENDING,
    )
    .values(state=ApplicationState.APPROVED, decided_at_ms=bindparam("now_ms"))
)


def batches(items: Sequence[int]) -> Iterator[Sequence[int]]:
    """The items in such numbers as one statement takes."""
    for start in range(0, len(items), ROWS_PER_STATEMENT):
        yield items[start : start + ROWS_PER_STATEMENT]


def read_standing(connection: Connection, conversation_id: str, user_id: int) -> Standing | None:
    """A living group and the role of one of its members; the operator stands everywhere where the owner does."""
    if user_id == OPERATOR:
        group = read_group(connection, conversation_id)
        return None if group is None else Standing(group, OWNER)
    row = connection.execute(_STANDING, {"group": conversation_id, "user": user_id}).first()
    return None if row is None else Standing(group_of(row), row.role)


def read_group(connection: Connection, conversation_id: str) -> Group | None:
    """A living group, whoever asks."""
    row = connection.execute(_GROUP, {"group": conversation_id}).first()
    return None if row is None else group_of(row)


def standing_of(connection: Connection, conversation_id: str, user_id: int) -> Standing:
    """See ``read_standing``; Forbidden if it is not theirs."""
    standing = read_standing(connection, conversation_id, user_id)
    if standing is None:
        raise Forbidden(UNKNOWN)
    return standing


def is_active(connection: Connection, user_id: int) -> bool:
    """Whether the account may be used, and goes on so until this transaction is over."""
    return connection.execute(_LOCK_ACTIVE, {"some": [user_id]}).first() is not None


def lock(connection: Connection, conversation_id: str, actor_id: int) -> Standing:
    """The group as the actor stands in it, nobody else's to change from here on; Forbidden if it is not theirs."""
    # A join would lock the actor's own row as well, before or after the group's as the optimizer likes.
    connection.execute(_LOCK_GROUP, {"group": conversation_id}).first()
    return standing_of(connection, conversation_id, actor_id)


def lock_group(connection: Connection, conversation_id: str) -> Group:
    """The group, for somebody who is not in it; Forbidden if there is none."""
    connection.execute(_LOCK_GROUP, {"group": conversation_id}).first()
    group = read_group(connection, conversation_id)
    if group is None:
        raise Forbidden(UNKNOWN)
    return group


def roles_of(connection: Connection, conversation_id: str, user_ids: Sequence[int]) -> list[tuple[int, int]]:
    """(user id, role) of those of them that are in it."""
    found: list[tuple[int, int]] = []
    for some in batches(list(user_ids)):
        rows = connection.execute(_ROLES_OF, {"group": conversation_id, "some": some})
        found += [(row.user_id, row.role) for row in rows]
    return found


def is_barred(connection: Connection, conversation_id: str, user_ids: Sequence[int]) -> bool:
    """Whether one of them is kept out."""
    return any(
        connection.execute(_BARRED, {"group": conversation_id, "some": some}).first() is not None
        for some in batches(list(user_ids))
    )


def bump(
    connection: Connection,
    group: Group,
    *,
    removed_ids: Sequence[int] = (),
    reason: str = "",
    restricted_ids: Sequence[int] = (),
) -> Group:
    """The group with its member count written down, its next version, and what the other roles are told of that."""
    bumped = group._replace(version=group.version + 1)
    values = {
        "group": group.conversation_id,
        "new_version": bumped.version,
        "new_count": bumped.member_count,
    }
    connection.execute(_BUMP, values)
    told = of_membership(
        bumped.conversation_id,
        bumped.version,
        removed_ids=removed_ids,
        reason=reason,
        restricted_ids=restricted_ids,
    )
    remember(connection, [told])
    return bumped


class Admitting:
    """Who may be brought into groups, and how many fit."""

    def __init__(self, *, max_members: int, groups_per_user: int) -> None:
        self._max_members = max_members
        self._groups_per_user = groups_per_user

    def check_size(self, member_count: int) -> None:
        """Forbidden if a group cannot have so many."""
        if member_count > self._max_members:
            raise Forbidden(f"a group has at most {self._max_members} members", reason="full")

    def lock_users(
        self, connection: Connection, user_ids: Sequence[int], *, field: str, actor_id: int = OPERATOR
    ) -> None:
        """All of them may come in, and nobody else can put them into a group until this is done.

        Whoever does not take messages of the actor is not brought in by them either, nor asked to come: it would be
        a way around that. Whether it is a block or a wish for peace is not told.
        """
        known = 0
        for some in batches(sorted(user_ids)):
            known += len(connection.execute(_LOCK_ACTIVE, {"some": some}).all())
            joined = {"some": some, "most": self._groups_per_user}
            if connection.execute(_IN_TOO_MANY, joined).first() is not None:
                raise Forbidden(
                    f"one of these users is in {self._groups_per_user} groups already",
                    field=field,
                    reason="full",
                )
            asked = {"actor": actor_id, "some": some}
            if actor_id and connection.execute(_NOT_ACCEPTING, asked).first() is not None:
                raise Forbidden(_THEY_DO_NOT, field=field, reason=NOT_ACCEPTED)
        if known != len(user_ids):
            raise PayloadInvalid(_NO_SUCH_USER, field=field)

    def let_in(
        self,
        connection: Connection,
        group: Group,
        user_ids: Sequence[int],
        *,
        now_ms: int,
        visible_from: int,
    ) -> tuple[Group, Sequence[int]]:
        """The group with them in it, whose rows are locked and who are not in it; and who of them is still mute."""
        self.check_size(group.member_count + len(user_ids))
        if group.rules.history_from_join and not visible_from:
            # The rule came after the caller had looked, and they do not know how far the conversation has come.
            raise ServerBusy("the group has just changed", retry_after_ms=100)
        if not group.rules.history_from_join:
            visible_from = 0
        rows = member_rows(group.conversation_id, user_ids, MEMBER, now_ms, visible_from)
        muted = restore_mutes(connection, group.conversation_id, rows, now_ms)
        connection.execute(_ADD_MEMBERS, rows)
        for some in batches(list(user_ids)):
            settled = {"group": group.conversation_id, "some": some, "now_ms": now_ms}
            connection.execute(_SETTLE_ADMISSIONS, settled)
        grown = group._replace(member_count=group.member_count + len(user_ids))
        return bump(connection, grown, restricted_ids=muted), muted


def member_rows(
    conversation_id: str, user_ids: Sequence[int], role: int, now_ms: int, visible_from: int = 0
) -> list[dict[str, Any]]:
    """Rows for people who come in now."""
    return [
        {
            "group_id": conversation_id,
            "user_id": user_id,
            "role": role,
            "joined_at_ms": now_ms,
            "visible_from_seq": visible_from,
            "muted_until_ms": 0,
            "muted_at_ms": 0,
        }
        for user_id in user_ids
    ]


def drop(
    connection: Connection, group: Group, user_ids: Sequence[int], now_ms: int, *, reason: str = "kicked"
) -> Group:
    """The group without these members."""
    for some in batches(user_ids):
        write_departures(connection, group.conversation_id, some, now_ms)
        connection.execute(_DROP_SOME, {"group": group.conversation_id, "some": some})
    shrunk = group._replace(member_count=group.member_count - len(user_ids))
    return bump(connection, shrunk, removed_ids=user_ids, reason=reason)


def dissolve(connection: Connection, group: Group, now_ms: int) -> tuple[Group, Sequence[int]]:
    """The group as it ends, and who was in it."""
    member_ids = connection.execute(_MEMBER_IDS, {"group": group.conversation_id}).scalars().all()
    ended = drop(connection, group, member_ids, now_ms, reason="dissolved")
    connection.execute(_END, {"group": group.conversation_id, "now_ms": now_ms})
    return ended, member_ids
