"""The MongoDB client when servers are not what they should be, and when they stop being it."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from bson.datetime_ms import DatetimeMS
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.kernel.errors import OutcomeUnknown, ServerBusy, StartupError
from imd.kernel.timeouts import sleep
from imd.storage.mongo import MongoDatabase
from imd.storage.mongo_link import Host
from imd.storage.mongo_pool import CLOSE_IDLE_AFTER_S, MAX_IN_FLIGHT, WATCH_EVERY_S
from tests.contract.bus import scenario
from tests.contract.driving import drive
from tests.storage.fake_mongod import NOW_MS, FakeMongod, client_of, election

ASK = {"find": "things"}
TOLD = {"ok": 1.0, "cursor": {"id": 0, "ns": "imd.things", "firstBatch": [{"_id": 1}]}}
NOT_PRIMARY = {"ok": 0.0, "code": 10107, "codeName": "NotWritablePrimary", "errmsg": "not primary"}


class MongoCase(SynchronousTestCase):
    """Two members, ``a:1`` the primary, and a client of theirs."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.a = FakeMongod(self.clock, hosts=["a:1", "b:1"], electionId=election(1))
        self.b = FakeMongod(self.clock, isWritablePrimary=False)
        self.servers = {"a:1": self.a, "b:1": self.b}

    def drive(self, work: Coroutine[Any, Any, None]) -> None:
        drive(self.clock, work)

    async def opened(self, **settings: Any) -> MongoDatabase:
        database = client_of(self.clock, self.servers, **settings)
        await database.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(database.stop()))
        self.a.commands.clear()
        return database

    def write(self, database: MongoDatabase, *, repeatable: bool = False) -> Coroutine[Any, Any, Any]:
        return database.write(
            {"insert": "things"}, section="documents", items=[b"\5\0\0\0\0"], repeatable=repeatable
        )

    def elect(self) -> None:
        """``b`` is the primary from now on, and ``a`` knows it."""
        self.a.hello["isWritablePrimary"] = False
        self.b.hello |= {"isWritablePrimary": True, "electionId": election(2)}


class StartTests(MongoCase):
    """What an operator reads."""

    def refusal(self, **settings: Any) -> str:
        database = client_of(self.clock, self.servers, **settings)
        failure = Deferred.fromCoroutine(database.start())
        for _ in range(300):
            self.clock.advance(0.1)
        return str(self.failureResultOf(failure, StartupError).value)

    def test_not_a_replica_set(self) -> None:
        """A single server is told from a set that was not initiated, and from a mongos."""
        for hello, expected in (
            (
                {},
                "is not a replica set, so a majority cannot confirm anything: start mongod with --replSet imd",
            ),
            ({"isreplicaset": True}, "is not yet initiated as a replica set: run rs.initiate()"),
            ({"msg": "isdbgrid"}, 'is a mongos of a sharded cluster: set [mongo] replica_set to ""'),
        ):
            self.a.hello = {"ok": 1.0, "maxWireVersion": 17, "isWritablePrimary": True, **hello}
            self.assertIn(f"MongoDB at a:1 {expected}", self.refusal())

    def test_too_old(self) -> None:
        """A server without what we need says its age or does not even understand the question."""
        for hello in ({"maxWireVersion": 9}, {"ok": 0.0, "code": 59, "errmsg": "no such command"}):
            self.a.hello |= hello
            self.assertIn("MongoDB at a:1 is older than 5.0: upgrade it", self.refusal())

    def test_no_primary(self) -> None:
        """Members without a primary are all named, after a while in which they could have elected one."""
        self.a.hello["isWritablePrimary"] = False
        self.servers["b:1"].up = False
        said = self.refusal()
        self.assertIn("MongoDB at a:1 is not the primary; MongoDB at b:1 cannot be reached", said)
        self.assertGreater(self.clock.seconds(), 15)

    def test_no_majority(self) -> None:
        """A primary whose writes nobody else confirms is of no use."""
        concern = {"code": 64, "errmsg": "waiting for replication timed out"}
        self.a.answers = [{"ok": 1.0, "n": 1, "writeConcernError": concern}]
        self.assertIn("no majority of the MongoDB replica set confirms a write", self.refusal())
        (probe,) = self.a.commands
        self.assertEqual(probe["writeConcern"], {"w": "majority", "j": True, "wtimeout": 5000})

    def test_clock(self) -> None:
        """A clock that is minutes away is said with its distance."""
        self.a.hello["localTime"] = DatetimeMS(NOW_MS - 400_000)
        self.assertIn("the clock of MongoDB at a:1 is -400 s from this machine's", self.refusal())

    def test_comes_late(self) -> None:
        """A set that is still electing is waited for."""
        self.a.hello["isWritablePrimary"] = False
        self.clock.callLater(5, self.elect)
        database = client_of(self.clock, self.servers)
        drive(self.clock, database.start())
        self.assertTrue(database.ready)
        drive(self.clock, database.stop())

    def test_hosts(self) -> None:
        """Members are written like in any URL; what is not is refused before anything is opened."""
        for text, name, port in (("h:1", "h", 1), ("h", "h", 27017), ("[::1]:5", "::1", 5)):
            self.assertEqual(Host.parse(text), Host(name, port))
        self.assertEqual(str(Host.parse("[::1]:5")), "[::1]:5")
        for text in ("", ":1", "h:", "h:x", "h:0", "h:65536", "h:-1"):
            with self.assertRaises(ValueError):
                Host.parse(text)


