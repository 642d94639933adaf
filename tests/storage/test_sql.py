"""SQL databases: durable settings, one schema version, failures with a name."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, insert, select
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import IntegrityError
from sqlalchemy.schema import CreateTable
from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from imd.business.schema import SCHEMA as BUSINESS
from imd.kernel.errors import Forbidden, OutcomeUnknown, ServerBusy, StartupError
from imd.storage import sql
from imd.storage.sql import Database, Id, insert_ignore, metadata, open_sqlite, prepare_schema

T = TypeVar("T")

SCHEMA = metadata()
things = Table(
    "things",
    SCHEMA,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("name", String(64), unique=True),
)


def at_once(work: Callable[[], T]) -> Deferred[T]:
    """A thread pool without threads."""
    return execute(work)


class SlowThreads:
    """A thread pool whose work starts and ends when the test says."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], Any]] = []

    def __call__(self, work: Callable[[], T], /) -> Deferred[T]:
        done: Deferred[T] = Deferred()
        self.waiting.append(lambda: done.callback(work()))
        return done


class Files(SynchronousTestCase):
    """What is on disk, and how it is treated there."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def test_private(self) -> None:
        """The file and what SQLite puts beside it are readable by their owner alone."""
        engine = open_sqlite(self.path)
        prepare_schema(engine, SCHEMA, name="test")
        files = list(self.path.parent.glob(self.path.name + "*"))
        self.assertIn(f"{self.path.name}-wal", {file.name for file in files})
        self.assertEqual({stat.S_IMODE(file.stat().st_mode) for file in files}, {0o600})
        engine.dispose()

    def test_durable(self) -> None:
        """Every connection writes ahead, syncs fully, keeps foreign keys and waits for other writers."""
        engine = open_sqlite(self.path)
        with engine.connect() as one, engine.connect() as two:
            for connection in (one, two):
                connection.execution_options(imd_begin="DEFERRED")
                found = [
                    connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                    for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
                ]
                self.assertEqual(found, ["wal", 2, 1, 5000])
        engine.dispose()

    def test_not_a_database(self) -> None:
        """A file that is no database stops the start, with what to do about it."""
        self.path.write_bytes(b"this is not a database, it is a letter" * 100)
        with self.assertRaises(StartupError) as caught:
            open_sqlite(self.path)
        self.assertIn("restore it from a backup", str(caught.exception))

    def test_damaged(self) -> None:
        """Pages overwritten with noise stop the start."""
        engine = open_sqlite(self.path)
        prepare_schema(engine, SCHEMA, name="test")
        with engine.begin() as connection:
            connection.execute(insert(things), [{"id": n, "name": f"name {n}" * 5} for n in range(500)])
        engine.dispose()
        content = bytearray(self.path.read_bytes())
        content[8192:16384] = b"\xa5" * 8192
        self.path.write_bytes(content)
        with self.assertRaises(StartupError) as caught:
            open_sqlite(self.path)
        self.assertIn("backup", str(caught.exception))

    def test_odd_names(self) -> None:
        """What a URL would cut off or decode is part of the path."""
        path = self.path.with_name("what? 100%25 #1.db")
        engine = open_sqlite(path)
        prepare_schema(engine, SCHEMA, name="test")
        engine.dispose()
        with sqlite3.connect(path) as connection:
            self.assertEqual(connection.execute("SELECT count(*) FROM things").fetchone(), (0,))
        connection.close()

    def test_no_folder(self) -> None:
        """A path that cannot be made is named."""
        with self.assertRaises(StartupError) as caught:
            open_sqlite(self.path / "nowhere" / "x.db")
        self.assertIn("nowhere", str(caught.exception))

    def test_newer(self) -> None:
        """A database of a newer release is refused, and not touched."""
        engine = open_sqlite(self.path)
        prepare_schema(engine, SCHEMA, name="test", migrations=[lambda _: None] * 6)
        with self.assertRaises(StartupError) as caught:
            prepare_schema(engine, SCHEMA, name="test")
        self.assertIn("version 7, this release knows 1", str(caught.exception))
        engine.dispose()

    def test_upgrade(self) -> None:
        """Only the steps that are missing run, in order, once."""
        ran: list[int] = []
        steps: list[Callable[[Connection], None]] = [lambda _: ran.append(2), lambda _: ran.append(3)]
        engine = open_sqlite(self.path)
        prepare_schema(engine, SCHEMA, name="test")
        prepare_schema(engine, SCHEMA, name="test", migrations=steps[:1])
        prepare_schema(engine, SCHEMA, name="test", migrations=steps)
        prepare_schema(engine, SCHEMA, name="test", migrations=steps)
        self.assertEqual(ran, [2, 3])
        engine.dispose()

    def test_foreign(self) -> None:
        """Tables of our names that somebody else made are not taken for ours."""
        connection = sqlite3.connect(self.path)
        connection.execute("CREATE TABLE things (x)")
        connection.close()
        engine = open_sqlite(self.path)
        with self.assertRaises(StartupError) as caught:
            prepare_schema(engine, SCHEMA, name="test")
        self.assertIn("things", str(caught.exception))
        engine.dispose()


class Transactions(SynchronousTestCase):
    """One function, one transaction."""

    def open(self, threads: Any = at_once) -> Database:
        def connect() -> Any:
            engine = open_sqlite(None)
            prepare_schema(engine, SCHEMA, name="test")
            return engine

        self.clock = Clock()
        database = Database(connect=connect, threads=at_once, clock=self.clock, timeout_s=5.0)
        self.successResultOf(Deferred.fromCoroutine(database.start()))
        database._threads = threads
        return database

    def write(self, database: Database, work: Callable[[Connection], T]) -> Deferred[T]:
        return Deferred.fromCoroutine(database.write(work))

    def names(self, database: Database) -> list[str]:
        read = database.read(lambda c: list(c.execute(select(things.c.name)).scalars()))
        return self.successResultOf(Deferred.fromCoroutine(read))

    def test_rollback(self) -> None:
        """What a function did before it raised is undone, and what it raised arrives."""
        database = self.open()

        def work(connection: Connection) -> None:
            connection.execute(insert(things).values(id=1, name="a"))
            raise Forbidden("no")

        self.failureResultOf(self.write(database, work), Forbidden)
        self.assertEqual(self.names(database), [])

    def test_integrity(self) -> None:
        """A refused key is an answer, not a failure of the database."""
        database = self.open()
        row = insert(things).values(id=1, name="a")
        self.successResultOf(self.write(database, lambda c: c.execute(row).rowcount))
        self.failureResultOf(self.write(database, lambda c: c.execute(row).rowcount), IntegrityError)

    def test_insert_ignore(self) -> None:
        """Rows whose keys are taken are left out, the others counted."""
        database = self.open()
        rows = [{"id": n, "name": f"n{n}"} for n in range(1200)]
        first = self.write(database, lambda c: insert_ignore(c, things, rows[:700]))
        again = self.write(database, lambda c: insert_ignore(c, things, rows))
        self.assertEqual((self.successResultOf(first), self.successResultOf(again)), (700, 500))

    def test_failing(self) -> None:
        """A failing database is busy; neither the answer nor the log shows what was written."""
        database = self.open()
        logged: list[Any] = []
        observer = cast(ILogObserver, logged.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        broken = self.write(
            database, lambda c: c.exec_driver_sql("INSERT INTO nowhere VALUES (?)", ("canary",)).rowcount
        )
        failure = self.failureResultOf(broken, ServerBusy)
        self.assertNotIn("canary", failure.getTraceback() + str(logged))
        self.assertTrue(any("database failed" in event["log_format"] for event in logged))

    def test_full_disk(self) -> None:
        """A full disk refuses writes as busy, with one line logged, and goes on reading; with space it writes."""
        database = self.open()
        limit = "PRAGMA max_page_count={}"

        def pages(number: int) -> None:
            work = self.write(database, lambda c: c.exec_driver_sql(limit.format(number)).scalar())
            self.successResultOf(work)

        rows = [{"id": n, "name": f"name {n}" * 5} for n in range(1000)]
        pages(1)
        logged: list[str] = []
        observer = cast(ILogObserver, lambda event: logged.append(event["log_level"].name))
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        for _ in range(3):
            failed = self.write(database, lambda c: insert_ignore(c, things, rows))
            self.failureResultOf(failed, ServerBusy)
        self.assertEqual(self.names(database), [])
        self.assertEqual(logged, ["error"])
        pages(1_000_000)
        self.assertEqual(
            self.successResultOf(self.write(database, lambda c: insert_ignore(c, things, rows))), 1000
        )
        self.assertEqual(logged, ["error", "info"])

    def test_slow_before_it_began(self) -> None:
        """What waits too long for a thread is never done, and says so."""
        threads = SlowThreads()
        database = self.open(threads)
        written = self.write(database, lambda c: c.execute(insert(things).values(id=1, name="a")).rowcount)
        self.clock.advance(5.1)
        self.assertNotIsInstance(self.failureResultOf(written, ServerBusy).value, OutcomeUnknown)
        threads.waiting.pop()()
        database._threads = at_once
        self.assertEqual(self.names(database), [])

    def test_slow_in_the_middle(self) -> None:
        """A write that had begun may be there or not: the answer says that nobody knows."""

        def during(connection: Connection) -> None:
            # The time-out strikes while the transaction runs.
            self.clock.advance(5.1)
            connection.execute(insert(things).values(id=1, name="a"))

        threads = SlowThreads()
        database = self.open(threads)
        written = self.write(database, during)
        threads.waiting.pop()()
        self.failureResultOf(written, OutcomeUnknown)
        database._threads = at_once
        self.assertEqual(self.names(database), ["a"])

    def test_too_many(self) -> None:
        """What can wait is bounded, and what nobody waits for any more counts until a thread has seen it."""
        threads = SlowThreads()
        database = self.open(threads)
        self.patch(sql, "MAX_CALLS", 2)
        first = [self.write(database, lambda _: 1) for _ in range(2)]
        self.clock.advance(5.1)
        for written in first:
            self.failureResultOf(written, ServerBusy)
        self.assertIn("too much", str(self.failureResultOf(self.write(database, lambda _: 1), ServerBusy)))
        threads.waiting.pop()()
        self.assertNoResult(self.write(database, lambda _: 1))

    def test_not_open(self) -> None:
        """Before its start the database is busy, not broken."""
        database = Database(connect=lambda: open_sqlite(None), threads=at_once, clock=Clock())
        self.failureResultOf(Deferred.fromCoroutine(database.read(lambda _: 1)), ServerBusy)


class Portability(SynchronousTestCase):
    """The same tables elsewhere."""

    def test_mysql(self) -> None:
        """The business tables compile for MySQL, with 64-bit ids and named constraints."""
        statements = [
            str(CreateTable(table).compile(dialect=mysql.dialect())) for table in BUSINESS.sorted_tables
        ]
        text = "\n".join(statements)
        self.assertIn("BIGINT", text)
        self.assertIn("CONSTRAINT fk_logins_user_id_users", text)

    def test_names(self) -> None:
        """Every constraint of ours has a name that a migration can use."""
        schema: MetaData = metadata()
        table = Table("t", schema, Column("a", Integer, unique=True))
        self.assertIn("uq_t_a", {constraint.name for constraint in table.constraints})
