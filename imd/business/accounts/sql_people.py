"""What users say of themselves, in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, bindparam, select, update

from imd.business.accounts.model import ACTIVE, Account
from imd.business.accounts.ports import People
from imd.business.accounts.sql import account_of
from imd.business.tables.people import users
from imd.storage.sql import Database

#: Above every character that a handle may have.
_ABOVE = "~"

_ONE = select(users).where(users.c.id == bindparam("key"))
_SOME = (
    select(users)
    .where(users.c.id.in_(bindparam("some", expanding=True)), users.c.status == ACTIVE)
    .order_by(users.c.id)
)
_STARTING = (
    select(users)
    # A range, which the index of handles serves: LIKE would read the whole table on SQLite.
    .where(
        users.c.handle >= bindparam("prefix"),
        users.c.handle < bindparam("end"),
        users.c.status == ACTIVE,
        users.c.findable == 1,
    )
    .order_by(users.c.handle)
    .limit(bindparam("most"))
)


class SqlPeople:
    """See ``People``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def edit(self, user_id: int, words: Mapping[str, str]) -> Account:
        change = update(users).where(users.c.id == user_id, users.c.status == ACTIVE).values(dict(words))

        def work(connection: Connection) -> Account:
            if words:
                connection.execute(change)
            return account_of(connection.execute(_ONE, {"key": user_id}).one())

        return await self._database.write(work)

    async def by_ids(self, user_ids: Sequence[int]) -> Sequence[Account]:
        rows = await self._database.read(lambda c: c.execute(_SOME, {"some": list(user_ids)}).all())
        return [account_of(row) for row in rows]

    async def starting_with(self, prefix: str, *, limit: int) -> Sequence[Account]:
        asked = {"prefix": prefix, "end": prefix + _ABOVE, "most": limit}
        rows = await self._database.read(lambda c: c.execute(_STARTING, asked).all())
        return [account_of(row) for row in rows]


_: type[People] = SqlPeople
