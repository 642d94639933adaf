"""Changes of groups in SQL: each is one transaction that locks the group's row first, then people's, by id.

What is read after that is what counts: whoever wants to change the same group, or to bring the same people
into another one, waits. Always in this order, so that nobody waits for one who waits for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from imd.business.accounts.model import ACTIVE
from imd.business.groups.model import (
    ADMIN,
    MEMBER,
    OWNER,
    UNKNOWN,
    Change,
    Group,
    Standing,
    may_leave,
    may_manage,
    may_own,
    may_remove,
)
from imd.business.groups.ports import Groups
from imd.business.tables.groups import group_conversations, group_members
from imd.business.tables.people import users
from imd.kernel.errors import Forbidden, PayloadInvalid
from imd.storage.sql import ROWS_PER_STATEMENT, Database

_NO_SUCH_USER = "one of these users does not exist"

# Put together once: building a statement costs more than running it.
_ADD_GROUP, _ADD_MEMBERS = insert(group_conversations), insert(group_members)
_STANDING = (
    select(
        group_conversations.c.id,
        group_conversations.c.title,
        group_conversations.c.version,
        group_conversations.c.member_count,
        group_conversations.c.created_at_ms,
        group_members.c.role,
    )
    .join_from(group_conversations, group_members)
    .where(group_conversations.c.id == bindparam("group"), group_members.c.user_id == bindparam("user"))
)
_LOCK_GROUP = (
    select(group_conversations.c.id).where(group_conversations.c.id == bindparam("group")).with_for_update()
)
_LOCK_ACTIVE = (
    select(users.c.id)
    .where(users.c.id.in_(bindparam("some", expanding=True)), users.c.status == ACTIVE)
    .order_by(users.c.id)
    .with_for_update()
)
_IN_TOO_MANY = (
    select(group_members.c.user_id)
    .where(group_members.c.user_id.in_(bindparam("some", expanding=True)))
    .group_by(group_members.c.user_id)
    .having(func.count() >= bindparam("most"))
    .limit(1)
)
_ROLES_OF = select(group_members.c.user_id, group_members.c.role).where(
    group_members.c.group_id == bindparam("group"),
    group_members.c.user_id.in_(bindparam("some", expanding=True)),
)
_BUMP = (
    update(group_conversations)
    .where(group_conversations.c.id == bindparam("group"))
    .values(
        title=bindparam("new_title"), version=bindparam("new_version"), member_count=bindparam("new_count")
    )
)
_END = (
    update(group_conversations)
    .where(group_conversations.c.id == bindparam("group"))
    .values(dissolved_at_ms=bindparam("now_ms"))
)
_DROP_SOME = delete(group_members).where(
    group_members.c.group_id == bindparam("group"),
    group_members.c.user_id.in_(bindparam("some", expanding=True)),
)
_MEMBER_IDS = select(group_members.c.user_id).where(group_members.c.group_id == bindparam("group"))
_DROP_ALL = delete(group_members).where(group_members.c.group_id == bindparam("group"))
_SET_ROLE = (
    update(group_members)
    .where(group_members.c.group_id == bindparam("group"), group_members.c.user_id == bindparam("user"))
    .values(role=bindparam("new_role"))
)


class SqlGroups:
    """See ``Groups``."""

    def __init__(self, database: Database, *, max_members: int, groups_per_user: int) -> None:
        self._database = database
        self._max_members = max_members
        self._groups_per_user = groups_per_user

    async def create(self, group: Group, owner_id: int, member_ids: Sequence[int]) -> Change:
        others = sorted(set(member_ids) - {owner_id})

        def work(connection: Connection) -> Change:
            self._check_size(len(others) + 1)
            self._lock_users(connection, [owner_id, *others], field="memberIds")
            made = group._replace(version=1, member_count=len(others) + 1)
            row = {
                "id": made.conversation_id,
                "title": made.title,
                "version": made.version,
                "member_count": made.member_count,
                "created_at_ms": made.created_at_ms,
                "dissolved_at_ms": 0,
            }
            connection.execute(_ADD_GROUP, row)
            rows = _rows(made.conversation_id, others, MEMBER, made.created_at_ms)
            rows += _rows(made.conversation_id, [owner_id], OWNER, made.created_at_ms)
            connection.execute(_ADD_MEMBERS, rows)
            return Change(made, others)

        return await self._database.write(work)

    async def rename(self, conversation_id: str, actor_id: int, title: str) -> Change:
        def work(connection: Connection) -> Change:
            group, role = _lock(connection, conversation_id, actor_id)
            may_manage(role)
            if group.title == title:
                return Change(group)
            return Change(_bump(connection, group._replace(title=title)), [actor_id])

        return await self._database.write(work)

    async def add(self, conversation_id: str, actor_id: int, user_ids: Sequence[int], now_ms: int) -> Change:
        def work(connection: Connection) -> Change:
            group, role = _lock(connection, conversation_id, actor_id)
            may_manage(role)
            present = {user_id for user_id, _ in _roles_of(connection, conversation_id, user_ids)}
            new = sorted(set(user_ids) - present)
            if not new:
                return Change(group)
            self._check_size(group.member_count + len(new))
            self._lock_users(connection, new, field="userIds")
            connection.execute(_ADD_MEMBERS, _rows(conversation_id, new, MEMBER, now_ms))
            grown = group._replace(member_count=group.member_count + len(new))
            return Change(_bump(connection, grown), new)

        return await self._database.write(work)

    async def remove(self, conversation_id: str, actor_id: int, user_ids: Sequence[int]) -> Change:
        def work(connection: Connection) -> Change:
            group, role = _lock(connection, conversation_id, actor_id)
            present = _roles_of(connection, conversation_id, user_ids)
            may_remove(role, [their for _, their in present])
            gone = sorted(user_id for user_id, _ in present)
            if not gone:
                return Change(group)
            return Change(_drop(connection, group, gone), gone)

        return await self._database.write(work)

    async def leave(self, conversation_id: str, actor_id: int, now_ms: int) -> Change:
        def work(connection: Connection) -> Change:
            group, role = _lock(connection, conversation_id, actor_id)
            may_leave(role, group.member_count)
            if group.member_count == 1:
                return Change(_dissolve(connection, group, now_ms), [actor_id])
            return Change(_drop(connection, group, [actor_id]), [actor_id])

        return await self._database.write(work)

    async def set_role(self, conversation_id: str, actor_id: int, user_id: int, role: int) -> Change:
        def work(connection: Connection) -> Change:
            group, own = _lock(connection, conversation_id, actor_id)
            may_own(own)
            present = _roles_of(connection, conversation_id, [user_id])
            if not present:
                raise Forbidden("this user is not in the group", field="userId")
            if user_id == actor_id:
                raise Forbidden("the owner stays owner until the group is transferred", field="userId")
            if present[0][1] == role:
                return Change(group)
            _set_role(connection, conversation_id, user_id, role)
            return Change(_bump(connection, group), [user_id])

        return await self._database.write(work)

    async def transfer(self, conversation_id: str, actor_id: int, user_id: int) -> Change:
        def work(connection: Connection) -> Change:
            group, own = _lock(connection, conversation_id, actor_id)
            may_own(own)
            if not _roles_of(connection, conversation_id, [user_id]):
                raise Forbidden("this user is not in the group", field="userId")
            if user_id == actor_id:
                return Change(group)
            _set_role(connection, conversation_id, actor_id, ADMIN)
            _set_role(connection, conversation_id, user_id, OWNER)
            return Change(_bump(connection, group), [user_id])

        return await self._database.write(work)

    async def dissolve(self, conversation_id: str, actor_id: int, now_ms: int) -> Change:
        def work(connection: Connection) -> Change:
            group, role = _lock(connection, conversation_id, actor_id)
            may_own(role)
            member_ids = connection.execute(_MEMBER_IDS, {"group": conversation_id}).scalars().all()
            return Change(_dissolve(connection, group, now_ms), member_ids)

        return await self._database.write(work)

    def _check_size(self, member_count: int) -> None:
        if member_count > self._max_members:
            raise Forbidden(f"a group has at most {self._max_members} members")

    def _lock_users(self, connection: Connection, user_ids: Sequence[int], *, field: str) -> None:
        """All of them may come in, and nobody else can put them into a group until this is done."""
        known = 0
        for some in _batches(sorted(user_ids)):
            known += len(connection.execute(_LOCK_ACTIVE, {"some": some}).all())
            joined = {"some": some, "most": self._groups_per_user}
            if connection.execute(_IN_TOO_MANY, joined).first() is not None:
                raise Forbidden(
                    f"one of these users is in {self._groups_per_user} groups already", field=field
                )
        if known != len(user_ids):
            raise PayloadInvalid(_NO_SUCH_USER, field=field)


def _batches(items: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(items), ROWS_PER_STATEMENT):
        yield items[start : start + ROWS_PER_STATEMENT]


def _rows(conversation_id: str, user_ids: Sequence[int], role: int, now_ms: int) -> list[dict[str, Any]]:
    return [
        {"group_id": conversation_id, "user_id": user_id, "role": role, "joined_at_ms": now_ms}
        for user_id in user_ids
    ]


def read_standing(connection: Connection, conversation_id: str, user_id: int) -> Standing | None:
    """A living group and the role of one of its members."""
    row = connection.execute(_STANDING, {"group": conversation_id, "user": user_id}).first()
    return None if row is None else Standing(Group(*row[:5]), row.role)


def _lock(connection: Connection, conversation_id: str, actor_id: int) -> Standing:
    # A join would lock the actor's own row as well, before or after the group's as the optimizer likes.
    connection.execute(_LOCK_GROUP, {"group": conversation_id}).first()
    standing = read_standing(connection, conversation_id, actor_id)
    if standing is None:
        raise Forbidden(UNKNOWN)
    return standing


def _roles_of(connection: Connection, conversation_id: str, user_ids: Sequence[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for some in _batches(list(user_ids)):
        rows = connection.execute(_ROLES_OF, {"group": conversation_id, "some": some})
        found += [(row.user_id, row.role) for row in rows]
    return found


def _bump(connection: Connection, group: Group) -> Group:
    bumped = group._replace(version=group.version + 1)
    values = {
        "group": group.conversation_id,
        "new_title": bumped.title,
        "new_version": bumped.version,
        "new_count": bumped.member_count,
    }
    connection.execute(_BUMP, values)
    return bumped


def _drop(connection: Connection, group: Group, user_ids: Sequence[int]) -> Group:
    for some in _batches(user_ids):
        connection.execute(_DROP_SOME, {"group": group.conversation_id, "some": some})
    return _bump(connection, group._replace(member_count=group.member_count - len(user_ids)))


def _dissolve(connection: Connection, group: Group, now_ms: int) -> Group:
    connection.execute(_DROP_ALL, {"group": group.conversation_id})
    connection.execute(_END, {"group": group.conversation_id, "now_ms": now_ms})
    return _bump(connection, group._replace(member_count=0))


def _set_role(connection: Connection, conversation_id: str, user_id: int, role: int) -> None:
    connection.execute(_SET_ROLE, {"group": conversation_id, "user": user_id, "new_role": role})


_: type[Groups] = SqlGroups
