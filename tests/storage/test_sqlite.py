"""The SQLite engine: what it opens and what it refuses, what failures mean, how it stops."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from imd.kernel.errors import OutcomeUnknown, ServerBusy, StartupError
from imd.storage import sqlite
from imd.storage.sqlite import (
    SqliteDatabase,
    Threads,
    start_thread,
    transaction,
    write_error,
)
from tests.storage.calls import Calls

APPLICATION_ID = 0x74657374
FIRST = "CREATE TABLE words (word TEXT PRIMARY KEY)"
SECOND = "ALTER TABLE words ADD COLUMN weight INTEGER; CREATE INDEX by_weight ON words (weight)"


def put(*words: str) -> Callable[[sqlite3.Connection], None]:
    """A job that stores the words, all or none."""

    def work(connection: sqlite3.Connection) -> None:
        with transaction(connection):
            for word in words:
                connection.execute("INSERT INTO words (word) VALUES (?)", (word,))

    return work


def words(connection: sqlite3.Connection) -> list[str]:
    """A job that reads them."""
    return [word for (word,) in connection.execute("SELECT word FROM words ORDER BY word")]


class Case(SynchronousTestCase):
    """A folder, and databases in it."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.path = self.folder / "words.db"

    def database(
        self, *, migrations: tuple[str, ...] = (FIRST,), threads: Threads | None = None
    ) -> SqliteDatabase:
        return SqliteDatabase(
            path=self.path, application_id=APPLICATION_ID, migrations=migrations, threads=threads
        )

    def now(self, work: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(work))

    def started(self, **how: Any) -> SqliteDatabase:
        database = self.database(**how)
        self.now(database.start())
        return database

    def closed(self, *stored: str, **how: Any) -> None:
        """Make a database that holds the words, and close it."""
        database = self.started(**how)
        self.successResultOf(database.write(put(*stored)))
        self.now(database.stop())

    def refused(self, **how: Any) -> str:
        """Why a database does not start; it always names the file."""
        failure = self.failureResultOf(Deferred.fromCoroutine(self.database(**how).start()), StartupError)
        self.assertIn(str(self.path), str(failure.value))
        return str(failure.value)


class Opening(Case):
    """What is opened, how, and what is refused."""

    def test_durable(self) -> None:
        """A commit is synced: WAL, synchronous=FULL on the connection that writes."""
        database = self.started()
        journal, synchronous = self.successResultOf(
            database.write(
                lambda connection: [
                    connection.execute(f"PRAGMA {name}").fetchone()[0]
                    for name in ("journal_mode", "synchronous")
                ]
            )
        )
        self.assertEqual((journal, synchronous), ("wal", 2))
        self.now(database.stop())

    def test_private(self) -> None:
        """Nobody else may read the file, the log or the index of the log, even if they could before."""
        self.closed()
        self.path.chmod(0o644)
        database = self.started()
        self.successResultOf(database.write(put("a")))
        modes = {path.name: path.stat().st_mode & 0o777 for path in self.folder.iterdir()}
        self.assertEqual(modes, {"words.db": 0o600, "words.db-wal": 0o600, "words.db-shm": 0o600})
        self.now(database.stop())

    def test_not_durable(self) -> None:
        """Where there can be no write-ahead log, the database does not start."""
        in_memory = sqlite3.connect(":memory:")
        self.addCleanup(in_memory.close)
        with self.assertRaisesRegex(StartupError, "journal_mode memory.*local file system"):
            self.database()._set_durable(in_memory)

    def test_again(self) -> None:
        """What was stored is there after a restart."""
        self.closed("a")
        database = self.started()
        self.assertEqual(self.successResultOf(database.read(words)), ["a"])
        self.now(database.stop())

    def test_upgrade(self) -> None:
        """An older schema is brought up to date, equal to a fresh one, with what was in it."""

        def schema(connection: sqlite3.Connection) -> list[Any]:
            return connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name").fetchall()

        self.closed("a")
        upgraded = self.started(migrations=(FIRST, SECOND))
        self.assertEqual(self.successResultOf(upgraded.read(words)), ["a"])
        found = self.successResultOf(upgraded.read(schema))
        self.now(upgraded.stop())
        self.path = self.folder / "fresh.db"
        fresh = self.started(migrations=(FIRST, SECOND))
        self.assertEqual(found, self.successResultOf(fresh.read(schema)))
        self.now(fresh.stop())

    def test_failed_upgrade(self) -> None:
        """A step that fails leaves the schema as it was."""
        self.closed("a")
        self.refused(migrations=(FIRST, "CREATE TABLE other (x); CREATE TABLE words (x)"))
        self.closed("b")
        tables = sqlite3.connect(self.path).execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        self.assertEqual(tables.fetchall(), [("words",)])

    def test_newer(self) -> None:
        """A file of a newer version is refused and left as it is."""
        self.closed("a", migrations=(FIRST, SECOND))
        before = self.path.read_bytes()
        self.assertIn("newer imd (schema 2, this one knows 1)", self.refused())
        self.assertEqual(self.path.read_bytes(), before)

    def test_foreign(self) -> None:
        """A database of another program is refused and left as it is."""
        with sqlite3.connect(self.path) as other:
            other.execute("CREATE TABLE theirs (x)")
        other.close()
        before = self.path.read_bytes()
        self.assertIn("some other program", self.refused())
        self.assertEqual(self.path.read_bytes(), before)

    def test_garbage(self) -> None:
        """What is no database is refused and left as it is."""
        self.path.write_bytes(b"not a database at all" * 100)
        self.assertIn("damaged", self.refused())
        self.assertEqual(self.path.read_bytes(), b"not a database at all" * 100)

    def test_damaged(self) -> None:
        """A page that was overwritten is found at the first start after an unclean stop."""
        self.closed(*(f"{n:0100}" for n in range(500)))
        with self.path.open("r+b") as file:
            file.seek(4096 * 5)
            file.write(b"\xa5" * 4096)
        Path(f"{self.path}-wal").write_bytes(b"a log that was not folded in")
        self.assertIn("restore it from a backup", self.refused())

    def test_truncated(self) -> None:
        """A file that lost its end is refused, also after a clean stop."""
        self.closed(*(f"{n:0100}" for n in range(500)))
        os.truncate(self.path, 4096 * 3)
        self.assertIn("damaged", self.refused())

    def test_no_folder(self) -> None:
        """A folder that is not there is named, with what to do."""
        self.path = self.folder / "missing" / "words.db"
        self.assertIn("check owner and mode", self.refused())

    def test_read_only_folder(self) -> None:
        """A folder that cannot be written is named, with what to do."""
        if os.geteuid() == 0:
            raise SkipTest("root may write anywhere")
        self.folder.chmod(0o500)
        self.addCleanup(self.folder.chmod, 0o700)
        self.assertIn("check owner and mode", self.refused())

    def test_held_by_another_program(self) -> None:
        """A file that some other program has locked is named."""
        self.closed()
        other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(other.close)
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("INSERT INTO words VALUES ('theirs')")
        self.patch(sqlite, "_BUSY_TIMEOUT_S", 0)
        self.assertIn("no other program holds it", self.refused())


