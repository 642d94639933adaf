"""Accounts and logins in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from imd.business.accounts.model import ACTIVE, Account, Login, Sessions
from imd.business.accounts.ports import Accounts, HandleTaken, StoredPassword
from imd.business.schema import logins, users
from imd.storage.sql import Database


class SqlAccounts:
    """See ``Accounts``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, account: Account, password_hash: str, login: Login) -> None:
        def work(connection: Connection) -> None:
            connection.execute(
                insert(users).values(
                    id=account.user_id,
                    handle=account.handle,
                    display_name=account.display_name,
                    password_hash=password_hash,
                    status=account.status,
                    token_version=account.token_version,
                    created_at_ms=account.created_at_ms,
                )
            )
            connection.execute(insert(logins).values(**login._asdict()))

        try:
            await self._database.write(work)
        except IntegrityError:
            raise HandleTaken(account.handle) from None

    async def by_handle(self, handle: str) -> StoredPassword | None:
        return await self._one(users.c.handle == handle)

    async def by_id(self, user_id: int) -> StoredPassword | None:
        return await self._one(users.c.id == user_id)

    async def _one(self, condition: Any) -> StoredPassword | None:
        row = await self._database.read(lambda c: c.execute(select(users).where(condition)).first())
        return None if row is None else StoredPassword(_account(row), row.password_hash)

    async def logins_of(self, user_id: int) -> Sequence[Login]:
        query = select(logins).where(logins.c.user_id == user_id).order_by(logins.c.refreshed_at_ms.desc())
        rows = await self._database.read(lambda c: c.execute(query).all())
        return [Login(*row) for row in rows]

    async def put_login(self, login: Login, *, max_logins: int, password_hash: str = "") -> Sequence[str]:
        def work(connection: Connection) -> list[str]:
            mine = logins.c.user_id == login.user_id
            stalest_first = select(logins.c.device_id).where(mine).order_by(logins.c.refreshed_at_ms)
            devices = list(connection.execute(stalest_first.with_for_update()).scalars())
            others = [device for device in devices if device != login.device_id]
            ended = others[: max(0, len(others) - max_logins + 1)]
            if login.device_id in devices:
                ended.append(login.device_id)
            connection.execute(delete(logins).where(mine, logins.c.device_id.in_(ended)))
            connection.execute(insert(logins).values(**login._asdict()))
            if password_hash:
                owner = users.c.id == login.user_id
                connection.execute(update(users).where(owner).values(password_hash=password_hash))
            return ended

        return await self._database.write(work)

    async def touch_login(self, login: Login) -> bool:
        statement = (
            update(logins)
            .where(logins.c.user_id == login.user_id, logins.c.login_id == login.login_id)
            .values(refreshed_at_ms=login.refreshed_at_ms)
        )
        return await self._database.write(lambda c: c.execute(statement).rowcount == 1)

    async def end_logins(
        self, user_id: int, device_id: str = "", *, except_device_id: str = "", password_hash: str = ""
    ) -> Account | None:
        def work(connection: Connection) -> Account | None:
            ended = delete(logins).where(logins.c.user_id == user_id)
            changes: dict[str, Any] = {}
            if device_id:
                ended = ended.where(logins.c.device_id == device_id)
            else:
                ended = ended.where(logins.c.device_id != except_device_id)
                changes["token_version"] = users.c.token_version + 1
            if password_hash:
                changes["password_hash"] = password_hash
            connection.execute(ended)
            if changes:
                connection.execute(update(users).where(users.c.id == user_id).values(changes))
            row = connection.execute(select(users).where(users.c.id == user_id)).first()
            return None if row is None else _account(row)

        return await self._database.write(work)

    async def sessions(self, user_ids: Sequence[int]) -> Mapping[int, Sessions]:
        query = (
            select(users.c.id, users.c.status, users.c.token_version, logins.c.device_id, logins.c.login_id)
            .select_from(users.outerjoin(logins))
            .where(users.c.id.in_(user_ids))
        )
        rows = await self._database.read(lambda c: c.execute(query).all())
        states: dict[int, tuple[bool, int]] = {}
        devices: dict[int, dict[str, str]] = {}
        for user_id, status, token_version, device_id, login_id in rows:
            states[user_id] = (status == ACTIVE, token_version)
            of_user = devices.setdefault(user_id, {})
            if device_id is not None:
                of_user[device_id] = login_id
        return {user_id: Sessions(*state, devices[user_id]) for user_id, state in states.items()}


def _account(row: Row[Any]) -> Account:
    return Account(row.id, row.handle, row.display_name, row.status, row.token_version, row.created_at_ms)


_: type[Accounts] = SqlAccounts
