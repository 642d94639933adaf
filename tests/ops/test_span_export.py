"""Spans on their way out: bounded, whatever becomes of where they go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from imd.kernel.trace_context import TraceContext
from imd.ops.span_export import COMPLAINT_S, FLUSH_TIMEOUT_S, PORTION_SPANS, SinkFailed, SpanExport
from imd.ops.tracing import NO_TRACER, Kind, RecordedSpan, RecordingTracer


class Sink:
    """Keeps the names of what it is given, or fails."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.failing: Exception | None = None
        self.unready: Exception | None = None
        self.closed = 0
        self.portions: list[int] = []

    def portion(self, spans: Sequence[RecordedSpan]) -> list[str]:
        if self.unready is not None:
            raise self.unready
        self.portions.append(len(spans))
        return [span.name for span in spans]

    def write(self, portions: Sequence[list[str]]) -> None:
        if self.failing is not None:
            raise self.failing
        self.batches.append([name for names in portions for name in names])

    def close(self) -> None:
        self.closed += 1


class ExportCase(SynchronousTestCase):
    """Ten wait at most, four are written at once, fewer after two seconds."""

    queue_spans, batch_spans = 10, 4

    def setUp(self) -> None:
        self.clock = Clock()
        self.sink = Sink()
        #: What the thread was given and has not begun, while it hangs.
        self.hanging: list[Deferred[None]] | None = None
        self.export = SpanExport(
            self.sink,
            where="the sink",
            clock=self.clock,
            in_thread=self.in_thread,
            queue_spans=self.queue_spans,
            batch_spans=self.batch_spans,
            interval_s=2,
        )
        numbers = count(1)
        self.tracer = RecordingTracer(keep=self.export.keep, random_bits=lambda _: next(numbers))
        self.logged: list[str] = []
        observer: ILogObserver = self.observe  # type: ignore[assignment]
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.successResultOf(Deferred.fromCoroutine(self.export.start()))

    def observe(self, event: LogEvent) -> None:
        if event.get("log_namespace") == "imd.ops.span_export.SpanExport":
            self.logged.append(event["log_format"].format(**event))

    def in_thread(self, work: Callable[[], None]) -> Deferred[None]:
        if self.hanging is not None:
            held: Deferred[None] = Deferred()
            self.hanging.append(held)
            return held
        return execute(work)

    def end(self, *names: str) -> None:
        for name in names:
            self.tracer.start(name, TraceContext(1, 0)).end()

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([0.1] * round(seconds * 10))


class ExportTests(ExportCase):
    """A sink that works."""

    def test_batches(self) -> None:
        """Four go at once, fewer when two seconds are over."""
        self.end("a", "b", "c")
        self.pass_time(1)
        self.assertEqual(self.sink.batches, [])
        self.end("d", "e")
        self.assertEqual(self.sink.batches, [["a", "b", "c", "d"]])
        self.pass_time(2.5)
        self.assertEqual(self.sink.batches[1:], [["e"]])
        self.assertEqual((self.export.written, self.export.dropped, self.export.failed), (5, 0, 0))
        self.assertEqual(self.logged, [])

    def test_stop(self) -> None:
        """What waits when the node stops is written; what ends later is lost, and counted."""
        self.end("a")
        stopped = Deferred.fromCoroutine(self.export.stop())
        self.pass_time(0.5)
        self.successResultOf(stopped)
        self.assertEqual((self.sink.batches, self.sink.closed), ([["a"]], 1))
        self.end("b")
        self.assertEqual(self.export.dropped, 1)

    def test_ends_once(self) -> None:
        """A span that is ended twice is there once; one that never ends is not there."""
        span = self.tracer.start("a", TraceContext(1, 0), attributes={"x": 1})
        self.tracer.start("b", span.context)
        span.end({"y": 2})
        span.end(error="late")
        self.pass_time(2.5)
        self.assertEqual(self.sink.batches, [["a"]])


