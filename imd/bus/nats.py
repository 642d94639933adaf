"""The bus between processes, on NATS."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from ssl import SSLContext

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from imd.bus.matching import matcher
from imd.bus.nats_connection import NatsConnection
from imd.bus.nats_consumer import NatsConsumer
from imd.bus.nats_inbound import AtWork, ResponderQueue, SubscriberQueue
from imd.bus.nats_jetstream import JetStream
from imd.bus.nats_link import Login
from imd.bus.nats_streams import STREAMS, Stream, consumer_name, stream_of
from imd.bus.nats_trace import header_block
from imd.bus.port import MAX_PAYLOAD_BYTES, BusFailure, BusRefused, NoResponder, Responder, Subscriber
from imd.bus.subjects import FADES_AFTER_S
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.histogram import Calls, Histogram
from imd.kernel.timeouts import TimeoutError, sleep, with_timeout
from imd.ops.metrics.buckets import EVENT, QUESTION
from imd.ops.metrics.of_bus import FAILURES

#: The first connection and the streams; whoever starts all servers at once has them up by then.
START_TIMEOUT_S = 10.0
#: Handlers that still run are waited for so long; longer than any request's own time-out.
STOP_TIMEOUT_S = 10.0
#: Until everything that was recorded before the start has been seen once; a day's changes of a large server take
#: less.
CATCH_UP_TIMEOUT_S = 60.0
#: Messages dropped in quick succession are one gap, told when it may be over.
GAP_DELAY_S = 1.0
_POLL_S = 0.02
#: All processes that respond to a subject share its requests.
_QUEUE = "im"


class RequestCounts:
    """How requests ended; those with an answer by how long it took."""

    def __init__(self) -> None:
        self.seconds = Histogram(QUESTION.bounds)
        self.failures = dict.fromkeys(FAILURES, 0)


class NatsBus:
    """Keeps the promises of ``imd.bus.port.Bus`` between processes.

    While there is no connection, ``publish`` and ``request`` raise BusRefused at once: nothing is sent,
    and whoever can do without falls back. ``publish_durable`` goes on trying for ten seconds. The
    connection itself is tried for ever.

    :param tls: how to trust the servers; None sends everything in the clear, for loopback only.
    :param replicas: of each stream; 3 where there are three servers.
    :param loop: asyncio's, on which the reactor runs.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        servers: Sequence[str],
        user: str,
        password: str,
        name: str,
        clock: Clock,
        wall_clock: WallClock,
        random: Callable[[], float],
        loop: asyncio.AbstractEventLoop,
        tls: SSLContext | None = None,
        replicas: int = 1,
        streams: tuple[Stream, ...] = STREAMS,
        start_timeout_s: float = START_TIMEOUT_S,
    ) -> None:
        self._clock = clock
        self._streams = streams
        self._start_timeout_s = start_timeout_s
        self._connection = NatsConnection(
            servers=servers,
            login=Login(name, user, password, tls),
            clock=clock,
            random=random,
            loop=loop,
            on_up=self._up,
        )
        self._jetstream = JetStream(
            connection=self._connection,
            clock=clock,
            wall_clock=wall_clock,
            random=random,
            publisher=name,
            streams=streams,
            replicas=replicas,
        )
        self._at_work = AtWork()
        self._inbound: dict[int, SubscriberQueue | ResponderQueue] = {}
        self._consumers: dict[tuple[str, str], NatsConsumer] = {}
        self._gap_listeners: list[Callable[[], None]] = []
        self._gap_later: IDelayedCall | None = None
        self._dropped = 0
        self._started = False
        self._started_s = 0.0
        self._waits_to_catch_up = True
        self._stopped = False
        #: For the metrics.
        self.requests = RequestCounts()
        self.publications = Calls(QUESTION.bounds)
        self.consumer_seconds = Histogram(EVENT.bounds)

    async def start(self) -> None:
        """Connect and have the streams. Subscribers may come before or after.

        :raises StartupError: what is wrong, and what to do.
        """
        await self._connection.start(self._start_timeout_s)
        try:
            await self._jetstream.start(self._start_timeout_s)
        except BaseException:
            await self._connection.stop()
            raise
        self._started = True
        self._started_s = self._clock.seconds()
        for consumer in self._consumers.values():
            consumer.start()

    async def stop(self) -> None:
        """Take nothing more, wait for every handler (bounded), send what they answered, hang up."""
        self._stopped = True
        self._forget_gap()
        consumers = [Deferred.fromCoroutine(consumer.stop()) for consumer in self._consumers.values()]
        await self._connection.mute(list(self._inbound))
        try:
            await with_timeout(self._idle(consumers), timeout_s=STOP_TIMEOUT_S, clock=self._clock)
        except TimeoutError:
            self._log.error(
                "{count} handlers of the bus did not end in time; they are left", count=self._at_work.count
            )
        await self._connection.stop()

    async def withdraw(self) -> None:
        """Answer no request that comes from here on: others who respond to the same subjects do. Returns when
        those at hand are answered (bounded)."""
        leaving = {sid: each for sid, each in self._inbound.items() if isinstance(each, ResponderQueue)}
        for sid in leaving:
            del self._inbound[sid]
        await self._connection.mute(list(leaving))
        deadline_s = self._clock.seconds() + STOP_TIMEOUT_S
        while any(map(len, leaving.values())) and self._clock.seconds() < deadline_s:
            await sleep(_POLL_S, clock=self._clock)

    async def _idle(self, consumers: list[Deferred[None]]) -> None:
        await self._at_work.idle()
        for stopped in consumers:
            await stopped

    # The port

    def publish(self, subject: str, payload: bytes) -> None:
        self._admit(subject, payload)
        self._connection.publish(subject, payload, headers=header_block())

    def subscribe(self, subject: str, subscriber: Subscriber) -> None:
        matcher(subject)
        queue = SubscriberQueue(subscriber, at_work=self._at_work, on_dropped=self._drop)
        self._inbound[self._connection.listen(subject, queue.take)] = queue

    def respond(self, subject: str, responder: Responder) -> None:
        matcher(subject)
        queue = ResponderQueue(subject, responder, at_work=self._at_work, answers=self._connection.answer)
        self._inbound[self._connection.listen(subject, queue.take, queue=_QUEUE)] = queue

    async def request(self, subject: str, payload: bytes, *, timeout_s: float) -> bytes:
        self._admit(subject, payload)
        counted, began_s = self.requests, self._clock.seconds()
        try:
            answer = await self._connection.ask(subject, payload, timeout_s=timeout_s, headers=header_block())
        except TimeoutError:
            counted.failures["timed_out"] += 1
            raise
        except NoResponder:
            counted.failures["no_responder"] += 1
            raise
        except BusFailure:
            counted.failures["failed"] += 1
            raise
        except BusRefused:
            counted.failures["refused"] += 1
            raise
        counted.seconds.observe(self._clock.seconds() - began_s)
        return answer

    async def publish_durable(self, subject: str, payload: bytes) -> None:
        """Of events published at the same time, one that must be sent again may come after the others."""
        self._admit(subject, payload)
        began_s, failed = self._clock.seconds(), True
        try:
            await self._jetstream.publish(subject, bytes(payload))
            failed = False
        finally:
            self.publications.ended(self._clock.seconds() - began_s, failed=failed)

    def consume(self, subject: str, consumer: str, subscriber: Subscriber) -> None:
        if (subject, consumer) in self._consumers:
            raise ValueError(f"{consumer} already consumes {subject}")
        _, event = stream_of(self._streams, subject)
        consumer_name(consumer, subject)
        made = self._consumers[subject, consumer] = NatsConsumer(
            name=consumer,
            pattern=subject,
            subscriber=subscriber,
            event=event,
            connection=self._connection,
            jetstream=self._jetstream,
            clock=self._clock,
            seconds=self.consumer_seconds,
        )
        if self._started:
            made.start()

    # For the roles

    def on_gap(self, listener: Callable[[], None]) -> None:
        """Have it called when published messages may have been missed: after each reconnect, and after
        messages were dropped because a subscriber was too slow."""
        self._gap_listeners.append(listener)

    def is_connected(self) -> bool:
        """Whether sending has a chance, for readiness."""
        return self._connection.is_connected

    def is_caught_up(self) -> bool:
        """Whether each consumer of what fades has seen all that was there before it, once; for readiness.

        What cannot be handled must not keep a node out for ever: that is waited for so long, and no longer.
        """
        behind = [
            subject
            for (subject, _), consumer in self._consumers.items()
            if subject in FADES_AFTER_S and not consumer.caught_up
        ]
        if behind and self._waits_to_catch_up and self._started:
            if self._clock.seconds() < self._started_s + CATCH_UP_TIMEOUT_S:
                return False
            self._log.warn(
                "{subjects}: what was recorded before this start is not all seen after {seconds:g} s; the node goes "
                "on without",
                subjects=", ".join(behind),
                seconds=CATCH_UP_TIMEOUT_S,
            )
        # Later on nobody is behind for more than a moment, and sessions are here.
        self._waits_to_catch_up = self._waits_to_catch_up and not self._started
        return True

    def counts(self) -> dict[str, int]:
        """For the metrics: totals since the start, and ``pending...``, which is now."""
        counts, (messages, size) = self._connection.counts, self._connection.queued
        return {
            "sent": counts.sent,
            "sent_bytes": counts.sent_bytes,
            "received": counts.received,
            "received_bytes": counts.received_bytes,
            "reconnects": counts.reconnects,
            "not_permitted": counts.refused,
            "request_timeouts": self._connection.replies.timeouts,
            "dropped_by_slow_consumers": self._dropped,
            "redelivered": sum(each.redelivered for each in self._consumers.values()),
            "dead_letters": sum(each.buried for each in self._consumers.values()),
            "pending_messages": messages,
            "pending_bytes": size,
            "pending_requests": len(self._connection.replies),
            "pending_handlers": self._at_work.count,
            "pending_events": self._jetstream.unrecorded[0],
        }

    def consumers(self) -> Iterator[tuple[str, NatsConsumer]]:
        """Each by the subject that it consumes."""
        for (subject, _), consumer in self._consumers.items():
            yield subject, consumer

    # Inside

    def _admit(self, subject: str, payload: bytes) -> None:
        if self._stopped:
            raise BusRefused("the bus is stopped")
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise ValueError(f"{len(payload)} bytes are too many for {subject}")

    def _up(self, first: bool) -> None:
        if first:
            return
        for consumer in self._consumers.values():
            consumer.reconnected()
        self._tell_gap()

    def _drop(self, subject: str) -> None:
        self._dropped += 1
        if self._gap_later is None and not self._stopped:
            self._log.error(
                "a subscriber of {subject} is too slow; messages are dropped ({dropped} up to now)",
                subject=subject,
                dropped=self._dropped,
            )
            self._gap_later = self._clock.callLater(GAP_DELAY_S, self._tell_gap)

    def _tell_gap(self) -> None:
        self._forget_gap()
        if self._stopped:
            return
        for listener in self._gap_listeners:
            try:
                listener()
            except Exception:
                self._log.failure("a listener to gaps failed")

    def _forget_gap(self) -> None:
        later, self._gap_later = self._gap_later, None
        if later is not None and later.active():
            later.cancel()
