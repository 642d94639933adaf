"""Finds a message in SQLite by its server id, without an index that every insert would pay for.

Rows are written about in the order in which their ids were made: the begin of the time in question is found by
halving, and what was written around then is looked through.
"""

from __future__ import annotations

import sqlite3

from imd.core.message.model import Place
from imd.kernel.ids import snowflake_span
from imd.storage.sqlite import SqliteDatabase

#: An id is made when a message comes in; it is written so much earlier or later than its neighbours at most, as far as
#: it is looked for: a message whose outcome was in doubt may be stored minutes later.
SLACK_MS = 10 * 60 * 1000
#: Rows looked through at most, which takes about a tenth of a second.
MAX_ROWS = 200_000

_ENDS = "SELECT coalesce(min(rowid), 0), coalesce(max(rowid), 0) FROM messages"
_PROBE = "SELECT rowid, server_msg_id FROM messages WHERE rowid >= ? ORDER BY rowid LIMIT 1"
_LOOK = (
    "SELECT conversation_id, seq FROM ("
    "SELECT conversation, seq, server_msg_id FROM messages WHERE rowid >= ? ORDER BY rowid LIMIT ?"
    ") JOIN conversations ON number = conversation WHERE server_msg_id = ?"
)


class SqlitePlaces:
    """See ``Places``."""

    def __init__(self, *, database: SqliteDatabase) -> None:
        self._database = database

    async def locate(self, server_msg_id: int) -> Place | None:
        def read(connection: sqlite3.Connection) -> Place | None:
            first = _first_row(connection, server_msg_id - snowflake_span(SLACK_MS))
            found = connection.execute(_LOOK, (first, MAX_ROWS, server_msg_id)).fetchone()
            return None if found is None else Place(*found)

        return await self._database.read(read)


def _first_row(connection: sqlite3.Connection, server_msg_id: int) -> int:
    """The first row with this id or a later one, where ids rise; near it where they do not quite."""
    low, high = connection.execute(_ENDS).fetchone()
    while low < high:
        middle = (low + high) // 2
        row = connection.execute(_PROBE, (middle,)).fetchone()
        if row is not None and row[1] < server_msg_id:
            low = max(row[0], middle) + 1
        else:
            high = middle
    return int(low)
