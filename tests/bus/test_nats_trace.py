"""The header in which a trace travels."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.bus.nats_trace import header_block, trace_of
from imd.kernel.trace_context import TraceContext, carrying

TRACE = TraceContext(0x4BF92F3577B34DA6A3CE929D0E0E4736, 0xF067AA0BA902B7)


class HeaderTests(SynchronousTestCase):
    """Written here, read there."""

    def test_there_and_back(self) -> None:
        """What is written is read; who carries nothing pays nothing."""
        self.assertEqual(header_block(), b"")
        with carrying(TRACE):
            block = header_block()
        self.assertEqual(
            block,
            b"NATS/1.0\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n",
        )
        self.assertEqual(trace_of(block), TRACE)

    def test_of_others(self) -> None:
        """Other headers, another order and another case do not matter; nonsense stands for nothing."""
        value = TRACE.traceparent().encode()
        self.assertEqual(trace_of(b"NATS/1.0\r\nA: b\r\nTraceparent:%b\r\nC: d\r\n\r\n" % value), TRACE)
        for bad in (
            b"",
            b"NATS/1.0 503\r\n\r\n",
            b"NATS/1.0\r\ntraceparent: \r\n\r\n",
            b"NATS/1.0\r\nx-traceparent: %b\r\n\r\n" % value,
            b"NATS/1.0\r\ntraceparent: %b\r\n\r\n" % value[:-2],
            b"NATS/1.0\r\ntraceparent: %b\r\n\r\n" % (value[:-1] + b"0"),
            b"NATS/1.0\r\ntraceparent: \xff%b\r\n\r\n" % value,
        ):
            self.assertIsNone(trace_of(bad), bad)
