"""A durable consumer: takes one event after the other from JetStream, until each has succeeded or is put aside."""

from __future__ import annotations

import json
from collections import deque
from contextlib import suppress
from contextvars import Context
from typing import NamedTuple

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from imd.bus.nats_connection import NatsConnection
from imd.bus.nats_jetstream import API_FAILURES, JetStream
from imd.bus.nats_streams import DEAD_PREFIX, MAX_DELIVERIES, Event
from imd.bus.port import BusRefused, Subscriber
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError
from imd.kernel.histogram import Histogram
from imd.kernel.timeouts import sleep

_NS = 1_000_000_000
#: A question for the next event is good for so long; the server says that it still stands by heartbeats.
PULL_EXPIRES_S = 30.0
HEARTBEAT_S = 5.0
#: Without any word for so long the question is lost: the server restarted, the stream or consumer is gone.
SILENCE_S = 2.5 * HEARTBEAT_S
#: Between tries to have the consumer at all.
_RETRY_DELAY_S = 0.5
_MAX_RETRY_DELAY_S = 30.0
#: Before the consumer is declared again because the server said something else than an event.
_AGAIN_DELAY_S = 0.1

_ACK = b"+ACK"
_WORKING = b"+WPI"
_NO_MESSAGES = (b"404", b"408")
_HEARTBEAT = b"100"


class Delivery(NamedTuple):
    """An event in hand; ``key`` is the same when it comes again, ``behind`` how many wait after it."""

    subject: str
    payload: bytes
    ack: bytes
    deliveries: int
    key: tuple[str, str]
    behind: int = 0

    @classmethod
    def of(cls, subject: bytes, ack: bytes, payload: bytes) -> Delivery:
        """Read what the server put into the subject for the ack.

        ``$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<>.<time>.<behind>``, or with domain and account before.
        """
        tokens = ack.decode().split(".")
        at = 4 if len(tokens) == 9 else 6
        return cls(
            subject=subject.decode(),
            payload=payload,
            ack=ack,
            deliveries=int(tokens[at]),
            key=(tokens[at + 1], tokens[at + 3]),
            behind=int(tokens[at + 4]),
        )


