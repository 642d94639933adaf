"""The contract of last seen on SQLite, at once in the caller."""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from imd.core.presence.sqlite import SqliteLastSeen, presence_database
from tests.contract import last_seen


class SqliteLastSeenTests(last_seen.LastSeenContract):
    """SqliteLastSeen keeps the contract."""

    def drive(self, work: Coroutine[Any, Any, None]) -> None:
        self.successResultOf(Deferred.fromCoroutine(work))

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    async def make(self) -> SqliteLastSeen:
        database = presence_database(folder=self.folder, threads=None)
        await database.start()
        self.addCleanup(lambda: self.successResultOf(Deferred.fromCoroutine(database.stop())))
        return SqliteLastSeen(database=database)
