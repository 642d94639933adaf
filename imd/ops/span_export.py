"""Ended spans on their way out: made ready a few at a time, queued within a bound, written in batches by a thread.

Where they go may be slow, gone or full: then spans are lost, and counted, and the operator is told once in a while.
Nobody who serves a message ever waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from imd.kernel.clocks import Clock
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep
from imd.ops.tracing import RecordedSpan

#: What is left when the process ends is worth so long a wait, whoever does not take it.
FLUSH_TIMEOUT_S = 5.0
#: So often it is said that spans are lost, however many are.
COMPLAINT_S = 60.0
_POLL_S = 0.02
#: So many are made ready at once, while the processor still has them at hand; it takes 0.1 ms.
PORTION_SPANS = 32
_FAULT = "a fault of this node"

P = TypeVar("P")


class SinkFailed(Exception):
    """These spans were not taken, in words for the operator."""


class SpanSink(Protocol[P]):
    """Where spans go. What can be done with them in short is done on the reactor: a thread would take turns with it at
    the interpreter's lock, and fetch each span from memory again."""

    def portion(self, spans: Sequence[RecordedSpan]) -> P:
        """These, ready to be written. Called on the reactor, with ``PORTION_SPANS`` at most."""
        ...

    def write(self, portions: Sequence[P]) -> None:
        """Called in a thread, one call at a time; may take its time, within a bound of its own.

        :raises SinkFailed: they are lost; the next ones may not be.
        """
        ...

    def close(self) -> None:
        """Nothing more comes. Called in a thread."""
        ...


class InThread(Protocol):
    """Runs ``work`` off the reactor thread, and fires when it has returned or raised."""

    def __call__(self, work: Callable[[], None], /) -> Deferred[None]: ...


class SpanExport(Generic[P]):
    """A stage; begins after the process has become a daemon, which threads do not survive.

    :param where: the sink, as the operator calls it.
    :param queue_spans: waiting at most; above, new ones are lost. About 1 KB each.
    :param batch_spans: so many are written at once, and as soon as there are so many.
    :param interval_s: fewer wait for so long.

    :ivar written: spans that were taken.
    :ivar dropped: lost because too many waited.
    :ivar failed: lost because they were not taken.
    """

    _log = Logger()

    def __init__(
        self,
        sink: SpanSink[P],
        *,
        where: str,
        clock: Clock,
        in_thread: InThread,
        queue_spans: int,
        batch_spans: int,
        interval_s: float,
    ) -> None:
        self._sink = sink
        self._where = where
        self._clock = clock
        self._in_thread = in_thread
        self._queue_spans = queue_spans
        self._batch_spans = batch_spans
        self._interval_s = interval_s
        self._portion_spans = min(PORTION_SPANS, batch_spans)
        #: Not made ready yet.
        self._fresh: list[RecordedSpan] = []
        #: Portions, each with the number of its spans.
        self._ready: deque[tuple[int, P]] = deque()
        #: Spans of both.
        self._waiting = 0
        self._tasks = Tasks()
        self._pausing: Deferred[None] | None = None
        self._stopping = False
        self._said_at_s = float("-inf")
        self._lost_when_said = 0
        self._reason = ""
        self._is_down = False
        self.written = 0
        self.dropped = 0
        self.failed = 0

    def __len__(self) -> int:
        """Spans that wait."""
        return self._waiting

    def keep(self, span: RecordedSpan) -> None:
        """A span has ended."""
        if self._waiting >= self._queue_spans or self._stopping:
            self.dropped += 1
            return
        self._waiting += 1
        self._fresh.append(span)
        if len(self._fresh) >= self._portion_spans:
            self._make_ready()
        if self._waiting == self._batch_spans:
            self._wake()

    async def start(self) -> None:
        """From here on they are written."""
        self._tasks.spawn("write spans", self._run())

    async def stop(self) -> None:
        """What waits is written, for so long as ``FLUSH_TIMEOUT_S`` allows."""
        self._stopping = True
        self._wake()
        deadline_s = self._clock.seconds() + FLUSH_TIMEOUT_S
        while len(self._tasks) and self._clock.seconds() < deadline_s:
            await sleep(_POLL_S, clock=self._clock)
        left = self._waiting
        await self._tasks.stop()
        if left:
            self._log.warn(
                "{count} spans were not taken by {where} when the node stopped",
                count=left,
                where=self._where,
            )

    async def _run(self) -> None:
        while self._waiting or not self._stopping:
            if self._waiting < self._batch_spans and not self._stopping:
                await self._pause()
            await self._write_some()
            self._tell()
        await self._attempt(self._sink.close)

    def _make_ready(self) -> None:
        fresh, self._fresh = self._fresh, []
        try:
            self._ready.append((len(fresh), self._sink.portion(fresh)))
        except Exception:
            # Whoever has just ended a span goes on.
            self._failed("making spans ready failed")
            self._waiting -= len(fresh)
            self.failed += len(fresh)

    async def _write_some(self) -> None:
        if self._fresh:
            self._make_ready()
        portions: list[P] = []
        spans = 0
        while self._ready and spans + self._ready[0][0] <= self._batch_spans:
            of_portion, portion = self._ready.popleft()
            spans += of_portion
            portions.append(portion)
        self._waiting -= spans
        if not portions:
            return
        if not await self._attempt(lambda: self._sink.write(portions)):
            self.failed += spans
            self._is_down = True
            return
        self.written += spans
        if self._is_down:
            self._is_down = False
            self._log.info("spans are taken by {where} again", where=self._where)

    async def _attempt(self, work: Callable[[], None]) -> bool:
        """Whether it went well."""
        try:
            await self._in_thread(work)
        except SinkFailed as error:
            self._reason = str(error)
        except CancelledError:
            raise
        except Exception:
            self._failed("writing spans failed")
        else:
            return True
        return False

    def _failed(self, what: str) -> None:
        """Told as it is once, then as often as losses are."""
        if self._reason != _FAULT:
            self._log.failure(what)
            self._reason = _FAULT

    def _tell(self) -> None:
        """The first loss at once, then a sum once in a while."""
        now_s, lost = self._clock.seconds(), self.dropped + self.failed
        if now_s - self._said_at_s < COMPLAINT_S or lost == self._lost_when_said:
            return
        self._said_at_s = now_s
        self._log.warn(
            "{count} spans were lost, since {where} does not take them ({reason}); messages go on",
            count=lost - self._lost_when_said,
            where=self._where,
            reason=self._reason or "too slow",
        )
        self._lost_when_said = lost
        self._reason = ""

    async def _pause(self) -> None:
        pausing: Deferred[None] = Deferred()
        self._pausing = pausing
        late = self._clock.callLater(self._interval_s, self._wake)
        try:
            await pausing
        finally:
            self._pausing = None
            if late.active():
                late.cancel()

    def _wake(self) -> None:
        """There is enough to write, or it is time to. (Cancelling would cost an exception and its traceback.)"""
        pausing, self._pausing = self._pausing, None
        if pausing is not None:
            pausing.callback(None)
