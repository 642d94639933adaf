"""Ended spans on their way out: queued within a bound, written in batches by a thread of their own.

Where they go may be slow, gone or full: then spans are lost, and counted, and the operator is told once in a while.
Nobody who serves a message ever waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

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


class SinkFailed(Exception):
    """These spans were not taken, in words for the operator."""


class SpanSink(Protocol):
    """Where spans go. Called in a thread, one call at a time; may take its time, within a bound of its own."""

    def write(self, spans: Sequence[RecordedSpan]) -> None:
        """:raises SinkFailed: they are lost; the next ones may not be."""
        ...

    def close(self) -> None:
        """Nothing more comes."""
        ...


class InThread(Protocol):
    """Runs ``work`` off the reactor thread, and fires when it has returned or raised."""

    def __call__(self, work: Callable[[], None], /) -> Deferred[None]: ...


class SpanExport:
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
        sink: SpanSink,
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
        self._queue: deque[RecordedSpan] = deque()
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
        return len(self._queue)

    def keep(self, span: RecordedSpan) -> None:
        """A span has ended."""
        if len(self._queue) >= self._queue_spans or self._stopping:
            self.dropped += 1
            return
        self._queue.append(span)
        if len(self._queue) == self._batch_spans:
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
        left = len(self._queue)
        await self._tasks.stop()
        if left:
            self._log.warn(
                "{count} spans were not taken by {where} when the node stopped",
                count=left,
                where=self._where,
            )

    async def _run(self) -> None:
        while self._queue or not self._stopping:
            if len(self._queue) < self._batch_spans and not self._stopping:
                await self._pause()
            await self._write_some()
            self._tell()
        await self._attempt(self._sink.close)

    async def _write_some(self) -> None:
        batch = [self._queue.popleft() for _ in range(min(self._batch_spans, len(self._queue)))]
        if not batch:
            return
        if not await self._attempt(lambda: self._sink.write(batch)):
            self.failed += len(batch)
            self._is_down = True
            return
        self.written += len(batch)
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
            self._log.failure("writing spans failed")
            self._reason = "a fault of this node"
        else:
            return True
        return False

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
