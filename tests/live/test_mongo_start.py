"""What an operator reads when MongoDB is not as it should be."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor  # noqa: TID251 -- a real server, on real time
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread

from imd.core.message.model import AppendResult
from imd.core.message.mongo import MongoMessageLog
from imd.core.message.mongo_indexes import CHECK_EVERY_S
from imd.ctl.cluster.engine import free_port
from imd.ctl.cluster.engines import Mongod
from imd.kernel.clocks import system_wall_clock
from imd.kernel.errors import ServerBusy, StartupError
from tests.contract.bus import scenario
from tests.contract.message_log import message
from tests.live.engines import engine
from tests.live.mongo import MongoCase, database_of
from tests.live.mongo_load import until


class StartCase(MongoCase):
    """Scenarios on the shared server."""

    def drive(self, work: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(work)

    def as_root(self, mongod: Mongod, *command: Any, **options: Any) -> Deferred[Any]:
        def run() -> Any:
            with mongod.client() as client:
                return client[mongod.database].command(*command, **options)

        return deferToThread(run)


class ConnectLiveTests(StartCase):
    """A database that cannot be used."""

    async def refusal(self, **settings: Any) -> str:
        """What starting with these settings says."""
        database = database_of(await deferToThread(engine, "mongo"), **settings)
        with self.assertRaises(StartupError) as caught:
            await database.start()
        return str(caught.exception)

    @scenario
    async def test_password(self) -> None:
        """A wrong password is called that, at start; txmongo would go on without having logged in."""
        self.assertIn("refuses user 'imd' of database 'imd': wrong name", await self.refusal(password="no"))

    @scenario
    async def test_no_login(self) -> None:
        """Without a login, where one is asked for, the first write says so."""
        self.assertIn("may not write there: grant it the role", await self.refusal(user=""))

    @scenario
    async def test_mechanism(self) -> None:
        """A user that has SCRAM-SHA-256 only is told how to get the other."""
        mongod = await deferToThread(engine, "mongo")
        await self.as_root(
            mongod, "createUser", "modern", pwd="p", roles=["readWrite"], mechanisms=["SCRAM-SHA-256"]
        )
        self.addCleanup(self.as_root, mongod, "dropUser", "modern")
        said = await self.refusal(user="modern", password="p")
        self.assertIn("the MongoDB user 'modern' has SCRAM-SHA-256 only, and SCRAM-SHA-1 is needed", said)
        self.assertIn("db.updateUser('modern'", said)

    @scenario
    async def test_replica_set(self) -> None:
        """Another replica set than the one that is meant is not used."""
        said = await self.refusal(replica_set="other")
        self.assertIn("belongs to replica set 'imd', not 'other'", said)

    @scenario
    async def test_unreachable(self) -> None:
        """A server that is not there is named, after a while in which it could have come."""
        port = free_port()
        mongod = await deferToThread(engine, "mongo")
        database = database_of(mongod, hosts=[f"127.0.0.1:{port}"], start_patience_s=1.0)
        began_s = reactor.seconds()
        with self.assertRaises(StartupError) as caught:
            await database.start()
        self.assertIn(f"MongoDB at 127.0.0.1:{port} cannot be reached", str(caught.exception))
        self.assertGreater(reactor.seconds() - began_s, 1.0)

    @scenario
    async def test_clock(self) -> None:
        """A machine whose clock is far from the server's does not join."""
        said = await self.refusal(wall_clock=lambda: system_wall_clock() - 3_600_000)
        self.assertIn("s from this machine's: set both by NTP", said)
        self.assertIn("is +3", said)


class IndexLiveTests(StartCase):
    """The unique indexes, which alone keep the order (S5)."""

    async def log_by(self, clock: Clock) -> MongoMessageLog:
        """A log that looks after its indexes by this clock."""
        log = MongoMessageLog(database=await self.opened(), clock=clock, collections=2)
        await log.start()
        self.addCleanup(lambda: self.ended(log))
        return log

    def drop(self, name: str) -> Deferred[Any]:
        return self.as_root(self.mongod, "dropIndexes", "message_1", index=name)

    def create(self, **options: Any) -> Deferred[Any]:
        index = {"name": "by_seq", "key": {"c": 1, "s": 1}, **options}
        return self.as_root(self.mongod, "createIndexes", "message_1", indexes=[index])

    @scenario
    async def test_dropped(self) -> None:
        """While a unique index is missing, or is not unique, nothing is written; then it goes on."""
        clock = Clock()
        log = await self.log_by(clock)
        self.assertTrue(log.ready)
        self.addCleanup(self.create, unique=True)
        await self.drop("by_seq")
        clock.advance(CHECK_EVERY_S)
        await until(lambda: not log.ready)
        with self.assertRaises(ServerBusy):
            await log.append([message(1)])
        await self.create()
        clock.advance(CHECK_EVERY_S)
        # The look that is under way sees it or not, the next one does.
        await log.last_seqs(["c1"])
        self.assertFalse(log.ready)
        await self.drop("by_seq")
        await self.create(unique=True)
        while not log.ready:
            clock.advance(CHECK_EVERY_S)
            await log.last_seqs(["c1"])
        self.assertEqual(await log.append([message(1)]), AppendResult(stored=1))

    @scenario
    async def test_missing_at_start(self) -> None:
        """Where there are messages, a missing index is not made in passing: they may be doubled already."""
        log = await self.log_by(Clock())
        names = iter(f"c{number}" for number in range(100))
        await log.append([message(1, conversation=next(n for n in names if log.partition_of(n) == 1))])
        self.addCleanup(self.create, unique=True)
        await self.drop("by_seq")
        second = MongoMessageLog(database=log._database, clock=Clock(), collections=2)
        with self.assertRaises(StartupError) as caught:
            await second.start()
        self.assertIn("db.message_1.createIndex({'c': 1, 's': 1}, {unique: true})", str(caught.exception))

    @scenario
    async def test_many_at_once(self) -> None:
        """Eight nodes that start at the same time on an empty database all start, and one writes at once."""
        database = await self.opened()
        for collection in ("message_0", "message_1", "cursors"):
            await self.as_root(self.mongod, "drop", collection)
        logs = [MongoMessageLog(database=database, clock=Clock(), collections=2) for _ in range(8)]

        async def begin(log: MongoMessageLog) -> None:
            await log.start()
            self.addCleanup(lambda: self.ended(log))
            await log.append([message(1, key=str(id(log)))])

        await gatherResults([Deferred.fromCoroutine(begin(log)) for log in logs], consumeErrors=True)
        self.assertEqual(await logs[0].last_seqs(["c1"]), {"c1": 1})