class PortionTests(ExportCase):
    """Batches that are more than is made ready at once."""

    batch_spans = 2 * PORTION_SPANS
    queue_spans = 2 * batch_spans

    def test_portions(self) -> None:
        """Spans are made ready soon after they end, and written in one batch, in order."""
        names = [f"span-{number}" for number in range(self.batch_spans + 1)]
        self.end(*names[: PORTION_SPANS - 1])
        self.assertEqual(self.sink.portions, [])
        self.end(*names[PORTION_SPANS - 1 : -2])
        self.assertEqual((self.sink.portions, self.sink.batches), ([PORTION_SPANS], []))
        self.end(*names[-2:])
        self.assertEqual(self.sink.batches, [names[:-1]])
        self.assertEqual(len(self.export), 1)
        self.pass_time(2.5)
        self.assertEqual((self.sink.batches[1:], len(self.export)), ([names[-1:]], 0))

    def test_fault(self) -> None:
        """A portion that cannot be made ready is lost, and counted; whoever ends a span does not notice."""
        self.sink.unready = RuntimeError("planted")
        self.end(*"abcdefgh" * (PORTION_SPANS // 2))
        # However many they are.
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual((self.export.failed, len(self.export)), (4 * PORTION_SPANS, 0))
        self.sink.unready = None
        self.end("i")
        self.pass_time(2.5)
        self.assertEqual(self.sink.batches, [["i"]])


class OddTests(ExportCase):
    """A batch, and a queue, that no number of portions fills."""

    batch_spans = queue_spans = PORTION_SPANS + 1

    def test_nothing_dropped(self) -> None:
        """What waits is written as soon as it is a batch, so that the queue does not overflow before."""
        names = [f"span-{number}" for number in range(2 * self.batch_spans)]
        self.end(*names)
        self.assertEqual(self.sink.batches, [names[: self.batch_spans], names[self.batch_spans :]])
        self.assertEqual(self.export.dropped, 0)


class TroubleTests(ExportCase):
    """A sink that does not."""

    def test_told_once_in_a_while(self) -> None:
        """The first loss is told at once, further ones once a minute in one sum, and that it is over."""
        self.sink.failing = SinkFailed("connection refused")
        for _ in range(10):
            self.end("a")
            self.pass_time(3)
        (first,) = self.logged
        self.assertIn("1 spans were lost, since the sink does not take them (connection refused)", first)
        self.pass_time(COMPLAINT_S)
        self.assertEqual(len(self.logged), 2)
        self.assertIn("9 spans were lost", self.logged[1])
        self.sink.failing = None
        self.end("b")
        self.pass_time(3)
        self.assertEqual(self.logged[2:], ["spans are taken by the sink again"])
        self.assertEqual(self.sink.batches, [["b"]])

    def test_bounded(self) -> None:
        """While the sink hangs, ten wait, and the rest is dropped; nobody who ends a span notices."""
        self.hanging = []
        self.end(*"abcdefghijklmnopqrstuvwxyz")
        self.pass_time(COMPLAINT_S)
        self.assertEqual(len(self.hanging), 1)
        self.assertEqual((len(self.export), self.export.dropped), (10, 12))
        (hanging,), self.hanging = self.hanging, None
        hanging.callback(None)
        self.pass_time(10)
        self.assertEqual(self.sink.batches, [["e", "f", "g", "h"], ["i", "j", "k", "l"], ["m", "n"]])
        self.assertIn("12 spans were lost, since the sink does not take them (too slow)", self.logged[0])

    def test_stop_is_bounded(self) -> None:
        """A sink that hangs does not keep the node from stopping, and what it did not take is told."""
        self.hanging = []
        self.end("a", "b", "c", "d", "e")
        stopped = Deferred.fromCoroutine(self.export.stop())
        self.pass_time(FLUSH_TIMEOUT_S - 0.5)
        self.assertNoResult(stopped)
        self.pass_time(1)
        self.successResultOf(stopped)
        self.assertIn("1 spans were not taken by the sink when the node stopped", self.logged[-1])

    def test_fault(self) -> None:
        """A sink with a fault of its own is logged as such, and the next batch is tried."""
        self.sink.failing = RuntimeError("planted")
        self.end("a")
        self.pass_time(3)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.sink.failing = None
        self.end("b")
        self.pass_time(3)
        self.assertEqual(self.sink.batches, [["b"]])


class NoTracerTests(SynchronousTestCase):
    """Tracing switched off."""

    def test_relays(self) -> None:
        """A span of it is its parent, and keeps nothing."""
        parent = TraceContext(1, 2)
        span = NO_TRACER.start("a", parent, kind=Kind.SERVER, attributes={"x": 1})
        span.end({"y": 2}, error="no")
        self.assertIs(span.context, parent)
