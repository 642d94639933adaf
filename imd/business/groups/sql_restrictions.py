"""Who is mute in a group and who is kept out of it, in SQL; see ``sql_steps`` for the locks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from imd.business.groups.joining import ApplicationState
from imd.business.groups.model import MAX_BLACKLIST, MEMBER, Barred, Change
from imd.business.groups.ports import Restrictions
from imd.business.groups.sql_past import EVERYBODY, write_past_mutes
from imd.business.groups.sql_steps import bump, drop, lock, roles_of, standing_of
from imd.business.permission.rights import Right, require, require_above
from imd.business.tables.groups import group_admissions, group_blacklist, group_conversations, group_members
from imd.business.tables.people import users
from imd.kernel.errors import Forbidden, PayloadInvalid
from imd.storage.sql import Database

_NOT_IN = "one of these users is not in the group"

_SOME: Any = bindparam("some", expanding=True)
_MUTES_OF = select(
    group_members.c.user_id,
    group_members.c.role,
    group_members.c.muted_at_ms,
    group_members.c.muted_until_ms,
).where(group_members.c.group_id == bindparam("group"), group_members.c.user_id.in_(_SOME))
# One row at a time: each goes on since it began.
_MUTE = (
    update(group_members)
    .where(group_members.c.group_id == bindparam("group"), group_members.c.user_id == bindparam("user"))
    .values(muted_at_ms=bindparam("since"), muted_until_ms=bindparam("until"))
)
_MUTE_ALL = (
    update(group_conversations)
    .where(group_conversations.c.id == bindparam("group"))
    .values(all_muted_at_ms=bindparam("since"), all_muted_until_ms=bindparam("until"))
)
_KNOWN = select(func.count()).select_from(users).where(users.c.id.in_(_SOME))
_SETTLE_ADMISSIONS = (
    update(group_admissions)
    .where(
        group_admissions.c.group_id == bindparam("group"),
        group_admissions.c.user_id.in_(_SOME),
        # PENDING and REFUSED are the same for both kinds.
        group_admissions.c.state == ApplicationState.PENDING,
    )
    .values(state=ApplicationState.REFUSED, decided_at_ms=bindparam("now_ms"))
)
_BAR = insert(group_blacklist)
_UNBAR = delete(group_blacklist).where(
    group_blacklist.c.group_id == bindparam("group"), group_blacklist.c.user_id == bindparam("user")
)
_BARRED_OF = select(group_blacklist.c.user_id).where(
    group_blacklist.c.group_id == bindparam("group"), group_blacklist.c.user_id.in_(_SOME)
)
_BARRED_COUNT = (
    select(func.count()).select_from(group_blacklist).where(group_blacklist.c.group_id == bindparam("group"))
)
_BARRED_PAGE = (
    select(
        group_blacklist.c.user_id,
        group_blacklist.c.by_user,
        group_blacklist.c.reason,
        group_blacklist.c.created_at_ms,
    )
    .where(group_blacklist.c.group_id == bindparam("group"), group_blacklist.c.user_id > bindparam("after"))
    .order_by(group_blacklist.c.user_id)
    .limit(bindparam("most"))
)


class _Mute(NamedTuple):
    """Of one member, or of all: since when and until when; over, or none at all, if that is not in the future."""

    user_id: int
    role: int
    since_ms: int
    until_ms: int

    def becomes(self, until_ms: int, now_ms: int) -> _Mute:
        """The same with a new end: one that goes on goes on since it began."""
        if until_ms <= now_ms:
            return self._replace(since_ms=0, until_ms=0)
        return self._replace(since_ms=self.since_ms if self.until_ms > now_ms else now_ms, until_ms=until_ms)


class SqlRestrictions:
    """See ``Restrictions``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def mute(
        self, conversation_id: str, actor_id: int, user_ids: Sequence[int], until_ms: int, now_ms: int
    ) -> Change:
        def work(connection: Connection) -> Change:
            standing = lock(connection, conversation_id, actor_id)
            require(standing, Right.MUTE)
            rows = connection.execute(_MUTES_OF, {"group": conversation_id, "some": list(user_ids)})
            mutes = [_Mute(*row) for row in rows]
            require_above(standing.role, [mute.role for mute in mutes])
            if {mute.user_id for mute in mutes} != set(user_ids):
                raise Forbidden(_NOT_IN, field="userIds", reason="not_member")
            changed = [mute for mute in mutes if max(mute.until_ms, now_ms) != max(until_ms, now_ms)]
            if not changed:
                return Change(standing.group)
            after = [mute.becomes(until_ms, now_ms) for mute in changed]
            _write_ended(connection, conversation_id, changed, after, now_ms)
            connection.execute(
                _MUTE,
                [
                    {
                        "group": conversation_id,
                        "user": one.user_id,
                        "since": one.since_ms,
                        "until": one.until_ms,
                    }
                    for one in after
                ],
            )
            touched = sorted(mute.user_id for mute in after)
            restricted = touched if until_ms > now_ms else ()
            bumped = bump(connection, standing.group, restricted_ids=restricted)
            return Change(bumped, touched, restricted)

        return await self._database.write(work)

    async def mute_all(self, conversation_id: str, actor_id: int, until_ms: int, now_ms: int) -> Change:
        def work(connection: Connection) -> Change:
            standing = lock(connection, conversation_id, actor_id)
            require(standing, Right.MUTE)
            group = standing.group
            mute = _Mute(EVERYBODY, MEMBER, group.all_muted_at_ms, group.all_muted_until_ms)
            if max(mute.until_ms, now_ms) == max(until_ms, now_ms):
                return Change(group)
            after = mute.becomes(until_ms, now_ms)
            _write_ended(connection, conversation_id, [mute], [after], now_ms)
            values = {"group": conversation_id, "since": after.since_ms, "until": after.until_ms}
            connection.execute(_MUTE_ALL, values)
            group = group._replace(all_muted_at_ms=after.since_ms, all_muted_until_ms=after.until_ms)
            restricted = [EVERYBODY] if until_ms > now_ms else ()
            bumped = bump(connection, group, restricted_ids=restricted)
            return Change(bumped, [actor_id], restricted)

        return await self._database.write(work)

    async def bar(
        self, conversation_id: str, actor_id: int, user_ids: Sequence[int], reason: str, now_ms: int
    ) -> tuple[Change, Sequence[int]]:
        def work(connection: Connection) -> tuple[Change, Sequence[int]]:
            standing = lock(connection, conversation_id, actor_id)
            require(standing, Right.MANAGE)
            present = roles_of(connection, conversation_id, user_ids)
            require_above(standing.role, [role for _, role in present])
            gone = sorted(user_id for user_id, _ in present)
            key = {"group": conversation_id, "some": list(user_ids)}
            new = sorted(set(user_ids) - set(connection.execute(_BARRED_OF, key).scalars()))
            if not new:
                return Change(standing.group), ()
            if connection.execute(_BARRED_COUNT, key).scalar_one() + len(new) > MAX_BLACKLIST:
                raise Forbidden(f"at most {MAX_BLACKLIST} people can be kept out of a group", reason="full")
            _check_known(connection, new)
            row = {
                "group_id": conversation_id,
                "by_user": actor_id,
                "reason": reason,
                "created_at_ms": now_ms,
            }
            connection.execute(_BAR, [{**row, "user_id": user_id} for user_id in new])
            connection.execute(_SETTLE_ADMISSIONS, {"group": conversation_id, "some": new, "now_ms": now_ms})
            group = drop(connection, standing.group, gone, now_ms)
            return Change(group, gone, new), new

        return await self._database.write(work)

    async def unbar(self, conversation_id: str, actor_id: int, user_id: int) -> bool:
        def work(connection: Connection) -> bool:
            require(lock(connection, conversation_id, actor_id), Right.MANAGE)
            return connection.execute(_UNBAR, {"group": conversation_id, "user": user_id}).rowcount > 0

        return await self._database.write(work)

    async def barred(
        self, conversation_id: str, actor_id: int, *, after: int, limit: int
    ) -> Sequence[Barred]:
        def work(connection: Connection) -> Sequence[Barred]:
            require(standing_of(connection, conversation_id, actor_id), Right.MANAGE)
            page = {"group": conversation_id, "after": after, "most": limit}
            return [Barred(*row) for row in connection.execute(_BARRED_PAGE, page)]

        return await self._database.read(work)


def _write_ended(
    connection: Connection,
    conversation_id: str,
    before: Sequence[_Mute],
    after: Sequence[_Mute],
    now_ms: int,
) -> None:
    """Mutes that do not go on are kept for a while, for those who judge what was said meanwhile."""
    ended = [
        (old.user_id, old.since_ms, old.until_ms)
        for old, new in zip(before, after, strict=True)
        if new.since_ms != old.since_ms
    ]
    write_past_mutes(connection, conversation_id, ended, now_ms)


def _check_known(connection: Connection, user_ids: Sequence[int]) -> None:
    if connection.execute(_KNOWN, {"some": list(user_ids)}).scalar_one() != len(user_ids):
        raise PayloadInvalid("one of these users does not exist", field="userIds")


_: type[Restrictions] = SqlRestrictions
