"""Tellings that wait, in SQL: written with the change itself, gone when the bus has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, bindparam, delete, select

from imd.business.announced import Announced
from imd.business.tables.announcements import announcements
from imd.storage.sql import ROWS_PER_STATEMENT, Database, insert_ignore

# Put together once: building a statement costs more than running it.
_SOME = select(announcements).order_by(announcements.c.about).limit(bindparam("most"))
_FORGET = delete(announcements).where(announcements.c.about.in_(bindparam("some", expanding=True)))


def remember(connection: Connection, announced: Iterable[Announced]) -> None:
    """Part of the transaction that changes what they tell of."""
    rows = [{"about": about, "payload": event.SerializeToString()} for about, event in announced if about]
    # One that is there already says the same: only who sees whom can be told twice under one name.
    insert_ignore(connection, announcements, rows)


class SqlAnnounced:
    """Those that nobody has told yet, as far as this node knows. Raises as ``Database`` does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def remember(self, about: str, payload: bytes) -> None:
        """It is to be told, if it is not known already."""
        row = {"about": about, "payload": payload}
        await self._database.write(lambda c: insert_ignore(c, announcements, [row]))

    async def some(self, *, limit: int) -> Sequence[tuple[str, bytes]]:
        """(about, payload) of so many of them, invalidations before notices."""
        rows = await self._database.read(lambda c: c.execute(_SOME, {"most": limit}).all())
        return [(row.about, row.payload) for row in rows]

    async def forget(self, abouts: Sequence[str]) -> None:
        """These have been told."""

        def work(connection: Connection) -> None:
            # In one order for all nodes: two that delete the same rows do not wait for each other in a circle.
            ordered = sorted(abouts)
            for start in range(0, len(ordered), ROWS_PER_STATEMENT):
                connection.execute(_FORGET, {"some": ordered[start : start + ROWS_PER_STATEMENT]})

        await self._database.write(work)
