"""W3C traceparent, and on whose behalf code runs."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.kernel.tasks import Tasks
from imd.kernel.trace_context import (
    TraceContext,
    carried,
    carrying,
    read_traceparent,
    run_apart,
    sampled_context,
)

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
CONTEXT = TraceContext(int(TRACE, 16), int(SPAN, 16))


class Traceparents(SynchronousTestCase):
    """The header's form, by the examples of the recommendation."""

    def test_read(self) -> None:
        """Trace, parent and whether it is sampled are read, also of a later version with more behind."""
        for text, is_sampled in (
            (f"00-{TRACE}-{SPAN}-01", True),
            (f"00-{TRACE}-{SPAN}-00", False),
            (f"00-{TRACE}-{SPAN}-03", True),
            (f"cc-{TRACE}-{SPAN}-01-what-the-future-brings", True),
        ):
            said = read_traceparent(text)
            assert said is not None, text
            self.assertEqual((said.context, said.is_sampled), (CONTEXT, is_sampled), text)
        self.assertEqual(sampled_context(CONTEXT.traceparent()), CONTEXT)
        self.assertIsNone(sampled_context(f"00-{TRACE}-{SPAN}-00"))
        self.assertEqual(CONTEXT.trace_id_hex(), TRACE)

    def test_malformed(self) -> None:
        """What is malformed stands for nothing."""
        for text in (
            "",
            "01",
            TRACE,
            f"ff-{TRACE}-{SPAN}-01",
            f"00-{TRACE}-{SPAN}-01-more",
            f"00-{TRACE}-{SPAN}",
            f"00-{'0' * 32}-{SPAN}-01",
            f"00-{TRACE}-{'0' * 16}-01",
            f"00-{TRACE.upper()}-{SPAN}-01",
            f"00-{TRACE}-{SPAN}-01\n",
            f" 00-{TRACE}-{SPAN}-01",
            "00-" + "a" * 100_000,
        ):
            self.assertIsNone(read_traceparent(text), text[:80])


class Carried(SynchronousTestCase):
    """Who works on whose behalf."""

    def test_carrying(self) -> None:
        """Within, and while what is awaited there waits; not before, after, or beside."""
        gates: list[Deferred[None]] = [Deferred() for _ in range(3)]
        seen: list[object] = []

        async def work(number: int) -> None:
            context = TraceContext(number + 1, 1)
            with carrying(context):
                await gates[number]
                seen.append(carried() == context)
            seen.append(carried())

        for number in range(3):
            Deferred.fromCoroutine(work(number))
        self.assertIsNone(carried())
        for gate in reversed(gates):
            gate.callback(None)
        self.assertEqual(seen, [True, None] * 3)

    def test_background_work_carries_nothing(self) -> None:
        """What somebody happens to start on behalf of a message goes on on behalf of nobody."""
        seen: list[object] = []

        async def work() -> None:
            seen.append(carried())

        with carrying(CONTEXT):
            Tasks().spawn("work", work())
            run_apart(None, lambda: seen.append(carried()))
            run_apart(CONTEXT, lambda: seen.append(carried()))
        self.assertEqual(seen, [None, None, CONTEXT])
