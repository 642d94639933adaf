"""The contracts of the message log and the cursors on SQLite: at once in the caller, and with real threads."""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imd.core.message.sqlite import SqliteCursors, SqliteMessageLog, message_database
from imd.storage.sqlite import SqliteDatabase, Threads, start_thread
from tests.contract import cursors, message_log
from tests.storage.calls import Calls


class AtOnce(SynchronousTestCase):
    """Every job runs within the call."""

    threads: Threads | None = None

    def setUp(self) -> None:
        self.calls = Calls()
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

    def drive(self, work: Coroutine[Any, Any, None]) -> None:
        self.calls.drive(self.to_the_end(work))


class Threaded(AtOnce):
    """Every job runs on a thread and comes back."""

    def setUp(self) -> None:
        super().setUp()
        self.threads = Threads(start=start_thread, call_in_reactor=self.calls.call_in_reactor)


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