class CallTests(MongoCase):
    """Questions and writes."""

    @scenario
    async def test_question(self) -> None:
        """A question is asked for what a majority has, with a limit that the server keeps too."""
        database = await self.opened()
        self.a.answers = [TOLD]
        self.assertEqual(await database.documents(ASK), [{"_id": 1}])
        (asked,) = self.a.commands
        self.assertEqual((asked["readConcern"], asked["maxTimeMS"]), ({"level": "majority"}, 5000))

    @scenario
    async def test_asked_again(self) -> None:
        """A question whose connection breaks, or that met an old primary, is asked once more."""
        database = await self.opened()
        for first in (b"nonsense that is no answer", NOT_PRIMARY):
            self.a.answers = [first, TOLD]
            self.assertEqual(await database.documents(ASK), [{"_id": 1}])
            self.a.answers = [first, first, TOLD]
            with self.assertRaises(ServerBusy):
                await database.documents(ASK)
            self.a.answers.clear()

    @scenario
    async def test_batches(self) -> None:
        """All batches of a long answer come, and one that is lost is not passed over."""
        database = await self.opened()
        first = {"ok": 1.0, "cursor": {"id": 7, "ns": "imd.a.b", "firstBatch": [{"_id": 1}]}}
        second = {"ok": 1.0, "cursor": {"id": 0, "ns": "imd.a.b", "nextBatch": [{"_id": 2}]}}
        self.a.answers = [first, second]
        self.assertEqual(await database.documents(ASK), [{"_id": 1}, {"_id": 2}])
        self.assertEqual(self.a.commands[1]["collection"], "a.b")
        self.a.answers = [first, b"\xff" * 16, second]
        with self.assertRaises(ServerBusy):
            await database.documents(ASK)

    @scenario
    async def test_writes(self) -> None:
        """Only an answer without reservation settles a write."""
        database = await self.opened()
        concern = {"ok": 1.0, "n": 1, "writeConcernError": {"code": 64, "errmsg": "timed out"}}
        changed = {"ok": 1.0, "n": 0, "writeErrors": [{"index": 0, "code": 11602, "errmsg": "stepped down"}]}
        for answer in (concern, changed, NOT_PRIMARY, {"ok": 0.0, "code": 262}, b"\0" * 16, None):
            self.a.answers = [answer]
            with self.assertRaises(OutcomeUnknown):
                await self.write(database)
            self.a.answers = [answer]
            self.assertEqual((await self.write(database, repeatable=True))["n"], 1)
        self.a.answers = [{"ok": 0.0, "code": 13, "errmsg": "not authorized"}]
        with self.assertRaises(ServerBusy):
            await self.write(database)
        doubled = {"ok": 1.0, "n": 0, "writeErrors": [{"index": 0, "code": 11000}]}
        self.a.answers = [doubled]
        self.assertEqual(await self.write(database), doubled)

    @scenario
    async def test_nowhere_to_write(self) -> None:
        """Without a server nothing is in doubt; in the second attempt the first one is."""
        database = await self.opened()
        self.a.up = False
        self.a.cut()
        await sleep(0, clock=self.clock)
        with self.assertRaises(ServerBusy):
            await self.write(database)
        self.a.up = True
        self.a.answers = [None]
        self.clock.callLater(3, lambda: setattr(self.a, "up", False))
        with self.assertRaises(OutcomeUnknown):
            await self.write(database, repeatable=True)

    @scenario
    async def test_closed(self) -> None:
        """A database that is stopped takes no calls, and those that wait for a connection end."""
        database = await self.opened()
        self.a.up = False
        self.a.cut()
        waiting = Deferred.fromCoroutine(database.read(ASK))
        await database.stop()
        with self.assertRaises(ServerBusy):
            await waiting
        with self.assertRaises(ServerBusy):
            await database.read(ASK)


