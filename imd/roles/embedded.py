"""The stores of `twistd im`: SQLite files in the data folder."""

from __future__ import annotations

from pathlib import Path

from imd.core.explain.record import in_folder
from imd.core.explain.segments import Threads as Queue
from imd.core.message.sqlite import SqliteCursors, SqliteMessageLog, message_database
from imd.core.message.sqlite_places import SqlitePlaces
from imd.core.presence.sqlite import SqliteLastSeen, presence_database
from imd.kernel.clocks import WallClock
from imd.roles.core_parts import CoreStores
from imd.roles.metrics.stores import sqlite_source
from imd.storage.sqlite import Threads


def embedded_stores(*, folder: Path, threads: Threads, queue: Queue, wall_clock: WallClock) -> CoreStores:
    """What core keeps, on this machine alone; nothing is opened before the stages start.

    :param queue: writes what the node remembers, one piece after the other.
    """
    messages = message_database(folder=folder, threads=threads)
    presence = presence_database(folder=folder, threads=threads)
    log = SqliteMessageLog(database=messages)
    return CoreStores(
        stages=[("message store", messages), ("presence store", presence)],
        log=log,
        tails=log,
        places=SqlitePlaces(database=messages),
        cursors=SqliteCursors(database=messages),
        last_seen=SqliteLastSeen(database=presence),
        kept=in_folder(folder / "record", threads=queue, wall_clock=wall_clock),
        sources=[sqlite_source(messages)],
    )
