"""The contracts of the message log and the cursors on SQLite: at once in the caller, and with real threads."""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from twisted.internet import reactor  # noqa: TID251 -- the live classes need the one that runs them
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from imd.core.message.sqlite import SqliteCursors, SqliteMessageLog, message_database
from imd.storage.sqlite import SqliteDatabase, Threads, start_thread
from tests.contract import cursors, message_log
from tests.contract.driving import drive


class AtOnce(SynchronousTestCase):
    """Every job runs within the call."""

    threads: Threads | None = None

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    async def opened(self) -> SqliteDatabase:
        self.database = message_database(folder=self.folder, threads=self.threads)
        await self.database.start()
        return self.database

    async def to_the_end(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        finally:
            await self.database.stop()

    def drive(self, work: Coroutine[Any, Any, None]) -> Any:
        drive(Clock(), self.to_the_end(work))


class Threaded(AtOnce, TestCase):
    """Every job runs on a thread and comes back through the reactor."""

    threads = Threads(
        start=start_thread,
        call_in_reactor=reactor.callFromThread,  # type: ignore[attr-defined]
    )
    timeout = 20

    def drive(self, work: Coroutine[Any, Any, None]) -> Any:
        return Deferred.fromCoroutine(self.to_the_end(work))


class LogOnSqlite(AtOnce):
    async def make(self) -> SqliteMessageLog:
        return SqliteMessageLog(database=await self.opened())


class CursorsOnSqlite(AtOnce):
    async def make(self) -> SqliteCursors:
        return SqliteCursors(database=await self.opened())


class SqliteMessageLogTests(LogOnSqlite, message_log.MessageLogContract):
    """SqliteMessageLog keeps the contract."""


class SqliteCursorsTests(CursorsOnSqlite, cursors.CursorsContract):
    """SqliteCursors keeps the contract."""


class SqliteMessageLogLiveTests(Threaded, LogOnSqlite, message_log.MessageLogContract):
    """SqliteMessageLog keeps the contract on threads."""


class SqliteCursorsLiveTests(Threaded, CursorsOnSqlite, cursors.CursorsContract):
    """SqliteCursors keeps the contract on threads."""
