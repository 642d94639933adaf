"""Accounts and logins in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from imd.business.accounts.login_rules import LoginRules, ended_by
from imd.business.accounts.model import ACTIVE, Account, Ended, Login, Revocation, Sessions
from imd.business.accounts.ports import Accounts, Ending, HandleTaken, StoredPassword
from imd.business.announced import of_revocation
from imd.business.sql_announced import remember
from imd.business.tables.people import logins, users
from imd.storage.sql import Database

# Put together once: building a statement costs more than running it.
_BY_HANDLE = select(users).where(users.c.handle == bindparam("key"))
_BY_ID = select(users).where(users.c.id == bindparam("key"))
_LOGINS_OF = (
    select(logins).where(logins.c.user_id == bindparam("owner")).order_by(logins.c.refreshed_at_ms.desc())
)
_LOCK_LOGINS = (
    select(logins)
    .where(logins.c.user_id == bindparam("owner"))
    .order_by(logins.c.device_id)
    .with_for_update()
)
_OWNER = select(users).where(users.c.id == bindparam("key")).with_for_update()
_ADD_USER, _ADD_LOGIN = insert(users), insert(logins)
_TOUCH_LOGIN = (
    update(logins)
    .where(logins.c.user_id == bindparam("owner"), logins.c.login_id == bindparam("login"))
    .values(refreshed_at_ms=bindparam("now_ms"))
)
_END_LOGINS = delete(logins).where(
    logins.c.user_id == bindparam("owner"), logins.c.device_id.in_(bindparam("devices", expanding=True))
)
_END_OTHER_LOGINS = delete(logins).where(
    logins.c.user_id == bindparam("owner"), logins.c.device_id != bindparam("device")
)
_SET_PASSWORD = (
    update(users).where(users.c.id == bindparam("key")).values(password_hash=bindparam("new_hash"))
)
_END_TOKENS = (
    update(users).where(users.c.id == bindparam("key")).values(token_version=users.c.token_version + 1)
)
_SESSIONS = (
    select(
        users.c.id,
        users.c.status,
        users.c.token_version,
        users.c.level,
        logins.c.device_id,
        logins.c.login_id,
    )
    .select_from(users.outerjoin(logins))
    .where(users.c.id.in_(bindparam("keys", expanding=True)))
)


class SqlAccounts:
    """See ``Accounts``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, account: Account, password_hash: str, login: Login) -> None:
        user = {
            "id": account.user_id,
            "handle": account.handle,
            "display_name": account.display_name,
            "password_hash": password_hash,
            "status": account.status,
            "token_version": account.token_version,
            "created_at_ms": account.created_at_ms,
        }

        def work(connection: Connection) -> None:
            connection.execute(_ADD_USER, user)
            connection.execute(_ADD_LOGIN, login._asdict())

        try:
            await self._database.write(work)
        except IntegrityError:
            if await self.by_handle(account.handle) is None:
                # Another key: two nodes make the same ids.
                raise
            raise HandleTaken(account.handle) from None

    async def by_handle(self, handle: str) -> StoredPassword | None:
        return await self._one(_BY_HANDLE, handle)

    async def by_id(self, user_id: int) -> StoredPassword | None:
        return await self._one(_BY_ID, user_id)

    async def _one(self, query: Select[Any], key: int | str) -> StoredPassword | None:
        row = await self._database.read(lambda c: c.execute(query, {"key": key}).first())
        return None if row is None else StoredPassword(account_of(row), row.password_hash)

    async def logins_of(self, user_id: int) -> Sequence[Login]:
        rows = await self._database.read(lambda c: c.execute(_LOGINS_OF, {"owner": user_id}).all())
        return [Login(*row) for row in rows]

    async def put_login(
        self, login: Login, *, rules: LoginRules, verified_hash: str, new_hash: str = ""
    ) -> Sequence[Ended] | None:
        def work(connection: Connection) -> list[Ended] | None:
            owner = connection.execute(_OWNER, {"key": login.user_id}).first()
            if owner is None or owner.status != ACTIVE or owner.password_hash != verified_hash:
                return None
            present = [Login(*row) for row in connection.execute(_LOCK_LOGINS, {"owner": login.user_id})]
            ended = [Ended(one.device_id, one.login_id) for one in ended_by(login, present, rules)]
            if ended:
                devices = [one.device_id for one in ended]
                connection.execute(_END_LOGINS, {"owner": login.user_id, "devices": devices})
                for one in ended:
                    remember_ended(connection, login.user_id, [one.login_id], device_id=one.device_id)
            connection.execute(_ADD_LOGIN, login._asdict())
            if new_hash:
                connection.execute(_SET_PASSWORD, {"key": login.user_id, "new_hash": new_hash})
            return ended

        return await self._database.write(work)

    async def touch_login(self, login: Login) -> bool:
        values = {"owner": login.user_id, "login": login.login_id, "now_ms": login.refreshed_at_ms}
        return await self._database.write(lambda c: c.execute(_TOUCH_LOGIN, values).rowcount == 1)

    async def end_logins(
        self,
        user_id: int,
        device_id: str = "",
        *,
        except_device_id: str = "",
        verified_hash: str = "",
        new_hash: str = "",
    ) -> Ending | None:
        key, owner = {"key": user_id}, {"owner": user_id}

        def work(connection: Connection) -> Ending | None:
            row = connection.execute(_OWNER, key).first()
            if row is None or (new_hash and row.password_hash != verified_hash):
                return None
            present = [Login(*one) for one in connection.execute(_LOCK_LOGINS, owner)]
            if device_id:
                connection.execute(_END_LOGINS, owner | {"devices": [device_id]})
                ended = [one.login_id for one in present if one.device_id == device_id]
                remember_ended(connection, user_id, ended, device_id=device_id)
                return Ending(account_of(row), ended)
            connection.execute(_END_OTHER_LOGINS, owner | {"device": except_device_id})
            connection.execute(_END_TOKENS, key)
            if new_hash:
                connection.execute(_SET_PASSWORD, key | {"new_hash": new_hash})
            account = account_of(row)._replace(token_version=row.token_version + 1)
            ended = [one.login_id for one in present if one.device_id != except_device_id]
            remember_ended(connection, user_id, ended, except_device_id=except_device_id)
            return Ending(account, ended)

        return await self._database.write(work)

    async def sessions(self, user_ids: Sequence[int]) -> Mapping[int, Sessions]:
        keys = {"keys": list(user_ids)}
        rows = await self._database.read(lambda c: c.execute(_SESSIONS, keys).all())
        states: dict[int, tuple[bool, int, int]] = {}
        devices: dict[int, dict[str, str]] = {}
        for user_id, status, token_version, level, device_id, login_id in rows:
            states[user_id] = (status == ACTIVE, token_version, level)
            of_user = devices.setdefault(user_id, {})
            if device_id is not None:
                of_user[device_id] = login_id
        return {
            user_id: Sessions(active, token_version, devices[user_id], level)
            for user_id, (active, token_version, level) in states.items()
        }


def remember_ended(
    connection: Connection,
    user_id: int,
    login_ids: Sequence[str],
    *,
    device_id: str = "",
    except_device_id: str = "",
) -> None:
    """Part of the transaction that ends them. Why, only those know who ended them: late, that is lost."""
    revocation = Revocation(user_id, device_id, except_device_id, "revoked", login_ids)
    remember(connection, [of_revocation(revocation)])


def account_of(row: Row[Any]) -> Account:
    """The account of a whole row."""
    return Account(
        row.id,
        row.handle,
        row.display_name,
        row.status,
        row.token_version,
        row.created_at_ms,
        row.about,
        row.avatar_url,
    )


_: type[Accounts] = SqlAccounts
