"""Finds a message in SQLite by its server id, without an index that every insert would pay for.

Rows are written about in the order in which their ids were made: the begin of the time in question is found by
halving, and what was written around then is looked through.
"""

from __future__ import annotations

import sqlite3

from imd.core.message.model import Place
from imd.kernel.ids import snowflake_span
from imd.storage.sqlite import SqliteDatabase

#: An id is made when a message comes in, and written in a moment; of several nodes' clocks, or after a doubt, minutes
#: before or after others that were made at the same time. So it is looked for from so long before it on, first near it.
SLACKS_MS = (1_000, 10 * 60 * 1000)
#: Rows looked through each time, which takes about a tenth of a second.
MAX_ROWS = 200_000
#: What was written late has an id that is too low where it stands; of so many rows in a row one is not late.
_PROBED_ROWS = 5

_ENDS = "SELECT coalesce(min(rowid), 0), coalesce(max(rowid), 0) FROM messages"
_PROBE = (
    "SELECT min(rowid), max(server_msg_id) FROM ("
    "SELECT rowid, server_msg_id FROM messages WHERE rowid >= ? ORDER BY rowid LIMIT ?)"
)
_LOOK = (
    "SELECT conversation_id, seq FROM messages CROSS JOIN conversations ON number = conversation"
    " WHERE messages.rowid BETWEEN ? AND ? AND server_msg_id = ? LIMIT 1"
)


class SqlitePlaces:
    """See ``Places``."""

    def __init__(self, *, database: SqliteDatabase) -> None:
        self._database = database

    async def locate(self, server_msg_id: int) -> Place | None:
        def read(connection: sqlite3.Connection) -> Place | None:
            for slack_ms in SLACKS_MS:
                first = _first_row(connection, server_msg_id - snowflake_span(slack_ms))
                found = connection.execute(_LOOK, (first, first + MAX_ROWS, server_msg_id)).fetchone()
                if found is not None:
                    return Place(*found)
            return None

        return await self._database.read(read)


def _first_row(connection: sqlite3.Connection, server_msg_id: int) -> int:
    """The first row with this id or a later one, where ids rise; near it where they do not quite."""
    low, high = connection.execute(_ENDS).fetchone()
    while low < high:
        middle = (low + high) // 2
        row, newest = connection.execute(_PROBE, (middle, _PROBED_ROWS)).fetchone()
        if row is not None and newest < server_msg_id:
            low = row + 1
        else:
            high = middle
    return int(low)
