"""Acknowledgements as the last hop of a trace."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.core.message.client_acks import ACKS_EACH, MAX_CONVERSATIONS, MAX_EACH, WITHIN_S, AwaitedAcks
from imd.kernel.trace_context import TraceContext
from imd.ops.tracing import RecordedSpan, RecordingTracer
from tests.core.message.players import Device

DELIVERY = TraceContext(1, 2)


class AwaitedAcksTests(SynchronousTestCase):
    """Deliveries, and what clients say of them."""

    def setUp(self) -> None:
        self.spans: list[RecordedSpan] = []
        self.now_ns = 10**9
        tracer = RecordingTracer(
            keep=self.spans.append,
            random_bits=lambda _: 3,
            wall_ns=lambda: self.now_ns,
            steady_ns=lambda: self.now_ns,
        )
        self.acks = AwaitedAcks(tracer=tracer)
        self.phone = Device(9, "phone")

    def expect(
        self, conversation_id: str, seq: int, sender: Device | None = None, sessions: int = 1_000
    ) -> None:
        self.acks.expect(conversation_id, seq, DELIVERY, sender=sender, sessions=sessions)

    def test_from_delivery_to_ack(self) -> None:
        """The span lasts from the delivery on, and hangs on it; an older seq, and another conversation, do not count."""
        self.expect("g_1", 7)
        self.now_ns += 5_000_000
        for conversation_id, seq in (("g_1", 6), ("g_2", 7), ("g_1", 8)):
            self.acks.acknowledged(conversation_id, seq, Device(9, "phone"))
        (span,) = self.spans
        self.assertEqual((span.name, span.parent_id, span.took_ns), ("client.ack", 2, 5_000_000))
        self.assertEqual(span.attributes, {"im.user_id": 9, "im.device_id": "phone"})

    def test_not_the_sender(self) -> None:
        """The device that sent it was not told, whatever it acknowledges."""
        sender = Device(1, "phone")
        self.expect("g_1", 7, sender)
        self.acks.acknowledged("g_1", 7, sender)
        self.assertEqual(self.spans, [])
        self.acks.acknowledged("g_1", 7, Device(1, "desk"))
        self.assertEqual(len(self.spans), 1)

    def test_once(self) -> None:
        """A device that acknowledges again, or what came after, has acknowledged once."""
        self.expect("g_1", 7)
        for seq in (7, 7, 8):
            self.acks.acknowledged("g_1", seq, self.phone)
        self.assertEqual(len(self.spans), 1)

    def test_all(self) -> None:
        """When all who were told have acknowledged, nothing is looked at any more."""
        self.expect("g_1", 7, sessions=2)
        self.acks.acknowledged("g_1", 7, self.phone)
        self.assertTrue(self.acks.awaited)
        self.acks.acknowledged("g_1", 7, Device(9, "desk"))
        self.assertFalse(self.acks.awaited)
        self.assertEqual(len(self.spans), 2)

    def test_first_are_enough(self) -> None:
        """Of a crowd that acknowledges, some are kept, and then the delivery is forgotten."""
        self.expect("g_1", 7)
        for number in range(100):
            self.acks.acknowledged("g_1", 7, Device(number, "phone"))
        self.assertEqual(len(self.spans), ACKS_EACH)
        self.assertFalse(self.acks.awaited)

    def test_late(self) -> None:
        """Who acknowledges after a minute was away."""
        self.expect("g_1", 7)
        self.now_ns += int((WITHIN_S + 1) * 1e9)
        self.acks.acknowledged("g_1", 7, Device(9, "phone"))
        self.assertEqual(self.spans, [])
        self.assertFalse(self.acks.awaited)

    def test_bounded(self) -> None:
        """Where nobody ever acknowledges, the oldest are forgotten, in one conversation and over all."""
        for seq in range(1, 100):
            self.expect("g_1", seq)
        self.acks.acknowledged("g_1", 99, Device(9, "phone"))
        self.assertEqual(len(self.spans), MAX_EACH)
        for number in range(2 * MAX_CONVERSATIONS):
            self.expect(f"g_{number}", 1)
        self.assertEqual(len(self.acks.awaited), MAX_CONVERSATIONS)
