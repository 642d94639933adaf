"""Telling the other roles, also when the bus will not take it at once."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from imd.bus.local import LocalBus
from imd.bus.port import BusFailure, BusRefused
from imd.bus.subjects import AUTH_INVALIDATE, message_send, shard_of
from imd.business import announce
from imd.business.accounts.model import Revocation
from imd.business.announce import BusAnnouncements
from imd.business.schema import open_business
from imd.business.sql_announced import SqlAnnounced
from imd.kernel.tasks import Tasks
from imd.pb.bus_pb2 import Invalidation, SystemAppend, SystemAppended
from imd.pb.connection_pb2 import ErrorCode
from imd.storage.sql import Database
from tests.business.world import at_once


class Broken(LocalBus):
    """Refuses the first so many durable events."""

    refuse = 0

    async def publish_durable(self, subject: str, payload: bytes) -> None:
        if self.refuse:
            self.refuse -= 1
            raise BusRefused("full")
        await super().publish_durable(subject, payload)


class Announcing(SynchronousTestCase):
    """Invalidations are told until they are taken; notices for a while."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.bus = Broken(clock=self.clock)
        self.tasks = Tasks()
        self.database = Database(connect=lambda: open_business(None), threads=at_once, clock=self.clock)
        self.announcements = BusAnnouncements(
            bus=self.bus,
            waiting=SqlAnnounced(self.database),
            clock=self.clock,
            wall_clock=lambda: 1234,
            tasks=self.tasks,
        )
        self.heard: list[Invalidation] = []
        self.bus.consume(AUTH_INVALIDATE, "core", self.hear)
        self.run_(self.bus.start())
        self.run_(self.database.start())

    async def hear(self, _: str, payload: bytes) -> None:
        self.heard.append(Invalidation.FromString(payload))

    def run_(self, work: Any) -> None:
        done = Deferred.fromCoroutine(work)
        self.clock.pump([0.0] * 5)
        self.successResultOf(done)

    def waiting(self) -> list[str]:
        """What is written down."""
        rows: list[Any] = []

        async def read() -> None:
            rows.extend(await SqlAnnounced(self.database).some(limit=10))

        self.run_(read())
        return [about for about, _ in rows]

    def notice(self) -> None:
        self.run_(
            self.announcements.notice("g_1", 7, "group.joined", actor_id=1, subject_ids=[2, 3], text="x")
        )

    def test_at_once(self) -> None:
        """An event is recorded before the announcement returns."""
        self.run_(self.announcements.membership_changed("g_1", 7))
        event = self.heard[0]
        self.assertEqual((event.conversationId, event.version, event.timestamp), ("g_1", 7, 1234))

    def test_later(self) -> None:
        """A bus that refuses delays nobody, and is tried again until it takes the event."""
        self.bus.refuse = 3
        self.run_(self.announcements.revoked(Revocation(5, "phone", "", "logged_out", ["a", "b"])))
        self.assertEqual((self.heard, len(self.tasks)), ([], 1))
        self.clock.pump([0.5, 0.0, 0.0])
        self.assertEqual(self.heard, [])
        self.clock.pump([2.0, 0.0, 0.0, 5.0, 0.0, 0.0])
        self.assertEqual([event.revoked.userId for event in self.heard], [5])
        self.assertEqual(list(self.heard[0].revoked.loginIds), ["a", "b"])
        self.assertEqual(len(self.tasks), 0)

    def test_long_outage(self) -> None:
        """However long the bus refuses, what was committed meanwhile is told when it takes events, in order."""
        self.bus.refuse = 1_000
        for version in range(5):
            self.run_(self.announcements.membership_changed("g_1", version))
        self.clock.pump([30.0] * 130)
        self.assertEqual((self.heard, len(self.tasks)), ([], 1))
        self.bus.refuse = 0
        self.clock.pump([5.0] + [0.0] * 10)
        self.assertEqual([event.version for event in self.heard], [0, 1, 2, 3, 4])
        self.assertEqual(len(self.tasks), 0)

    def test_bounded(self) -> None:
        """What waits for the bus is bounded; the oldest is given up, and the log says so."""
        self.patch(announce, "MAX_LATE_EVENTS", 2)
        self.bus.refuse = 1_000
        logged: list[str] = []
        observer = cast(ILogObserver, lambda event: logged.append(event["log_level"].name))
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        for version in range(3):
            self.run_(self.announcements.membership_changed("g_1", version))
        self.assertEqual(logged.count("critical"), 1)
        self.bus.refuse = 0
        self.clock.pump([30.0] + [0.0] * 10)
        self.assertEqual([event.version for event in self.heard], [1, 2])

    def test_stopped(self) -> None:
        """An announcement that waits for the bus does not hold up the end."""

        async def never(subject: str, payload: bytes) -> None:
            await Deferred()

        self.bus.refuse = 1
        self.run_(self.announcements.membership_changed("g_1", 7))
        self.patch(self.bus, "publish_durable", never)
        self.clock.pump([0.5, 0.0])
        self.successResultOf(Deferred.fromCoroutine(self.tasks.stop()))

    def test_notice(self) -> None:
        """A notice goes to the owner of the conversation's shard, under a key that makes a repeat harmless."""
        asked: list[SystemAppend] = []

        async def append(payload: bytes) -> bytes:
            asked.append(SystemAppend.FromString(payload))
            return SystemAppended(seq=1).SerializeToString()

        self.bus.respond(message_send(shard_of("g_1")), append)
        self.notice()
        self.assertEqual((asked[0].conversationId, asked[0].clientMsgId), ("g_1", "group.joined:7"))
        notice = asked[0].notice
        self.assertEqual((notice.actorId, list(notice.subjectIds), notice.text), (1, [2, 3], "x"))

    def test_notice_later(self) -> None:
        """A notice that core cannot write now is asked for again, under the same key, and then no more."""
        asked: list[bytes] = []

        async def append(payload: bytes) -> bytes:
            asked.append(payload)
            answer = SystemAppended(seq=1)
            if len(asked) < 3:
                answer.failure.code = ErrorCode.SERVER_BUSY
                answer.failure.retryable = True
            return answer.SerializeToString()

        self.bus.respond(message_send(shard_of("g_1")), append)
        self.notice()
        self.assertEqual((len(asked), len(self.tasks)), (1, 1))
        for delay_s, tries in ((0.5, 2), (2.0, 3), (10.0, 3)):
            self.clock.pump([delay_s, 0.0, 0.0])
            self.assertEqual(len(asked), tries)
        self.assertEqual((len(set(asked)), len(self.tasks)), (1, 0))
        self.assertEqual(self.waiting(), [])

    def test_notice_left(self) -> None:
        """What core does not write for a minute stays written down for whoever tells it later."""
        self.notice()
        self.clock.pump([0.5, 2.0, 10.0, 30.0, 0.0])
        self.assertEqual((self.waiting(), len(self.tasks)), (["~g_1 00000000000000000007 group.joined"], 0))

    def test_no_notice(self) -> None:
        """A core that is away, slow, failing, refusing or babbling costs a log line and nothing else."""
        self.notice()

        async def fail(_: bytes) -> bytes:
            raise BusFailure("no")

        async def refuse(_: bytes) -> bytes:
            answer = SystemAppended()
            answer.failure.code = ErrorCode.SERVER_BUSY
            return answer.SerializeToString()

        async def babble(_: bytes) -> bytes:
            return b"\xff\xff"

        async def sleep(_: bytes) -> bytes:
            return await Deferred()

        for responder in (fail, refuse, babble):
            bus = LocalBus(clock=self.clock)
            bus.respond(message_send(shard_of("g_1")), responder)
            self.announcements._bus = bus
            self.notice()
        bus = LocalBus(clock=self.clock)
        bus.respond(message_send(shard_of("g_1")), sleep)
        self.announcements._bus = bus
        waiting = Deferred.fromCoroutine(self.announcements.notice("g_1", 8, "group.left", actor_id=1))
        self.assertNoResult(waiting)
        self.clock.pump([0.0, 2.1, 0.0])
        self.successResultOf(waiting)
        self.flushLoggedErrors(BusFailure)
