"""The bus inside one process, with the promises of the one between machines and no more."""

from __future__ import annotations

from collections import deque
from itertools import count

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from imd.bus.durable import DurableSubjects
from imd.bus.journal import Journal
from imd.bus.matching import Routes, check_subject
from imd.bus.port import (
    MAX_PAYLOAD_BYTES,
    BusFailure,
    BusRefused,
    NoResponder,
    Responder,
    Subscriber,
)
from imd.kernel.clocks import Clock
from imd.kernel.timeouts import with_timeout
from imd.kernel.trace_context import TraceContext, carried, run_apart

#: What waits for one subscriber; above it the publisher learns that it is too fast (issue 3).
MAX_QUEUED_MESSAGES = 1_000
MAX_QUEUED_BYTES = 1024 * 1024
#: Requests without an answer yet; each holds a coroutine of about 1 KB on both sides.
MAX_REQUESTS = 10_000


class _Subscription:
    """One subscriber: what waits for it, and whether it is at work."""

    __slots__ = ("busy", "due", "looping", "subscriber", "waiting", "waiting_bytes")

    def __init__(self, subscriber: Subscriber) -> None:
        self.subscriber = subscriber
        self.waiting: deque[tuple[str, bytes, TraceContext | None]] = deque()
        self.waiting_bytes = 0
        #: How many of those waiting were sent on an earlier turn.
        self.due = 0
        self.busy = False
        self.looping = False

    def is_full(self, payload: bytes) -> bool:
        return (
            len(self.waiting) >= MAX_QUEUED_MESSAGES or self.waiting_bytes + len(payload) > MAX_QUEUED_BYTES
        )


class _Call:
    """A request on its way to its responder."""

    __slots__ = ("answer", "payload", "responder", "subject", "trace")

    def __init__(self, subject: str, payload: bytes, responder: Responder) -> None:
        self.subject = subject
        self.payload = payload
        self.responder = responder
        self.trace = carried()
        self.answer: Deferred[bytes] = Deferred()


class LocalBus:
    """Everything sent within one turn of the reactor is handed over by one call on the next.

    Without a journal, durable subjects live as long as the process.
    """

    _log = Logger()

    def __init__(self, *, clock: Clock, journal: Journal | None = None) -> None:
        self._clock = clock
        if journal is None:
            journal = Journal(":memory:", wall_clock=lambda: int(clock.seconds() * 1000))
        self._durable = DurableSubjects(clock=clock, journal=journal)
        self._subscriptions: Routes[_Subscription] = Routes()
        self._responders: Routes[Responder] = Routes()
        self._outbox: list[_Subscription | _Call] = []
        self._in_flight = 0
        self._requests = 0
        self._turns = count()
        self._stopped = False
        self._idle: Deferred[None] | None = None
        self._refused = 0

    async def start(self) -> None:
        """Begin with what consumers have not seen yet. Subscribers may come before or after."""
        await self._durable.start()

    async def stop(self) -> None:
        """Take nothing more, hand over what was taken, wait for every handler."""
        self._stopped = True
        await self._durable.stop()
        if self._in_flight:
            self._idle = Deferred()
            await self._idle

    def subscribe(self, subject: str, subscriber: Subscriber) -> None:
        self._subscriptions.add(subject, _Subscription(subscriber))

    def respond(self, subject: str, responder: Responder) -> None:
        self._responders.add(subject, responder)

    def publish(self, subject: str, payload: bytes) -> None:
        """All subscribers or, if one has no room, none."""
        payload = self._admit(subject, payload)
        subscriptions = self._subscriptions.find(subject)
        for subscription in subscriptions:
            if subscription.is_full(payload):
                self._refused += 1
                raise BusRefused(f"a subscriber of {subject} does not keep up")
        trace = carried()
        for subscription in subscriptions:
            subscription.waiting.append((subject, payload, trace))
            subscription.waiting_bytes += len(payload)
            self._post(subscription)

    async def publish_durable(self, subject: str, payload: bytes) -> None:
        await self._durable.publish(subject, self._admit(subject, payload))

    def consume(self, subject: str, consumer: str, subscriber: Subscriber) -> None:
        self._durable.consume(subject, consumer, subscriber)

    async def request(self, subject: str, payload: bytes, *, timeout_s: float) -> bytes:
        payload = self._admit(subject, payload)
        responders = self._responders.find(subject)
        if not responders:
            raise NoResponder(subject)
        if self._requests >= MAX_REQUESTS:
            self._refused += 1
            raise BusRefused("too many requests are in flight")
        self._requests += 1
        call = _Call(subject, payload, responders[next(self._turns) % len(responders)])
        self._post(call)
        return await with_timeout(call.answer, timeout_s=timeout_s, clock=self._clock)

    def counts(self) -> dict[str, int]:
        """For the metrics: totals since the start, and ``in_flight``, which is now."""
        return {
            "in_flight": self._in_flight,
            "refused": self._refused + self._durable.refused,
            "retries": self._durable.retries,
            "dead_letters": self._durable.buried,
        }

    def _admit(self, subject: str, payload: bytes) -> bytes:
        if self._stopped:
            raise BusRefused("the bus is stopped")
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise ValueError(f"{len(payload)} bytes are too many for {subject}")
        check_subject(subject)
        return bytes(payload)

    def _post(self, item: _Subscription | _Call) -> None:
        self._in_flight += 1
        if not self._outbox:
            self._clock.callLater(0, self._hand_over)
        self._outbox.append(item)

    def _hand_over(self) -> None:
        """What handlers send meanwhile goes into a new outbox, with a turn of its own."""
        outbox, self._outbox = self._outbox, []
        for item in outbox:
            if isinstance(item, _Call):
                run_apart(item.trace, Deferred.fromCoroutine, self._serve(item))
            else:
                item.due += 1
                self._deliver_due(item)

    def _deliver_due(self, subscription: _Subscription) -> None:
        """A loop, so that a thousand handlers that return at once do not nest a thousand deep."""
        if subscription.looping:
            return
        subscription.looping = True
        while subscription.due and not subscription.busy:
            subscription.due -= 1
            subscription.busy = True
            subject, payload, trace = subscription.waiting.popleft()
            subscription.waiting_bytes -= len(payload)
            run_apart(trace, Deferred.fromCoroutine, self._deliver(subscription, subject, payload))
        subscription.looping = False

    async def _deliver(self, subscription: _Subscription, subject: str, payload: bytes) -> None:
        try:
            await subscription.subscriber(subject, payload)
        except Exception:
            self._log.failure("a subscriber of {subject} failed", subject=subject)
        subscription.busy = False
        self._done()
        self._deliver_due(subscription)

    async def _serve(self, call: _Call) -> None:
        result: bytes | BusFailure
        try:
            result = bytes(await call.responder(call.payload))
            if len(result) > MAX_PAYLOAD_BYTES:
                raise ValueError(f"an answer of {len(result)} bytes is too long")
        except Exception:
            self._log.failure("the responder of {subject} failed", subject=call.subject)
            result = BusFailure(f"{call.subject} failed")
        self._requests -= 1
        self._done()
        if isinstance(result, BusFailure):
            call.answer.errback(result)
        else:
            call.answer.callback(result)

    def _done(self) -> None:
        self._in_flight -= 1
        if not self._in_flight and self._idle is not None:
            idle, self._idle = self._idle, None
            idle.callback(None)