class Writing(Case):
    """What a write means, and what its failure means."""

    def setUp(self) -> None:
        super().setUp()
        self.db = self.started()

    def tearDown(self) -> None:
        self.now(self.db.stop())

    def test_all_or_nothing(self) -> None:
        """What fails in the middle of a transaction leaves nothing, and the next one works."""
        self.failureResultOf(self.db.write(put("a", "b", "a")), ServerBusy)
        self.assertEqual(self.successResultOf(self.db.read(words)), [])
        self.successResultOf(self.db.write(put("a")))
        self.assertEqual(self.successResultOf(self.db.read(words)), ["a"])

    def test_fault_of_the_caller(self) -> None:
        """A job that raises by itself fails as it is, is rolled back, and harms no other."""

        def faulty(connection: sqlite3.Connection) -> None:
            with transaction(connection):
                connection.execute("INSERT INTO words (word) VALUES ('a')")
                raise KeyError("planted")

        self.failureResultOf(self.db.write(faulty), KeyError)
        self.successResultOf(self.db.write(put("b")))
        self.assertEqual(self.successResultOf(self.db.read(words)), ["b"])

    def test_full(self) -> None:
        """A full disk refuses, stores nothing, and needs no restart when there is space again."""

        def limit(pages: int) -> Callable[[sqlite3.Connection], Any]:
            return lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()

        self.successResultOf(self.db.write(put("before")))
        self.successResultOf(self.db.write(limit(4)))
        for _ in range(3):
            self.failureResultOf(self.db.write(put("x" * 20_000)), ServerBusy)
            self.failureResultOf(
                self.db.write(
                    lambda connection: connection.execute(
                        "INSERT INTO words (word) VALUES (?)", ("y" * 20_000,)
                    )
                ),
                ServerBusy,
            )
        self.assertEqual(self.successResultOf(self.db.read(words)), ["before"])
        self.successResultOf(self.db.write(limit(1_000_000)))
        self.successResultOf(self.db.write(put("x" * 20_000)))

    def test_readers_cannot_write(self) -> None:
        """A job that was handed to a reader by mistake changes nothing."""
        self.failureResultOf(self.db.read(put("a")), ServerBusy)
        self.assertEqual(self.successResultOf(self.db.read(words)), [])

    def test_busy(self) -> None:
        """While some other program holds the file, nothing is stored, and that is certain."""
        other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        self.successResultOf(self.db.write(lambda connection: connection.execute("PRAGMA busy_timeout = 0")))
        self.failureResultOf(self.db.write(put("a")), ServerBusy)
        other.execute("ROLLBACK")
        self.successResultOf(self.db.write(put("a")))

    def test_doubt(self) -> None:
        """Only a file system that fails while a commit is written leaves its outcome unknown."""
        for code, expected in (
            (sqlite3.SQLITE_IOERR_FSYNC, OutcomeUnknown),
            (sqlite3.SQLITE_IOERR_WRITE, OutcomeUnknown),
            (sqlite3.SQLITE_FULL, ServerBusy),
            (sqlite3.SQLITE_READONLY, ServerBusy),
            (sqlite3.SQLITE_BUSY, ServerBusy),
            (sqlite3.SQLITE_CORRUPT, ServerBusy),
        ):
            error = sqlite3.OperationalError("planted")
            error.sqlite_errorcode = code
            self.assertIs(type(write_error(error)), expected)

    def test_settled(self) -> None:
        """After a write in doubt a settled read first needs a commit; it fails as long as that fails."""

        def fails(code: int) -> Callable[[sqlite3.Connection], None]:
            def work(connection: sqlite3.Connection) -> None:
                error = sqlite3.OperationalError("planted")
                error.sqlite_errorcode = code
                raise error

            return work

        def read() -> Deferred[list[str]]:
            return Deferred.fromCoroutine(self.db.read_settled(words))

        self.successResultOf(self.db.write(put("a")))
        log = Path(f"{self.path}-wal")
        size = log.stat().st_size
        self.failureResultOf(self.db.write(fails(sqlite3.SQLITE_FULL)), ServerBusy)
        self.assertEqual(self.successResultOf(read()), ["a"])
        self.assertEqual(log.stat().st_size, size)
        self.failureResultOf(self.db.write(fails(sqlite3.SQLITE_IOERR_FSYNC)), OutcomeUnknown)
        with closing(sqlite3.connect(self.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            self.successResultOf(self.db.write(lambda c: c.execute("PRAGMA busy_timeout = 0")))
            self.failureResultOf(read(), ServerBusy)
            self.assertEqual(self.successResultOf(self.db.read(words)), ["a"])
        self.assertEqual(log.stat().st_size, size)
        self.assertEqual(self.successResultOf(read()), ["a"])
        self.assertGreater(log.stat().st_size, size)

    def test_failure_is_logged_once(self) -> None:
        """The first refused write raises the alarm; the next ones do not fill the log."""
        events: list[LogEvent] = []

        @implementer(ILogObserver)
        def observe(event: LogEvent) -> None:
            events.append(event)

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        for _ in range(5):
            self.failureResultOf(self.db.write(put("a", "a")), ServerBusy)
        self.successResultOf(self.db.write(put("a")))
        self.assertEqual([event["log_level"].name for event in events], ["critical", "info"])


class Stopping(Case):
    """What is submitted is done; then the file is alone and complete."""

    def test_drained(self) -> None:
        """Stop waits for every job that was submitted, folds the log in, and closes."""
        calls = Calls()
        threads = Threads(start=start_thread, call_in_reactor=calls.call_in_reactor)

        async def work() -> None:
            database = self.database(threads=threads)
            await database.start()
            writes = [database.write(put(f"{n:03}")) for n in range(50)]
            reads = [database.read(words) for _ in range(10)]
            await database.stop()
            self.assertTrue(all(done.called for done in writes))
            self.assertTrue(all(done.called for done in reads))

        calls.drive(work())
        self.assertEqual([path.name for path in self.folder.iterdir()], ["words.db"])
        self.assertEqual(words(sqlite3.connect(self.path)), [f"{n:03}" for n in range(50)])

    def test_closed(self) -> None:
        """Before start and after stop a job is refused, with nothing done."""
        database = self.database()
        self.failureResultOf(database.write(words), ServerBusy)
        self.now(database.start())
        self.now(database.stop())
        self.failureResultOf(database.write(words), ServerBusy)
        self.failureResultOf(database.read(words), ServerBusy)

    def test_overload(self) -> None:
        """When the disk does not keep up, jobs are refused instead of piling up."""
        database = self.started(
            threads=Threads(start=lambda name, run: None, call_in_reactor=lambda *_: None)
        )
        waiting = [database.write(words) for _ in range(1000)]
        self.failureResultOf(database.write(words), ServerBusy)
        self.assertFalse(any(done.called for done in waiting))
        self.successResultOf(Deferred.fromCoroutine(self.database().start()))
