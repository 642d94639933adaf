"""Last seen, in a SQLite file of its own: losing it costs a convenience, never a message."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

from imd.storage.sqlite import SqliteDatabase, Threads, transaction

#: "imdp"
APPLICATION_ID = 0x696D6470

MIGRATIONS = ("CREATE TABLE last_seen (user_id INTEGER PRIMARY KEY, seen_ms INTEGER NOT NULL)",)

# One statement a batch, whatever its size. The WHERE keeps the parser from taking ON for a join.
_RECORD = (
    "INSERT INTO last_seen (user_id, seen_ms)"
    " SELECT value ->> 0, value ->> 1 FROM json_each(?) WHERE true"
    " ON CONFLICT (user_id) DO UPDATE SET seen_ms = excluded.seen_ms WHERE excluded.seen_ms > seen_ms"
)
_OF_USERS = (
    "SELECT json_group_array(json_array(user_id, seen_ms)) FROM last_seen"
    " WHERE user_id IN (SELECT value FROM json_each(?))"
)


def presence_database(*, folder: Path, threads: Threads | None) -> SqliteDatabase:
    """``presence.db`` in the data folder, as a stage."""
    return SqliteDatabase(
        path=folder / "presence.db", application_id=APPLICATION_ID, migrations=MIGRATIONS, threads=threads
    )


class SqliteLastSeen:
    """The port on a ``presence_database``."""

    def __init__(self, *, database: SqliteDatabase) -> None:
        self._database = database

    async def record(self, seen: Mapping[int, int]) -> None:
        rows = json.dumps(list(seen.items()))

        def upsert(connection: sqlite3.Connection) -> None:
            with transaction(connection):
                connection.execute(_RECORD, (rows,))

        await self._database.write(upsert)

    async def of_users(self, user_ids: Sequence[int]) -> Mapping[int, int]:
        wanted = json.dumps(list(user_ids))
        (found,) = await self._database.read(
            lambda connection: connection.execute(_OF_USERS, (wanted,)).fetchone()
        )
        return dict(json.loads(found))