class LinkTests(MongoCase):
    """Connections: never reused after a call that did not end well (S12), never to an old primary."""

    @scenario
    async def test_late_answer(self) -> None:
        """After a time-out the connection is closed: no later call gets the answer of an earlier one."""
        database = await self.opened()
        (wire,) = self.a.wires
        self.a.answers = [None, TOLD]
        self.assertEqual(await database.documents(ASK), [{"_id": 1}])
        self.assertNotIn(wire, self.a.wires)

    @scenario
    async def test_cancelled(self) -> None:
        """So it is after a call that was cancelled."""
        database = await self.opened()
        (wire,) = self.a.wires
        call = Deferred.fromCoroutine(database.read(ASK))
        await sleep(0, clock=self.clock)
        call.cancel()
        with self.assertRaises(CancelledError):
            await call
        self.assertNotIn(wire, self.a.wires)
        self.a.answers = [TOLD]
        self.assertEqual(await database.documents(ASK), [{"_id": 1}])

    @scenario
    async def test_in_flight(self) -> None:
        """A store that hangs gets so many calls and no more; the others hear at once that it is busy (S7)."""
        database = await self.opened(pool_size=4)
        self.a.answer = lambda command: None
        calls = [Deferred.fromCoroutine(database.read(ASK)) for _ in range(MAX_IN_FLIGHT)]
        began_s = self.clock.seconds()
        with self.assertRaises(ServerBusy):
            await database.read(ASK)
        self.assertEqual(self.clock.seconds(), began_s)
        self.a.answer = lambda command: TOLD
        for call in calls:
            try:
                await call
            except ServerBusy:
                pass
        self.assertEqual(await database.documents(ASK), [{"_id": 1}])
        self.assertLessEqual(len(self.a.wires), 4)

    @scenario
    async def test_one_at_a_time(self) -> None:
        """Calls do not wait behind one another while there is room for another connection."""
        database = await self.opened(pool_size=2)
        self.a.answers = [None, TOLD, TOLD]
        slow = Deferred.fromCoroutine(database.read(ASK))
        began_s = self.clock.seconds()
        for _ in range(2):
            self.assertEqual(await database.documents(ASK), [{"_id": 1}])
        self.assertLess(self.clock.seconds() - began_s, 0.1)
        self.assertFalse(slow.called)
        slow.cancel()
        self.failureResultOf(slow, CancelledError)

    @scenario
    async def test_failover(self) -> None:
        """Calls go to the new primary as soon as the old one says that it is none."""
        database = await self.opened()
        self.elect()
        self.a.answer = lambda command: NOT_PRIMARY
        self.b.answer = lambda command: TOLD
        self.assertEqual(await database.documents(ASK), [{"_id": 1}])
        self.assertEqual(self.a.wires, [])
        self.assertEqual(len(self.b.commands), 1)

    @scenario
    async def test_hangs_unasked(self) -> None:
        """A primary that hangs while nobody asks it anything is replaced before anybody does."""
        database = await self.opened()
        self.b.answer = lambda command: TOLD
        self.a.up = False
        self.elect()
        await sleep(WATCH_EVERY_S + 5, clock=self.clock)
        began_s = self.clock.seconds()
        self.assertEqual(await database.documents(ASK), [{"_id": 1}])
        self.assertLess(self.clock.seconds() - began_s, 0.1)

    @scenario
    async def test_not_ready(self) -> None:
        """Without a primary the node is not ready, and it is again when there is one."""
        database = await self.opened()
        self.assertTrue(database.ready)
        self.a.hello["isWritablePrimary"] = False
        await sleep(WATCH_EVERY_S + 1, clock=self.clock)
        self.assertFalse(database.ready)
        self.elect()
        await sleep(WATCH_EVERY_S + 1, clock=self.clock)
        self.assertTrue(database.ready)

    @scenario
    async def test_old_primary(self) -> None:
        """One that was elected before another that was met is passed over, until it can only be a new set."""
        database = await self.opened()
        self.elect()
        await sleep(WATCH_EVERY_S + 1, clock=self.clock)
        self.a.hello["isWritablePrimary"] = True
        self.b.up = False
        self.b.cut()
        await sleep(0, clock=self.clock)
        with self.assertRaises(ServerBusy):
            await database.read(ASK)
        self.assertEqual(self.a.commands, [])
        await sleep(40, clock=self.clock)
        self.a.answers = [TOLD]
        self.assertEqual(await database.documents(ASK), [{"_id": 1}])

    @scenario
    async def test_unused(self) -> None:
        """Connections that were needed in a rush are closed when they are not needed any more."""
        database = await self.opened(pool_size=4)
        self.a.answer = lambda command: TOLD
        for call in [Deferred.fromCoroutine(database.read(ASK)) for _ in range(4)]:
            await call
        for _ in range(20):
            self.assertEqual(len(self.a.wires), 4)
            await sleep(2.5, clock=self.clock)
            await database.read(ASK)
        for _ in range(10):
            await sleep(2.5, clock=self.clock)
            await database.read(ASK)
        self.assertEqual(len(self.a.wires), 1)
        await sleep(CLOSE_IDLE_AFTER_S + WATCH_EVERY_S, clock=self.clock)
        self.assertEqual(await database.documents(ASK), [{"_id": 1}])

    @scenario
    async def test_pieces(self) -> None:
        """An answer may come in any pieces."""
        database = await self.opened()
        self.a.answers = [TOLD]
        (wire,) = self.a.wires
        take = wire._client.dataReceived
        wire._client.dataReceived = lambda data: [take(data[i : i + 1]) for i in range(len(data))]
        self.assertEqual(await database.documents(ASK), [{"_id": 1}])
