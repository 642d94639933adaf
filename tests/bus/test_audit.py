"""Audit events on their way: nothing waits for them, nothing is lost without being counted."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.bus import audit
from imd.bus.audit import DEGRADED, REFUSED, RELEASED, AuditEntry, AuditLog
from imd.bus.port import MAX_PAYLOAD_BYTES, BusRefused
from imd.bus.subjects import AUDIT_LOG
from imd.pb.bus_pb2 import AuditEvent, AuditEvents
from tests.contract.driving import drive


class FlakyBus:
    """Takes what is durable, or fails as it is told."""

    def __init__(self) -> None:
        self.taken: list[AuditEvents] = []
        self.away = False
        self.silent = False

    async def publish_durable(self, subject: str, payload: bytes) -> None:
        assert subject == AUDIT_LOG
        if self.silent:
            await Deferred()
        if self.away:
            raise BusRefused("not connected")
        self.taken.append(AuditEvents.FromString(payload))

    @property
    def events(self) -> list[AuditEvent]:
        return [event for batch in self.taken for event in batch.events]


def entry(number: int) -> AuditEntry:
    return AuditEntry("message.send", REFUSED, "muted", actor_id=number, conversation_id="g_1")


class AuditLogTests(SynchronousTestCase):
    """One node's audit log."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.bus: Any = FlakyBus()
        self.log = self.make_log()

    def make_log(self) -> AuditLog:
        return AuditLog(
            bus=self.bus,
            node="core-7",
            clock=self.clock,
            wall_clock=lambda: 1_000 + int(self.clock.seconds() * 1000),
            random_hex=lambda size: "ab" * size,
        )

    def stop(self) -> None:
        drive(self.clock, self.log.stop())

    def test_complete(self) -> None:
        """What was known when it was decided is what is told, with its time, its node and a name for ever."""
        given = AuditEntry(
            "message.send", REFUSED, "muted", 1, 2, "g_1", "m1", 3, audit.HIGH, '{"a":1}', 4, 5, 1
        )
        self.log.record(given)
        self.clock.advance(0)
        (event,) = self.bus.events
        self.assertEqual((event.eventId, event.node, event.timestamp), ("ab" * 8 + "-1", "core-7", 1_000))
        told = AuditEntry(
            event.action, event.decision, event.reason, event.actorId, event.subjectId, event.conversationId,
            event.requestId, event.policyVersion, event.level, event.detail, event.seq, event.serverMsgId,
            int(event.right),
        )  # fmt: skip
        self.assertEqual(told, given)

    def test_batches(self) -> None:
        """What comes within a turn is published together, in order, no batch larger than its limit."""
        for number in range(450):
            self.log.record(entry(number))
        self.assertEqual(self.bus.taken, [])
        self.clock.advance(0)
        self.assertEqual([len(batch.events) for batch in self.bus.taken], [200, 200, 50])
        self.assertEqual([event.actorId for event in self.bus.events], list(range(450)))
        self.assertEqual(len({event.eventId for event in self.bus.events}), 450)
        self.assertEqual((self.log.recorded, self.log.lost), (450, 0))

    def test_bus_away(self) -> None:
        """Events outlast an outage of the bus, in order; those who record them notice nothing."""
        self.bus.away = True
        for number in range(3):
            self.log.record(entry(number))
            self.clock.advance(3.0)
        self.bus.away = False
        self.clock.pump([1.0] * 6)
        self.log.record(entry(3))
        self.clock.advance(0)
        self.assertEqual([event.actorId for event in self.bus.events], [0, 1, 2, 3])

    def test_bus_silent(self) -> None:
        """A bus that does not answer is given up on in time, and asked again with the same events."""
        self.bus.silent = True
        self.log.record(entry(1))
        self.clock.advance(0)
        self.bus.silent = False
        self.clock.pump([1.0] * 4)
        self.assertEqual([event.actorId for event in self.bus.events], [1])

    def test_too_many(self) -> None:
        """Above the limit new events are lost, counted, and said in the log once a minute."""
        self.patch(audit, "MAX_WAITING", 2)
        self.bus.away = True
        for number in range(5):
            self.log.record(entry(number))
        self.assertEqual(self.log.lost, 3)
        self.bus.away = False
        self.clock.pump([1.0] * 3)
        self.assertEqual([event.actorId for event in self.bus.events], [0, 1])

    def test_room_for_releases(self) -> None:
        """What was let through while nobody could judge it is kept however much else waits, and takes no room from it;
        what passed a content check that failed is an event like others."""
        self.patch(audit, "MAX_WAITING", 2)
        self.bus.away = True
        release = entry(7)._replace(decision=RELEASED, reason=DEGRADED)
        self.log.record(release)
        for number in range(3):
            self.log.record(entry(number)._replace(decision=RELEASED, reason="content"))
        self.log.record(release)
        self.assertEqual((self.log.waiting, self.log.releases_waiting, self.log.lost), (4, 2, 1))
        self.bus.away = False
        self.clock.pump([1.0] * 3)
        self.assertEqual([event.actorId for event in self.bus.events], [7, 0, 1, 7])
        self.assertEqual(self.log.releases_waiting, 0)

    def test_stop(self) -> None:
        """At the end what waits is told, also if the bus was away until then; what comes later is counted as lost."""
        self.bus.away = True
        self.log.record(entry(1))
        self.clock.advance(0.1)
        self.bus.away = False
        self.stop()
        self.assertEqual([event.actorId for event in self.bus.events], [1])
        self.log.record(entry(2))
        self.assertEqual((self.log.recorded, self.log.lost), (1, 1))

    def test_stop_without_bus(self) -> None:
        """A bus that is gone holds the stop up for two seconds at most, and what is lost is counted."""
        self.bus.silent = True
        self.log.record(entry(1))
        self.clock.advance(0)
        stopped = Deferred.fromCoroutine(self.log.stop())
        self.clock.advance(2.0)
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual(self.log.lost, 1)

    def test_long_texts(self) -> None:
        """Texts are cut to what is kept of them."""
        self.log.record(AuditEntry("a", REFUSED, "r" * 500, conversation_id="c" * 500, detail="d" * 5000))
        self.clock.advance(0)
        (event,) = self.bus.events
        self.assertEqual((len(event.reason), len(event.conversationId)), (64, 64))
        self.assertEqual(len(event.detail), audit.MAX_DETAIL_LENGTH)

    def test_large(self) -> None:
        """However long the details are, a batch stays below what the bus takes."""
        for number in range(200):
            self.log.record(entry(number)._replace(detail="\U00020000" * 2000))
        self.clock.advance(0)
        self.assertEqual([event.actorId for event in self.bus.events], list(range(200)))
        self.assertLess(max(batch.ByteSize() for batch in self.bus.taken), MAX_PAYLOAD_BYTES)

    def test_no_event(self) -> None:
        """What cannot be told is lost and counted, and whoever recorded it notices nothing."""
        self.log.record(entry(1 << 70))
        self.log.record(entry(2))
        self.clock.advance(0)
        self.assertEqual(([event.actorId for event in self.bus.events], self.log.lost), ([2], 1))
        self.assertEqual(len(self.flushLoggedErrors()), 1)
