"""Databases on the shared MariaDB, and threads of a test's own that reach it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import cache
from itertools import count
from pathlib import Path
from secrets import token_hex
from threading import Thread
from typing import Any, TypeVar

import pymysql
from sqlalchemy import Engine
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from imd.business.schema import open_business_on
from imd.business.tables.base import SCHEMA
from imd.ctl.cluster.engines import MariaDb
from imd.storage.sql import Database
from imd.storage.sql_mysql import MysqlServer
from tests.live.engines import engine
from tests.storage.calls import Calls

T = TypeVar("T")

_numbers = count(1)


def place_of(server: MariaDb, database: str = "") -> MysqlServer:
    """How to reach a database of it, its own if none is named."""
    return MysqlServer(server.host, server.port, server.user, server.password, database or server.database)


def as_root(server: MariaDb, *statements: str) -> list[tuple[Any, ...]]:
    """Run these, each committed; the rows of the last one."""
    connection = pymysql.connect(
        host=server.host,
        port=server.port,
        user=server.root_user,
        password=server.root_password,
        autocommit=True,
    )
    with connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return list(cursor.fetchall())


def new_database(test: SynchronousTestCase, *, charset: str = "utf8mb4") -> MysqlServer:
    """An empty database of the test's own on the shared server."""
    server = engine("mariadb")
    name = f"imd_{next(_numbers)}"
    as_root(server, f"CREATE DATABASE {name} CHARACTER SET {charset}")
    test.addCleanup(as_root, server, f"DROP DATABASE {name}")
    return place_of(server, name)


def secret_file(test: SynchronousTestCase) -> str:
    """The path of a secret that nodes may share."""
    file = Path(test.mktemp()).absolute()
    file.touch(mode=0o600)
    file.write_text(token_hex(32))
    return str(file)


def _deadlocks() -> int:
    """Which the server has resolved so far."""
    ((_, count),) = as_root(engine("mariadb"), "SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'")
    return int(count)


#: As many as a pool in earnest has.
CONNECTIONS = 8


@cache
def _business() -> Engine:
    return open_business_on(place_of(engine("mariadb")), connections=CONNECTIONS)


def empty_business() -> Engine:
    """The business database of this process, without anybody in it."""
    business = _business()
    with business.begin() as connection:
        for table in reversed(SCHEMA.sorted_tables):
            connection.execute(table.delete())
    return business


class RacingCase(SynchronousTestCase):
    """Calls that run at the same time, each on a thread and connection of its own."""

    def setUp(self) -> None:
        self.calls = Calls()
        self.engine = empty_business()
        self.database = self.open()
        self._deadlocks = _deadlocks()

    def assert_no_deadlock(self) -> None:
        """Since the test began. (That one waits so long for another that it is undone may be the machine's fault.)"""
        self.assertEqual(_deadlocks() - self._deadlocks, 0)

    def open(self) -> Database:
        """Another node's view of the same database."""
        database = Database(connect=lambda: self.engine, threads=self.threads, clock=Clock())
        self.calls.drive(database.start())
        return database

    def threads(self, work: Callable[[], T], /) -> Deferred[T]:
        done: Deferred[T] = Deferred()

        def run() -> None:
            try:
                result = work()
            except BaseException:
                self.calls.call_in_reactor(done.errback, Failure())
            else:
                self.calls.call_in_reactor(done.callback, result)

        Thread(target=run, daemon=True).start()
        return done

    def run_(self, work: Coroutine[Deferred[Any], Any, T]) -> T:
        return self.calls.drive(work)

    def race(self, *works: Coroutine[Deferred[Any], Any, Any]) -> list[Any]:
        """What each of them returned or raised."""

        async def all_of_them() -> list[Any]:
            ended = await DeferredList([Deferred.fromCoroutine(work) for work in works], consumeErrors=True)
            return [result if good else result.value for good, result in ended]

        return self.calls.drive(all_of_them())
