"""Power cuts: whatever the disk has of the writes since its last sync, every row that was appended is there.

apsw brings an SQLite whose file system calls can be recorded. The log's own statements run on it; then
the files are put together as a disk may hold them after each call, and opened by the real engine.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import apsw
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from imd.core.message.model import NewMessage
from imd.core.message.sqlite import SqliteMessageLog, message_database
from imd.storage import sqlite
from imd.storage.sqlite import SqliteDatabase
from tests.contract.message_log import message

T = TypeVar("T")

SECTOR = 512
COMMITS = 80
#: Small, so that the log is folded in and begun anew several times.
CHECKPOINT_PAGES = 60
#: Between syncs only some of the calls are tried; all would take minutes.
EVERY_NTH_WRITE = 29


class Call(NamedTuple):
    """What SQLite did to a file. ``write`` at an offset, ``truncate`` to it, or ``sync``."""

    what: str
    name: str
    offset: int = 0
    data: bytes = b""


class Recorder(apsw.VFS):
    """The machine's file system, with notes; a number among them is how many rows were promised by then."""

    def __init__(self) -> None:
        self.calls: list[Call | int] = []
        self.sync_fails = False
        super().__init__("recorder", "")

    def xOpen(self, name: Any, flags: list[int]) -> Recorded:
        return Recorded(name, flags, self)


