"""What comes from the bus, on its way to our own code: subscribers and responders.

Each handler starts in a fresh context, so that no request's variables leak into another's; of the sender's it
has the trace.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from imd.bus.nats_replies import BUSY, FAILED
from imd.bus.nats_trace import trace_of
from imd.bus.port import MAX_PAYLOAD_BYTES, BusRefused, Responder, Subscriber
from imd.kernel.trace_context import TraceContext, run_apart

#: What waits for one subscriber; above it messages are dropped, counted and told as a gap. Seconds of
#: a busy subject: whoever is further behind is better served by a resync.
MAX_WAITING_MESSAGES = 10_000
MAX_WAITING_BYTES = 16 * 1024 * 1024
#: Requests that one responder works on; more are refused, and their senders try elsewhere or later.
MAX_AT_WORK = 2_000
MAX_AT_WORK_BYTES = 32 * 1024 * 1024


class AtWork:
    """How many handlers run or wait; ``stop`` of the bus waits until none does."""

    def __init__(self) -> None:
        self.count = 0
        self._idle: Deferred[None] | None = None

    def ended(self) -> None:
        self.count -= 1
        if not self.count and self._idle is not None:
            idle, self._idle = self._idle, None
            idle.callback(None)

    def idle(self) -> Deferred[None]:
        """Fires when no handler is at work."""
        self._idle = Deferred()
        if not self.count:
            self._idle.callback(None)
        return self._idle


class SubscriberQueue:
    """Hands over one message at a time, in order; nobody else waits for this subscriber."""

    _log = Logger()

    def __init__(self, subscriber: Subscriber, *, at_work: AtWork, on_dropped: Callable[[str], None]) -> None:
        self._subscriber = subscriber
        self._at_work = at_work
        self._on_dropped = on_dropped
        self._waiting: deque[tuple[str, bytes, TraceContext | None]] = deque()
        self._waiting_bytes = 0
        self._busy = False
        self._looping = False

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self, subject: bytes, _: bytes, payload: bytes, headers: bytes | None) -> None:
        waiting = self._waiting
        if len(waiting) >= MAX_WAITING_MESSAGES or self._waiting_bytes > MAX_WAITING_BYTES:
            self._on_dropped(subject.decode())
            return
        waiting.append((subject.decode(), payload, None if headers is None else trace_of(headers)))
        self._waiting_bytes += len(payload)
        self._at_work.count += 1
        if not self._busy and not self._looping:
            self._hand_over()

    def _hand_over(self) -> None:
        """A loop, so that a thousand handlers that return at once do not nest a thousand deep."""
        self._looping = True
        while self._waiting and not self._busy:
            subject, payload, trace = self._waiting.popleft()
            self._waiting_bytes -= len(payload)
            self._busy = True
            run_apart(trace, Deferred.fromCoroutine, self._handle(subject, payload))
        self._looping = False

    async def _handle(self, subject: str, payload: bytes) -> None:
        try:
            await self._subscriber(subject, payload)
        except Exception:
            self._log.failure("a subscriber of {subject} failed", subject=subject)
        self._busy = False
        self._at_work.ended()
        if not self._looping:
            self._hand_over()


class Answers(Protocol):
    """Sends an answer; ``headers`` mark one that is none. Raises BusRefused."""

    def __call__(self, inbox: bytes, payload: bytes, headers: bytes = b"", /) -> None: ...


class ResponderQueue:
    """Runs a responder, many requests at a time."""

    _log = Logger()

    def __init__(self, subject: str, responder: Responder, *, at_work: AtWork, answers: Answers) -> None:
        self._subject = subject
        self._responder = responder
        self._at_work = at_work
        self._answers = answers
        self._running = 0
        self._running_bytes = 0

    def __len__(self) -> int:
        return self._running

    def take(self, _: bytes, inbox: bytes, payload: bytes, headers: bytes | None) -> None:
        if not inbox:
            self._log.warn("a message on {subject}, which is for requests, is dropped", subject=self._subject)
        elif self._running >= MAX_AT_WORK or self._running_bytes > MAX_AT_WORK_BYTES:
            self._answer(inbox, b"", BUSY)
        else:
            self._running += 1
            self._running_bytes += len(payload)
            self._at_work.count += 1
            trace = None if headers is None else trace_of(headers)
            run_apart(trace, Deferred.fromCoroutine, self._serve(inbox, payload))

    async def _serve(self, inbox: bytes, payload: bytes) -> None:
        try:
            answer = bytes(await self._responder(payload))
            if len(answer) > MAX_PAYLOAD_BYTES:
                raise ValueError(f"an answer of {len(answer)} bytes is too long")
        except Exception:
            self._log.failure("the responder of {subject} failed", subject=self._subject)
            self._answer(inbox, b"", FAILED)
        else:
            self._answer(inbox, answer)
        self._running -= 1
        self._running_bytes -= len(payload)
        self._at_work.ended()

    def _answer(self, inbox: bytes, payload: bytes, headers: bytes = b"") -> None:
        try:
            self._answers(inbox, payload, headers)
        except (BusRefused, ValueError) as error:
            # Who asked learns it by the time-out.
            self._log.debug("an answer on {subject} is not sent: {error}", subject=self._subject, error=error)
