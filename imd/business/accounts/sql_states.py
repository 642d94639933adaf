"""States of accounts in SQL; the order of locks is that of ``relations.sql_pairs``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, or_, select, update

from imd.business.accounts.model import ACTIVE
from imd.business.accounts.ports import AccountState, AccountStates, StateChange
from imd.business.accounts.sql import account_of, remember_ended
from imd.business.accounts.states import Act, after
from imd.business.groups.model import OWNER
from imd.business.relations.sql_pairs import all_pairs_changed, lock_people
from imd.business.tables.groups import group_conversations, group_members
from imd.business.tables.people import blocks, friend_groups, friend_requests, friends, logins, users
from imd.storage.sql import Database

#: No password has this hash.
_NO_PASSWORD = "!"

_ONE = select(users).where(users.c.id == bindparam("owner"))
_LOGIN_IDS = (
    select(logins.c.login_id)
    .where(logins.c.user_id == bindparam("owner"))
    .order_by(logins.c.device_id)
    .with_for_update()
)
_END_LOGINS = delete(logins).where(logins.c.user_id == bindparam("owner"))
_SET_STATE = (
    update(users)
    .where(users.c.id == bindparam("owner"))
    .values(
        status=bindparam("new_status"),
        status_at_ms=bindparam("now_ms"),
        status_reason=bindparam("why"),
        token_version=bindparam("new_token_version"),
    )
)
_SET_LEVEL = update(users).where(users.c.id == bindparam("owner")).values(level=bindparam("new_level"))
_BLANK = (
    update(users)
    .where(users.c.id == bindparam("owner"))
    .values(display_name="", about="", avatar_url="", password_hash=_NO_PASSWORD, findable=0)
)
_OWNED = (
    select(group_conversations.c.id)
    .join_from(group_members, group_conversations)
    .where(
        group_members.c.user_id == bindparam("owner"),
        group_members.c.role == OWNER,
        group_conversations.c.member_count > 1,
    )
    .order_by(group_conversations.c.id)
    .limit(bindparam("most"))
)
_STILL_THERE = (
    select(func.count()).where(group_members.c.user_id == bindparam("owner")),
    select(func.count()).where(friends.c.user_id == bindparam("owner"), friends.c.ended_at_ms == 0),
)
#: What the others keep is the end of a friendship, until they forget it like any other.
_FORGET = (
    delete(friends).where(friends.c.user_id == bindparam("owner")),
    delete(friend_groups).where(friend_groups.c.user_id == bindparam("owner")),
    delete(friend_requests).where(
        or_(
            friend_requests.c.from_user == bindparam("owner"), friend_requests.c.to_user == bindparam("owner")
        )
    ),
    delete(blocks).where(
        or_(blocks.c.user_id == bindparam("owner"), blocks.c.blocked_id == bindparam("owner"))
    ),
)


class SqlAccountStates:
    """See ``AccountStates``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def state(self, user_id: int) -> AccountState | None:
        row = await self._database.read(lambda c: c.execute(_ONE, {"owner": user_id}).first())
        return None if row is None else AccountState(account_of(row), row.status_at_ms, row.status_reason)

    async def change(self, user_id: int, act: Act, *, reason: str, now_ms: int) -> StateChange | None:
        def work(connection: Connection) -> StateChange | None:
            row = lock_people(connection, (user_id,)).get(user_id)
            if row is None:
                return None
            status = after(row.status, act)
            if status == row.status:
                return StateChange(account_of(row))
            return _set(connection, row, status, reason, now_ms)

        return await self._database.write(work)

    async def set_level(self, user_id: int, level: int) -> bool:
        asked = {"owner": user_id, "new_level": level}

        def work(connection: Connection) -> bool:
            # MySQL counts only rows that it changed.
            connection.execute(_SET_LEVEL, asked)
            return connection.execute(_ONE, asked).first() is not None

        return await self._database.write(work)

    async def owned(self, user_id: int, *, limit: int) -> Sequence[str]:
        asked = {"owner": user_id, "most": limit}
        return await self._database.read(lambda c: c.execute(_OWNED, asked).scalars().all())

    async def delete(self, user_id: int, *, verified_hash: str, now_ms: int) -> StateChange | None:
        owner = {"owner": user_id}

        def work(connection: Connection) -> StateChange | None:
            row = lock_people(connection, (user_id,)).get(user_id)
            if row is None or row.password_hash != verified_hash:
                return None
            status = after(row.status, Act.DELETE)
            # Nobody can bring the user into a group, or befriend them, while the row is locked.
            if any(connection.execute(query, owner).scalar_one() for query in _STILL_THERE):
                return None
            for statement in _FORGET:
                connection.execute(statement, owner)
            connection.execute(_BLANK, owner)
            change = _set(connection, row, status, "by the user", now_ms)
            return change._replace(account=account_of(connection.execute(_ONE, owner).one()))

        return await self._database.write(work)


def _set(connection: Connection, row: Row[Any], status: int, reason: str, now_ms: int) -> StateChange:
    owner = {"owner": row.id}
    login_ids = list(connection.execute(_LOGIN_IDS, owner).scalars())
    ends = status != ACTIVE
    if ends:
        connection.execute(_END_LOGINS, owner)
        remember_ended(connection, row.id, login_ids)
    values = {
        "new_status": status,
        "now_ms": now_ms,
        "why": reason,
        "new_token_version": row.token_version + ends,
    }
    connection.execute(_SET_STATE, owner | values)
    account = account_of(row)._replace(status=status, token_version=values["new_token_version"])
    return StateChange(account, login_ids, all_pairs_changed(connection, row.id))


_: type[AccountStates] = SqlAccountStates