class Recorded(apsw.VFSFile):
    """A file that notes what is done to it."""

    def __init__(self, name: Any, flags: list[int], recorder: Recorder) -> None:
        super().__init__("", name, flags)
        self._name = Path(name.filename() if isinstance(name, apsw.URIFilename) else name).name
        self._recorder = recorder
        self._calls = recorder.calls

    def xWrite(self, data: Any, offset: int) -> None:
        super().xWrite(data, offset)
        self._calls.append(Call("write", self._name, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:
        super().xTruncate(newsize)
        self._calls.append(Call("truncate", self._name, newsize))

    def xSync(self, flags: int) -> None:
        if self._recorder.sync_fails:
            raise apsw.IOError("planted")
        super().xSync(flags)
        self._calls.append(Call("sync", self._name))


class RecordedDatabase:
    """As much of ``SqliteDatabase`` as an append needs, on apsw."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def write(self, work: Callable[[Any], T]) -> Deferred[T]:
        return succeed(work(self._connection))


class Disk:
    """One file as a disk may hold it: what was synced, and the calls since."""

    def __init__(self, durable: bytes) -> None:
        self.durable = bytearray(durable)
        self.pending: list[Call] = []

    def note(self, call: Call) -> None:
        if call.what == "sync":
            for pending in self.pending:
                self.apply(self.durable, pending)
            self.pending.clear()
        else:
            self.pending.append(call)

    def apply(self, content: bytearray, call: Call) -> None:
        if call.what == "truncate":
            del content[call.offset :]
        else:
            content.extend(bytes(max(0, call.offset - len(content))))
            content[call.offset : call.offset + len(call.data)] = call.data

    def image(self, way: str, chance: random.Random) -> bytes:
        """After a cut: the pending calls kept, lost, each kept or lost, or the last one torn."""
        content = bytearray(self.durable)
        if way == "lost":
            return bytes(content)
        for call in self.pending:
            if way == "some" and chance.random() < 0.5:
                continue
            if way == "torn" and call is self.pending[-1]:
                call = call._replace(data=call.data[: SECTOR * chance.randint(0, len(call.data) // SECTOR)])
            self.apply(content, call)
        return bytes(content)


def batches() -> Iterator[list[NewMessage]]:
    """Ever new rows for three conversations, and a recall now and then."""
    last = dict.fromkeys(("c0", "c1", "c2"), 0)
    for number in range(COMMITS):
        rows = []
        for conversation in last:
            for _ in range(1 + number % 3):
                last[conversation] += 1
                seq = last[conversation]
                rows.append(
                    message(seq, conversation=conversation, body=b"%d " % seq * (number % 50 * 20 + 1))
                )
        if number % 10 == 9:
            rows[-1] = rows[-1]._replace(revokes_seq=1, revoked_body=b"revoked")
        yield rows


class PowerCutTests(SynchronousTestCase):
    """After a cut at any moment."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.chance = random.Random(2)

    def database(self, folder: Path) -> SqliteDatabase:
        database = message_database(folder=folder, threads=None)
        self.successResultOf(Deferred.fromCoroutine(database.start()))
        return database

    def stop(self, database: SqliteDatabase) -> None:
        self.successResultOf(Deferred.fromCoroutine(database.stop()))

    def recorded(self) -> tuple[Recorder, apsw.Connection, SqliteMessageLog]:
        """An empty log whose calls are recorded."""
        database = self.database(self.folder)
        self.stop(database)
        recorder = Recorder()
        connection = apsw.Connection(str(self.folder / "messages.db"), vfs="recorder")
        self.addCleanup(recorder.unregister)
        self.addCleanup(connection.close)
        database._set_durable(cast(Any, connection))
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        shutil.copy(self.folder / "messages.db", self.folder / "base")
        recorder.calls.clear()
        log = SqliteMessageLog(database=cast(SqliteDatabase, RecordedDatabase(connection)))
        return recorder, connection, log

    def record(self) -> tuple[list[NewMessage], list[Call | int]]:
        """All rows, and what appending them did to the files."""
        recorder, _, log = self.recorded()
        rows: list[NewMessage] = []
        for batch in batches():
            self.successResultOf(Deferred.fromCoroutine(log.append(batch)))
            rows += batch
            recorder.calls.append(len(rows))
        return rows, list(recorder.calls)

    def check(self, number: int, promised: list[NewMessage], files: dict[str, bytes]) -> int:
        """Open what the disk holds; every promised row is there, without a hole behind them."""
        folder = self.folder / str(number)
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        database = self.database(folder)
        found = self.successResultOf(
            database.read(
                lambda connection: connection.execute(
                    "SELECT conversation_id, seq, client_msg_id, revoked, body FROM messages"
                    " JOIN conversations ON number = conversation ORDER BY messages.rowid"
                ).fetchall()
            )
        )
        self.stop(database)
        shutil.rmtree(folder)
        intact = [row[:3] for row in found]
        expected = [(row.conversation_id, row.seq, row.client_msg_id) for row in promised]
        self.assertEqual(intact[: len(expected)], expected)
        bodies = {row[:2]: row[4] for row in found if not row[3]}
        for row in promised:
            self.assertEqual(bodies.get((row.conversation_id, row.seq), row.body), row.body)
        for conversation in ("c0", "c1", "c2"):
            numbers = [row[1] for row in found if row[0] == conversation]
            self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
        return len(found)

    def test_power_cut(self) -> None:
        """Every append that returned is there once, in order, with its body, and no number is missing."""
        rows, calls = self.record()
        disks = {
            "messages.db": Disk((self.folder / "base").read_bytes()),
            "messages.db-wal": Disk(b""),
        }
        promised = images = begun_anew = 0
        for number, call in enumerate(calls):
            if isinstance(call, int):
                promised = call
            else:
                disks[call.name].note(call)
                begun_anew += call.name == "messages.db-wal" and call.what == "write" and call.offset == 0
                if call.what == "write" and number % EVERY_NTH_WRITE:
                    continue
            for way in ("kept", "lost", "some", "torn"):
                if isinstance(call, int) and way != "lost" and number % 4:
                    continue
                files = {name: disk.image(way, self.chance) for name, disk in disks.items()}
                found = self.check(images, rows[:promised], files)
                self.assertLessEqual(found, len(rows))
                images += 1
        self.assertGreater(begun_anew, 3)
        self.assertGreater(images, 500)

    def test_commit_in_doubt(self) -> None:
        """A commit whose sync failed can come back after a crash, but not after ``read_settled``'s commit."""
        recorder, connection, log = self.recorded()
        self.successResultOf(Deferred.fromCoroutine(log.append([message(1)])))
        recorder.sync_fails = True
        self.failureResultOf(
            Deferred.fromCoroutine(log.append([message(seq) for seq in range(2, 100)])), apsw.IOError
        )
        recorder.sync_fails = False
        self.assertEqual(self.check(0, [message(1)], self.files()), 99)
        sqlite._settle(cast(Any, connection))
        self.assertEqual(self.check(1, [message(1)], self.files()), 1)
        self.successResultOf(Deferred.fromCoroutine(log.append([message(2)])))
        self.assertEqual(self.check(2, [message(1), message(2)], self.files()), 2)

    def files(self) -> dict[str, bytes]:
        """What a crash of the process, but not of the machine, leaves."""
        return {name: (self.folder / name).read_bytes() for name in ("messages.db", "messages.db-wal")}
