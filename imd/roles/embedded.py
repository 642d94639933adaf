"""The stores of `twistd im`: SQLite files in the data folder."""

from __future__ import annotations

from pathlib import Path

from imd.core.message.sqlite import SqliteCursors, SqliteMessageLog, message_database
from imd.core.presence.sqlite import SqliteLastSeen, presence_database
from imd.roles.core_parts import CoreStores
from imd.storage.sqlite import Threads


def embedded_stores(*, folder: Path, threads: Threads) -> CoreStores:
    """What core keeps, on this machine alone; nothing is opened before the stages start."""
    messages = message_database(folder=folder, threads=threads)
    presence = presence_database(folder=folder, threads=threads)
    log = SqliteMessageLog(database=messages)
    return CoreStores(
        stages=[("message store", messages), ("presence store", presence)],
        log=log,
        tails=log,
        cursors=SqliteCursors(database=messages),
        last_seen=SqliteLastSeen(database=presence),
    )
