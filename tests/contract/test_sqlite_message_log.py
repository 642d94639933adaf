"""The contracts of the message log and the cursors on SQLite: at once in the caller, and with real threads."""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imd.core.message.model import AppendResult
from imd.core.message.sqlite import SqliteCursors, SqliteMessageLog, message_database
from imd.core.message.sqlite_places import SqlitePlaces
from imd.kernel.errors import ServerBusy
from imd.storage.sqlite import SqliteDatabase, Threads, start_thread
from tests.contract import cursors, message_log, places
from tests.contract.message_log import message
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


class PlacesOnSqlite(AtOnce):
    async def make_both(self) -> tuple[SqliteMessageLog, SqlitePlaces]:
        database = await self.opened()
        return SqliteMessageLog(database=database), SqlitePlaces(database=database)


class SqlitePlacesTests(PlacesOnSqlite, places.PlacesContract):
    """SqlitePlaces keeps the contract."""


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


class FullDiskTests(LogOnSqlite):
    """What a full disk does to the log."""

    def test_full(self) -> None:
        """An append on a full disk stores nothing of its batch; the same batch goes in when there is space again."""

        async def work() -> None:
            log = await self.make()
            await log.append([message(1, conversation="old")])
            for conversation, seq in (("old", 2), ("new", 1)):
                batch = [message(seq + n, conversation=conversation, body=b"x" * 5000) for n in range(20)]
                await self.limit_pages(12)
                for _ in range(2):
                    with self.assertRaises(ServerBusy):
                        await log.append(batch)
                expected = {"old": 1} if conversation == "old" else {"old": 21}
                self.assertEqual(await log.last_seqs(["old", "new"]), expected)
                await self.limit_pages(1_000_000)
                self.assertEqual(await log.append(batch), AppendResult(stored=20))
                self.assertEqual(await log.read_one(conversation, seq + 19), batch[19].body)

        self.drive(work())

    async def limit_pages(self, pages: int) -> None:
        sql = f"PRAGMA max_page_count = {pages}"
        await self.database.write(lambda connection: connection.execute(sql).fetchone())
