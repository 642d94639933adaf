"""MongoDB killed, paused and failed over while messages are written: nothing is lost, doubled or out of order."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor  # noqa: TID251 -- a real server, on real time
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from imd.core.message.mongo import MongoMessageLog
from imd.ctl.cluster.engines import Mongod
from tests.live.engines import fresh
from tests.live.mongo import MongoCase, database_of
from tests.live.mongo_load import Load, check, pause


class FailureLiveTests(MongoCase):
    """A MongoDB of the test's own, and a node that writes all the time."""

    timeout = 120

    async def loaded(self, mongod: Mongod) -> Load:
        """Writing has begun."""
        database = database_of(mongod)
        await database.start()
        self.addCleanup(lambda: self.ended(database))
        log = MongoMessageLog(database=database, clock=reactor, collections=4)
        await log.start()
        self.addCleanup(lambda: self.ended(log))
        load = Load(log)
        self.addCleanup(lambda: self.ended(load.tasks))
        load.start()
        await load.more(300)
        return load

    def run_on(self, members: int, scenario: Any) -> Deferred[None]:
        async def work() -> None:
            mongod: Mongod = await deferToThread(fresh, self, "mongo", members=members)
            load = await self.loaded(mongod)
            await scenario(mongod, load)
            await load.more(300)
            await load.stop()
            self.assertEqual(await check(mongod, load), len(load.promised))

        return Deferred.fromCoroutine(work())

    def test_kill(self) -> Deferred[None]:
        """What was promised before a kill -9 of the only server is there after its restart."""

        async def scenario(mongod: Mongod, load: Load) -> None:
            for _ in range(2):
                await deferToThread(mongod.kill)
                await pause(0.5)
                await deferToThread(mongod.start)
                await load.more(200)

        return self.run_on(1, scenario)

    def test_pause(self) -> Deferred[None]:
        """A server that hangs for 13 seconds leaves writes in doubt, which are settled when it goes on."""

        async def scenario(mongod: Mongod, load: Load) -> None:
            mongod.pause()
            # 6 s until the insert is given up, 5 s to look what became of it.
            await pause(13)
            mongod.resume()
            self.assertGreater(load.unknown, 0)
            await load.more(100)
            self.assertEqual(load.failures, 0)

        return self.run_on(1, scenario)

    def test_failover(self) -> Deferred[None]:
        """A primary that steps down, and one that is killed, are replaced, and writing goes on."""

        async def scenario(mongod: Mongod, load: Load) -> None:
            await deferToThread(mongod.step_down)
            await load.more(300)
            primary = await deferToThread(mongod.primary)
            await deferToThread(mongod.kill_member, primary)
            await load.more(300)
            await deferToThread(mongod.start_member, primary)

        return self.run_on(3, scenario)


class RaceLiveTests(MongoCase):
    """Two nodes that both believe that a conversation is theirs."""

    collections = 2

    def test_two_writers(self) -> Deferred[None]:
        """2,000 messages that two nodes append to one conversation are contiguous, each where it was promised."""

        async def work() -> None:
            log = await self.log_on(await self.opened())
            loads = [Load(log, conversations=1, node_id=node_id) for node_id in (1, 2)]
            for load in loads:
                load.start(senders=20)
            for load in loads:
                await load.more(1000)
            for load in loads:
                await load.stop()
            count = await check(self.mongod, *loads)
            self.assertEqual(count, sum(len(load.promised) for load in loads))

        return Deferred.fromCoroutine(work())
