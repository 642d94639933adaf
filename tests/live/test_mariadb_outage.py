"""A MariaDB that dies, hangs, or whose answer is lost on the way."""

from __future__ import annotations

from functools import partial
from typing import Any

from sqlalchemy import Column, Connection, Engine, Table, insert, select
from twisted.internet import reactor as _reactor  # noqa: TID251
from twisted.internet.defer import ensureDeferred
from twisted.internet.threads import blockingCallFromThread, deferToThread, deferToThreadPool
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import TestCase

from imd.kernel.errors import OutcomeUnknown, ServerBusy
from imd.storage import sql_mysql
from imd.storage.sql import MYSQL_TABLE, Database, Id, metadata
from imd.storage.sql_mysql import open_mysql
from tests.live.engines import fresh
from tests.live.fault_proxy import FaultProxy, Way, proxy_to
from tests.live.mariadb import place_of

reactor: Any = _reactor

SCHEMA = metadata()
things = Table("things", SCHEMA, Column("id", Id, primary_key=True, autoincrement=False), **MYSQL_TABLE)


class Outages(TestCase):
    """What callers hear, and that all is well afterwards."""

    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        # Of real time, and the server is on this machine.
        self.patch(sql_mysql, "_ANSWER_TIMEOUT_S", 1)
        self.server = await deferToThread(fresh, self, "mariadb")
        self.proxy: FaultProxy = await proxy_to(self, self.server.port)
        self.pool = ThreadPool(1, 2, "test-sql")
        self.pool.start()
        self.addCleanup(self.pool.stop)
        self.database = Database(
            connect=self.connect, threads=partial(deferToThreadPool, reactor, self.pool), clock=reactor
        )
        await self.database.start()
        self.addCleanup(lambda: ensureDeferred(self.database.stop()))

    def connect(self) -> Engine:
        engine = open_mysql(place_of(self.server)._replace(port=self.proxy.port), connections=2)
        SCHEMA.create_all(engine)
        return engine

    async def add(self, number: int) -> None:
        await self.database.write(lambda c: c.execute(insert(things).values(id=number)).rowcount)

    async def ids(self) -> list[int]:
        return await self.database.read(lambda c: sorted(c.execute(select(things.c.id)).scalars()))

    async def fails(self, work: Any) -> BaseException:
        """What it raises."""
        try:
            await work
        except Exception as error:
            return error
        raise AssertionError("it succeeded")

    async def test_killed(self) -> None:
        """While it is away all is busy; when it is back, the next call finds it, and what was committed."""
        await self.add(1)
        await deferToThread(self.server.kill)
        for work in (self.add(2), self.ids()):
            error = await self.fails(work)
            self.assertIs(type(error), ServerBusy)
        await deferToThread(self.server.start)
        self.assertEqual(await self.ids(), [1])
        await self.add(3)
        self.assertEqual(await self.ids(), [1, 3])

    async def test_hanging(self) -> None:
        """One that does not answer is given up in time, and used again when it does."""
        await self.add(1)
        await deferToThread(self.server.pause)
        started_s = reactor.seconds()
        error = await self.fails(self.ids())
        self.assertIs(type(error), ServerBusy)
        self.assertLess(reactor.seconds() - started_s, 6)
        await deferToThread(self.server.resume)
        self.assertEqual(await self.ids(), [1])

    async def test_lost_in_the_middle(self) -> None:
        """A connection that breaks before the commit has done nothing."""

        def work(connection: Connection) -> None:
            connection.execute(insert(things).values(id=1))
            blockingCallFromThread(reactor, self.proxy.reset)
            connection.execute(insert(things).values(id=2))

        self.assertIs(type(await self.fails(self.database.write(work))), ServerBusy)
        self.assertEqual(await self.ids(), [])

    async def test_lost_commit(self) -> None:
        """A commit whose answer is lost may be done: nobody is told that it is not."""

        def work(connection: Connection) -> None:
            connection.execute(insert(things).values(id=1))
            blockingCallFromThread(reactor, self.proxy.stall, Way.TO_CLIENT)

        self.assertIs(type(await self.fails(self.database.write(work))), OutcomeUnknown)
        await self.proxy.heal()
        self.assertEqual(await self.ids(), [1])

    async def test_commit_that_never_left(self) -> None:
        """Neither is one told so whose commit did not arrive; asking again does it."""

        def work(connection: Connection) -> None:
            connection.execute(insert(things).values(id=1))
            blockingCallFromThread(reactor, self.proxy.stall)

        self.assertIs(type(await self.fails(self.database.write(work))), OutcomeUnknown)
        self.proxy.reset()
        await self.proxy.heal()
        await self.add(1)
        self.assertEqual(await self.ids(), [1])

    async def test_flapping(self) -> None:
        """Through many breaks everything that was said to be done is, and nothing that was said not to be."""
        done, not_done = set(), set()
        for number in range(30):
            if number % 5 == 0:
                self.proxy.cut(400 + 37 * number)
            try:
                await self.add(number)
            except OutcomeUnknown:
                pass
            except ServerBusy:
                not_done.add(number)
            else:
                done.add(number)
        await self.proxy.heal()
        found = set(await self.ids())
        self.assertEqual((done - found, not_done & found), (set(), set()))
        self.assertTrue(done)
