"""What only LocalBus promises: its limits, its turns, its way of stopping."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.bus import local
from imd.bus.local import MAX_QUEUED_BYTES, MAX_QUEUED_MESSAGES, MAX_REQUESTS, LocalBus
from imd.bus.port import BusRefused
from imd.kernel.errors import ServerBusy


class LocalBusTests(SynchronousTestCase):
    """LocalBus by itself."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.bus = LocalBus(clock=self.clock)
        self.seen: list[bytes] = []

    async def see(self, _: str, payload: bytes) -> None:
        self.seen.append(payload)

    def test_one_timer_a_turn(self) -> None:
        """All that is sent within a turn is handed over by one call."""
        self.bus.subscribe("a", self.see)
        for _ in range(100):
            self.bus.publish("a", b"")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(0)
        self.assertEqual(len(self.seen), 100)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_sent_by_a_subscriber(self) -> None:
        """What a subscriber sends comes on a later turn, after whatever else was due."""

        async def again(_: str, payload: bytes) -> None:
            self.seen.append(payload)
            if payload == b"first":
                self.bus.publish("a", b"second")

        self.bus.subscribe("a", again)
        self.bus.publish("a", b"first")
        self.clock.callLater(0, self.seen.append, b"somebody's timer")
        self.clock.advance(0)
        self.assertEqual(self.seen, [b"first", b"somebody's timer", b"second"])

    def test_sent_to_one_who_is_next(self) -> None:
        """What was sent in this turn waits for the next, even if its subscriber is about to be served."""

        async def forward(_: str, payload: bytes) -> None:
            self.bus.publish("b", b"new")

        self.bus.subscribe("a", forward)
        self.bus.subscribe("b", self.see)
        self.bus.publish("a", b"")
        self.bus.publish("b", b"old")
        self.clock.callLater(0, self.seen.append, b"somebody's timer")
        self.clock.advance(0)
        self.assertEqual(self.seen, [b"old", b"somebody's timer", b"new"])

    def test_many_messages(self) -> None:
        """A full queue for a subscriber that returns at once does not nest a thousand deep."""
        gate: Deferred[None] = Deferred()

        async def waits_once(_: str, payload: bytes) -> None:
            self.seen.append(payload)
            if len(self.seen) == 1:
                await gate

        self.bus.subscribe("a", waits_once)
        for _ in range(MAX_QUEUED_MESSAGES):
            self.bus.publish("a", b"")
        self.clock.advance(0)
        gate.callback(None)
        self.assertEqual(len(self.seen), MAX_QUEUED_MESSAGES)

    def test_too_many_messages(self) -> None:
        """A publisher that is too fast gets an error, and then nobody gets the message."""
        other: list[bytes] = []

        async def see_other(_: str, payload: bytes) -> None:
            other.append(payload)

        self.bus.subscribe("a", self.see)
        self.bus.subscribe("*", see_other)
        for _ in range(MAX_QUEUED_MESSAGES):
            self.bus.publish("a", b"")
        self.assertRaises(BusRefused, self.bus.publish, "a", b"")
        self.clock.advance(0)
        self.assertEqual(len(other), MAX_QUEUED_MESSAGES)
        self.bus.publish("a", b"room again")
        self.clock.advance(0)
        self.assertEqual(self.seen[-1], b"room again")

    def test_too_many_bytes(self) -> None:
        """The bytes that wait are bounded too."""
        self.bus.subscribe("a", self.see)
        self.bus.publish("a", bytes(MAX_QUEUED_BYTES))
        self.assertRaises(BusRefused, self.bus.publish, "a", b"x")

    def test_nobody_listens(self) -> None:
        """What nobody subscribes to is not kept."""
        for _ in range(2 * MAX_QUEUED_MESSAGES):
            self.bus.publish("a", b"")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_too_many_requests(self) -> None:
        """Requests in flight are bounded; one answer makes room for one more."""
        self.patch(local, "MAX_REQUESTS", 3)
        self.assertGreater(MAX_REQUESTS, 3)
        gates: list[Deferred[bytes]] = []

        async def respond(_: bytes) -> bytes:
            gate: Deferred[bytes] = Deferred()
            gates.append(gate)
            return await gate

        self.bus.respond("a", respond)
        asked = [self.ask() for _ in range(3)]
        self.failureResultOf(self.ask(), ServerBusy)
        self.clock.advance(0)
        gates[0].callback(b"done")
        self.assertEqual(self.successResultOf(asked[0]), b"done")
        self.assertNoResult(self.ask())
        for later in asked[1:]:
            later.addErrback(lambda _: None)

    def ask(self) -> Deferred[bytes]:
        return Deferred.fromCoroutine(self.bus.request("a", b"", timeout_s=9))

    def test_stop_waits(self) -> None:
        """Stop hands over what was taken and waits for every handler; then nothing more is taken."""
        gate: Deferred[None] = Deferred()

        async def slow(_: str, payload: bytes) -> None:
            await gate
            self.seen.append(payload)

        self.bus.subscribe("a", slow)
        self.bus.publish("a", b"1")
        self.bus.publish("a", b"2")
        stopped = Deferred.fromCoroutine(self.bus.stop())
        self.assertRaises(BusRefused, self.bus.publish, "a", b"3")
        self.failureResultOf(self.ask(), BusRefused)
        self.clock.advance(0)
        self.assertNoResult(stopped)
        gate.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(self.seen, [b"1", b"2"])
