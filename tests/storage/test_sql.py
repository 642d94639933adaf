"""SQL databases: one function, one transaction, and failures with a name."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

from sqlalchemy import Column, Connection, Engine, Integer, MetaData, String, Table, insert, select, text
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.schema import CreateTable
from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from imd.business.tables.base import SCHEMA as BUSINESS
from imd.kernel.errors import Forbidden, OutcomeUnknown, ServerBusy
from imd.storage import sql
from imd.storage.sql import (
    MYSQL_TABLE,
    SLOW_AFTER_S,
    TRIES,
    Database,
    Id,
    insert_ignore,
    insert_or_lock,
    metadata,
)
from imd.storage.sql_sqlite import open_sqlite

T = TypeVar("T")

SCHEMA = metadata()
things = Table(
    "things",
    SCHEMA,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("name", String(64), unique=True),
    **MYSQL_TABLE,
)


def at_once(work: Callable[[], T]) -> Deferred[T]:
    """A thread pool without threads."""
    return execute(work)


class MysqlError(Exception):
    """As the driver raises them: number, text."""


def sqlite_error(code: int) -> sqlite3.Error:
    """As the driver raises them."""
    error = sqlite3.OperationalError("it failed")
    error.sqlite_errorcode = code
    return error


class SlowThreads:
    """A thread pool whose work starts and ends when the test says."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], Any]] = []

    def __call__(self, work: Callable[[], T], /) -> Deferred[T]:
        done: Deferred[T] = Deferred()
        self.waiting.append(lambda: done.callback(work()))
        return done


class DatabaseCase(SynchronousTestCase):
    """A database, and a clock that stands still."""

    def engine(self) -> Engine:
        """One that has the tables, and nothing in them."""
        engine = open_sqlite(None)
        SCHEMA.create_all(engine)
        return engine

    def open(self, threads: Any = at_once) -> Database:
        self.clock = Clock()
        database = Database(connect=self.engine, threads=at_once, clock=self.clock, timeout_s=5.0)
        self.successResultOf(Deferred.fromCoroutine(database.start()))
        database._threads = threads
        return database

    def write(self, database: Database, work: Callable[[Connection], T]) -> Deferred[T]:
        return Deferred.fromCoroutine(database.write(work))

    def names(self, database: Database) -> list[str]:
        read = database.read(lambda c: list(c.execute(select(things.c.name)).scalars()))
        return self.successResultOf(Deferred.fromCoroutine(read))


class Transactions(DatabaseCase):
    """One function, one transaction; on MariaDB as well, see tests/live/test_mariadb_transactions.py."""

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

    def test_insert_or_lock(self) -> None:
        """Rows whose keys are taken stay as they are, and the others come to them."""
        database = self.open()
        for rows in ([{"id": 1, "name": "a"}], [{"id": 1, "name": "b"}, {"id": 2, "name": "c"}], []):
            self.successResultOf(self.write(database, partial(insert_or_lock, table=things, rows=rows)))
        self.assertEqual(self.names(database), ["a", "c"])

    def test_failing(self) -> None:
        """A failing database is busy; neither the answer nor the log shows what was written."""
        database = self.open()
        logged: list[Any] = []
        observer = cast(ILogObserver, logged.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        broken = self.write(
            database, lambda c: c.execute(text("INSERT INTO nowhere VALUES (:it)"), {"it": "canary"}).rowcount
        )
        failure = self.failureResultOf(broken, ServerBusy)
        self.assertNotIn("canary", failure.getTraceback() + str(logged))
        self.assertTrue(any("database failed" in event["log_format"] for event in logged))

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

    def test_slow(self) -> None:
        """Behind a call that waits too long for a thread few may wait; a burst on a quick database is not slow."""
        threads = SlowThreads()
        database = self.open(threads)
        database._slow_queue = 3
        for _ in range(10):
            self.assertNoResult(self.write(database, lambda _: 1))
        self.clock.advance(SLOW_AFTER_S + 0.1)
        self.assertIn("too much", str(self.failureResultOf(self.write(database, lambda _: 1), ServerBusy)))
        for _ in range(8):
            threads.waiting.pop(0)()
        self.assertNoResult(self.write(database, lambda _: 1))

    def test_in_the_way(self) -> None:
        """A transaction that others were in the way of runs again as a whole, so many times and no more."""
        database = self.open()
        runs: list[int] = []

        def work(connection: Connection, *, succeeds: bool) -> int:
            runs.append(connection.execute(insert(things).values(id=len(runs), name="a")).rowcount)
            if succeeds and len(runs) == 3:
                return len(runs)
            raise OperationalError("", {}, MysqlError(1213, "Deadlock found"))

        self.assertEqual(self.successResultOf(self.write(database, partial(work, succeeds=True))), 3)
        self.assertEqual(self.names(database), ["a"])
        self.successResultOf(self.write(database, lambda c: c.execute(things.delete()).rowcount))
        runs.clear()
        self.failureResultOf(self.write(database, partial(work, succeeds=False)), ServerBusy)
        self.assertEqual((len(runs), self.names(database)), (TRIES, []))

    def test_in_the_way_of_nobody(self) -> None:
        """Once nobody waits for it, a transaction is not tried again."""
        threads = SlowThreads()
        database = self.open(threads)
        runs: list[int] = []

        def work(_: Connection) -> None:
            runs.append(1)
            self.clock.advance(5.1)
            raise OperationalError("", {}, MysqlError(1205, "Lock wait timeout exceeded"))

        written = self.write(database, work)
        self.assertRaises(OperationalError, threads.waiting.pop())
        self.failureResultOf(written, OutcomeUnknown)
        self.assertEqual(len(runs), 1)

    def test_commit_in_doubt(self) -> None:
        """A commit without an answer is in doubt; one that was refused for another's sake is repeated."""
        for error, expected in (
            (MysqlError(2013, "Lost connection"), OutcomeUnknown),
            (MysqlError(1180, "Got error 5 during COMMIT"), OutcomeUnknown),
            (sqlite_error(sqlite3.SQLITE_IOERR), OutcomeUnknown),
            (sqlite_error(sqlite3.SQLITE_FULL), ServerBusy),
            (MysqlError(1213, "Deadlock found"), None),
        ):
            database = self.open()
            engine = database._engine
            assert engine is not None
            refuse = iter([OperationalError("", {}, error)])
            commit = engine.dialect.do_commit

            def refuse_once(connection: Any, refuse: Any = refuse, commit: Any = commit) -> None:
                for one in refuse:
                    raise one
                commit(connection)

            self.patch(engine.dialect, "do_commit", refuse_once)
            written = self.write(
                database, lambda c: c.execute(insert(things).values(id=1, name="a")).rowcount
            )
            if expected is None:
                self.assertEqual(self.names(database), ["a"])
                continue
            failure = self.failureResultOf(written, ServerBusy, OutcomeUnknown)
            self.assertIs(failure.type, expected, str(error))
            self.assertEqual(self.names(database), [], str(error))

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