class NatsConsumer:
    """Asks for an event, handles it, acknowledges it, asks for the next.

    :param event: how handlers are retried.
    :param seconds: where it is counted how long they take.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        name: str,
        pattern: str,
        subscriber: Subscriber,
        event: Event,
        connection: NatsConnection,
        jetstream: JetStream,
        clock: Clock,
        seconds: Histogram,
    ) -> None:
        self._name = name
        self._pattern = pattern
        self._subscriber = subscriber
        self._event = event
        self._connection = connection
        self._jetstream = jetstream
        self._clock = clock
        self._arrived: deque[Delivery] = deque()
        self._asked = False
        self._wake: Deferred[bool] | None = None
        self._silence: IDelayedCall | None = None
        self._done: tuple[str, str] | None = None
        self._stopping = False
        self._running: Deferred[None] | None = None
        self._pausing: Deferred[None] | None = None
        #: Whether it has come to the end of what was recorded, once.
        self.caught_up = False
        #: For the metrics.
        self.handled = 0
        self.redelivered = 0
        self.buried = 0
        #: Events that wait behind the one that came last.
        self.behind = 0
        self._seconds = seconds

    def start(self) -> None:
        self._running = Deferred.fromCoroutine(self._run())

    async def stop(self) -> None:
        """Wait for the handler that runs."""
        self._stopping = True
        self._tell(woken=True)
        if self._pausing is not None:
            self._pausing.cancel()
        if self._running is not None:
            await self._running

    def reconnected(self) -> None:
        """Whatever was asked before, the server does not know of it any more."""
        if self._pausing is not None:
            self._pausing.cancel()
        self._tell(woken=False)

    async def _run(self) -> None:
        delay_s = _RETRY_DELAY_S
        while not self._stopping:
            try:
                stream, durable, waiting = await self._jetstream.declare_consumer(self._name, self._pattern)
                self.caught_up |= waiting == 0
                self.behind = waiting
                delay_s = _RETRY_DELAY_S
                await self._follow(f"$JS.API.CONSUMER.MSG.NEXT.{stream.name}.{durable}")
                await self._pause(_AGAIN_DELAY_S)
            except API_FAILURES as error:
                if self._connection.is_connected:
                    self._log.warn("consumer {name}: {error}", name=self._name, error=error)
                    await self._jetstream.heal()
                await self._pause(delay_s)
                delay_s = min(2 * delay_s, _MAX_RETRY_DELAY_S)
            except CancelledError:
                return
            except Exception:
                self._log.failure("consumer {name} goes on after a fault of its own", name=self._name)
                await self._pause(_MAX_RETRY_DELAY_S)

    async def _follow(self, next_event: str) -> None:
        """Until the server falls silent or says that this consumer is no more."""
        inbox = self._connection.new_inbox()
        sid = self._connection.listen(inbox, self._take)
        self._asked = False
        expires = {"expires": int(PULL_EXPIRES_S * _NS), "idle_heartbeat": int(HEARTBEAT_S * _NS), "batch": 1}
        request = json.dumps(expires).encode()
        try:
            while not self._stopping:
                if self._arrived:
                    await self._handle(self._arrived.popleft())
                    continue
                if not self._asked:
                    self._connection.ask_many(next_event, request, inbox=inbox)
                    self._asked = True
                if not await self._word():
                    return
        finally:
            self._connection.unlisten(sid)
            for delivery in self._arrived:
                # Not begun: whoever consumes next need not wait for the time-out.
                self._answer(delivery, b"-NAK")
            self._arrived.clear()

    async def _word(self) -> bool:
        """Wait for the server; false if it says nothing."""
        self._wake = Deferred()
        self._silence = self._clock.callLater(SILENCE_S, self._tell, woken=False)
        try:
            return await self._wake
        finally:
            if self._silence.active():
                self._silence.cancel()
            self._wake = None

    def _tell(self, *, woken: bool) -> None:
        wake, self._wake = self._wake, None
        if wake is not None:
            wake.callback(woken)

    def _take(self, subject: bytes, reply: bytes, payload: bytes, headers: bytes | None) -> None:
        status = headers[9:12] if headers is not None and headers.startswith(b"NATS/1.0 ") else b""
        if status == _HEARTBEAT:
            if self._silence is not None and self._silence.active():
                self._silence.reset(SILENCE_S)
            return
        if not status:
            self._asked = False
            self._arrived.append(Delivery.of(subject, reply, payload))
            self._tell(woken=True)
        elif status in _NO_MESSAGES:
            self._asked = False
            self._tell(woken=True)
        else:
            # 409 consumer deleted or leader changed, 503 nobody there: begin from the beginning.
            self._tell(woken=False)

    async def _handle(self, delivery: Delivery) -> None:
        if delivery.key == self._done:
            # Our ack was lost, with the connection.
            self._answer(delivery, _ACK)
            return
        self.behind = delivery.behind
        if delivery.deliveries > 1:
            self.redelivered += 1
        if delivery.deliveries > MAX_DELIVERIES:
            await self._bury(delivery, f"not finished in {delivery.deliveries - 1} deliveries")
            return
        working = self._keep_waiting(delivery)
        try:
            # A context of its own: what one event's handler sets, the next one does not see.
            await Context().run(Deferred.fromCoroutine, self._call(delivery))
        except Exception as error:
            self._log.failure(
                "consumer {name} failed on {subject}", name=self._name, subject=delivery.subject
            )
            await self._failed(delivery, f"{type(error).__name__}: {error}")
        else:
            self._finish(delivery)
        finally:
            working[0].cancel()

    async def _call(self, delivery: Delivery) -> None:
        began_s = self._clock.seconds()
        try:
            await self._subscriber(delivery.subject, delivery.payload)
        finally:
            self.handled += 1
            self._seconds.observe(self._clock.seconds() - began_s)

    def _keep_waiting(self, delivery: Delivery) -> list[IDelayedCall]:
        """Tell the server three times an ack wait that the handler is still at it."""
        interval_s = self._event.ack_wait_s / 3

        def working() -> None:
            timer[0] = self._clock.callLater(interval_s, working)
            self._answer(delivery, _WORKING)

        timer = [self._clock.callLater(interval_s, working)]
        return timer

    async def _failed(self, delivery: Delivery, reason: str) -> None:
        if delivery.deliveries >= self._event.tries:
            await self._bury(delivery, reason)
            return
        backoff_s = self._event.backoff_s
        delay_s = backoff_s[min(delivery.deliveries, len(backoff_s)) - 1]
        self._answer(delivery, b'-NAK {"delay": %d}' % int(delay_s * _NS))

    async def _bury(self, delivery: Delivery, reason: str) -> None:
        """Put the event aside for a person to look at, and go on; if that cannot be done, try it all again."""
        headers = {
            "Nats-Msg-Id": f"{self._name}-{'-'.join(delivery.key)}",
            "Im-Subject": delivery.subject,
            "Im-Consumer": self._name,
            "Im-Reason": " ".join(reason.split())[:500],
        }
        try:
            await self._jetstream.record(
                f"{DEAD_PREFIX}.{self._name}.{delivery.subject}", delivery.payload, headers
            )
        except (ImError, ValueError) as error:
            self._log.error(
                "consumer {name} cannot put an event aside: {error}", name=self._name, error=error
            )
            self._answer(delivery, b'-NAK {"delay": %d}' % int(self._event.ack_wait_s * _NS))
            return
        self.buried += 1
        self._log.error(
            "consumer {name} gave up an event on {subject}; it is in stream im-dead ({reason})",
            name=self._name,
            subject=delivery.subject,
            reason=reason,
        )
        self._finish(delivery)

    def _finish(self, delivery: Delivery) -> None:
        self._done = delivery.key
        self.caught_up |= delivery.behind == 0
        self._answer(delivery, _ACK)

    def _answer(self, delivery: Delivery, answer: bytes) -> None:
        """If it gets lost the event comes again."""
        with suppress(BusRefused):
            self._connection.answer(delivery.ack, answer)

    async def _pause(self, delay_s: float) -> None:
        if self._stopping:
            return
        self._pausing = sleep(delay_s, clock=self._clock)
        try:
            await self._pausing
        except CancelledError:
            return
        finally:
            self._pausing = None
