"""Durable subjects on JetStream, by plain requests to its API: streams from the table, recording events.

nats-py's own JetStream context would bring its requests, futures and pull subscriptions with their traps
(``drain`` hangs, ``fetch`` times out by exception); what is needed here is a handful of JSON questions.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from imd.bus.nats_connection import NatsConnection
from imd.bus.nats_replies import NotPermitted
from imd.bus.nats_streams import DEAD_LETTERS, Stream, consumer_config, consumer_name, stream_of
from imd.bus.port import BusFailure, BusRefused, NoResponder
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.errors import OutcomeUnknown, StartupError
from imd.kernel.timeouts import TimeoutError, sleep

#: Spec 24.1: a PubAck is waited for so long, then the event is sent again with the same id.
PUB_ACK_TIMEOUT_S = 2.0
#: Until the publisher learns that it could not be recorded; well within the dedupe window.
RECORD_TIMEOUT_S = 10.0
_RETRY_DELAY_S = 0.1
_MAX_RETRY_DELAY_S = 1.0
#: Events on their way to the disk, as for LocalBus.
MAX_UNRECORDED_EVENTS = 1_000
MAX_UNRECORDED_BYTES = 1024 * 1024
API_TIMEOUT_S = 5.0

_NAME_IN_USE = 10058
#: JetStream not enabled (at all, for the account), and more replicas than servers.
_HOPELESS = (10076, 10039, 10074)


class ApiError(Exception):
    """JetStream refused; ``code`` is its ``err_code``."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(f"JetStream: {description} ({code})")
        self.code = code


#: What a call of the API may end with, besides success.
API_FAILURES = (ApiError, BusFailure, BusRefused, NoResponder, TimeoutError)


class JetStream:
    """Streams that exist as declared, and events recorded in them."""

    _log = Logger()

    def __init__(
        self,
        *,
        connection: NatsConnection,
        clock: Clock,
        wall_clock: WallClock,
        random: Callable[[], float],
        publisher: str,
        streams: tuple[Stream, ...],
        replicas: int,
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._born_ms = wall_clock()
        self._streams = streams
        self._replicas = replicas
        #: Ids are unique over restarts of the publisher, too.
        self._life = f"{int(random() * 2**48):012x}"
        self._id_prefix = f"{publisher}-{self._life}-"
        self._published = 0
        self._unrecorded = 0
        self._unrecorded_bytes = 0
        self._declaring: Deferred[None] | None = None
        #: The update of a stream that was refused is not tried again and again.
        self._left_as_is: set[str] = set()

    # Streams

    async def start(self, timeout_s: float) -> None:
        """Have all streams.

        :raises StartupError: JetStream is off, full, or does not answer in time.
        """
        deadline = self._clock.seconds() + timeout_s
        while True:
            try:
                await self.declare()
                return
            except API_FAILURES as error:
                hopeless = isinstance(error, ApiError) and error.code in _HOPELESS
                if hopeless or self._clock.seconds() >= deadline:
                    raise StartupError(f"JetStream cannot be used: {_advice(error)}") from error
            await sleep(_MAX_RETRY_DELAY_S / 2, clock=self._clock)

    async def declare(self) -> None:
        """Create what streams are missing, update those that are declared otherwise."""
        for stream in (*self._streams, DEAD_LETTERS):
            config = stream.config(self._replicas)
            try:
                await self.api(f"STREAM.CREATE.{stream.name}", config)
            except ApiError as error:
                if error.code != _NAME_IN_USE:
                    raise
                await self._update(stream.name, config)

    async def _update(self, name: str, config: dict[str, Any]) -> None:
        if name in self._left_as_is:
            return
        try:
            await self.api(f"STREAM.UPDATE.{name}", config)
            self._log.info("stream {name} is now as declared", name=name)
        except (ApiError, BusRefused) as error:
            # As a core node may not: it would let a stolen password empty the stream.
            self._left_as_is.add(name)
            self._log.warn("stream {name} is left as it is: {error}", name=name, error=error)

    async def api(self, call: str, request: dict[str, Any]) -> dict[str, Any]:
        """One question to JetStream; any of API_FAILURES."""
        subject = f"$JS.API.{call}"
        answer = await self._connection.ask_raw(
            subject.encode(), json.dumps(request).encode(), timeout_s=API_TIMEOUT_S, subject=subject
        )
        return _checked(answer)

    async def declare_consumer(self, name: str, pattern: str) -> tuple[Stream, str, int]:
        """Have the durable consumer; its stream, its name there, and how many events wait for it."""
        stream, event = stream_of(self._streams, pattern)
        durable = consumer_name(name, pattern, life=self._life)
        request = {
            "stream_name": stream.name,
            "config": consumer_config(durable, pattern, event, born_ms=self._born_ms),
            "action": "",
        }
        answer = await self.api(f"CONSUMER.CREATE.{stream.name}.{durable}.{pattern}", request)
        return stream, durable, int(answer.get("num_pending", 0))

    # Events

    async def publish(self, subject: str, payload: bytes) -> None:
        """Returns when the event is recorded.

        :raises BusRefused: it is not, and will not be.
        :raises OutcomeUnknown: it was sent, and nobody said that it was recorded.
        """
        stream_of(self._streams, subject)
        size = self._unrecorded_bytes + len(payload)
        if self._unrecorded >= MAX_UNRECORDED_EVENTS or (self._unrecorded and size > MAX_UNRECORDED_BYTES):
            raise BusRefused("events come faster than they can be recorded")
        self._published += 1
        self._unrecorded += 1
        self._unrecorded_bytes += len(payload)
        try:
            await self.record(subject, payload, {"Nats-Msg-Id": f"{self._id_prefix}{self._published}"})
        finally:
            self._unrecorded -= 1
            self._unrecorded_bytes -= len(payload)

    async def record(self, subject: str, payload: bytes, headers: dict[str, str]) -> None:
        """Send it, with the same headers, until it is recorded or RECORD_TIMEOUT_S are over."""
        block = _block(headers)
        deadline = self._clock.seconds() + RECORD_TIMEOUT_S
        delay_s = _RETRY_DELAY_S
        sent = False
        while True:
            try:
                answer = self._connection.ask(subject, payload, timeout_s=PUB_ACK_TIMEOUT_S, headers=block)
            except BusRefused as error:
                last: Exception = error
            else:
                try:
                    _checked(await answer)
                    return
                except NoResponder as error:
                    # No stream takes this subject any more: the server lost its store.
                    last = error
                    await self.heal()
                except NotPermitted:
                    raise
                except (ApiError, BusRefused) as error:
                    last = error
                except (TimeoutError, BusFailure) as error:
                    sent, last = True, error
            if self._clock.seconds() + delay_s > deadline:
                break
            await sleep(delay_s, clock=self._clock)
            delay_s = min(2 * delay_s, _MAX_RETRY_DELAY_S)
        if sent:
            raise OutcomeUnknown(f"it is not known whether an event on {subject} was recorded") from last
        raise BusRefused(f"an event on {subject} could not be recorded") from last

    async def heal(self) -> None:
        """Declare everything again, once for all who ask at the same time; failures are logged."""
        if self._declaring is None:
            self._declaring = Deferred.fromCoroutine(self._heal())
            self._declaring.addBoth(self._healed)
        waiter: Deferred[None] = Deferred()
        self._declaring.addBoth(lambda _: waiter.callback(None))
        await waiter

    async def _heal(self) -> None:
        try:
            await self.declare()
        except API_FAILURES as error:
            self._log.warn("the streams cannot be declared now: {error}", error=error)

    def _healed(self, result: Any) -> Any:
        self._declaring = None
        return result

    @property
    def unrecorded(self) -> tuple[int, int]:
        """Events and bytes on their way to the disk."""
        return self._unrecorded, self._unrecorded_bytes


def _block(headers: dict[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"NATS/1.0\r\n{lines}\r\n".encode()


def _checked(answer: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(answer)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise ApiError(0, "an answer that is none")
    if error := parsed.get("error"):
        raise ApiError(int(error.get("err_code", 0)), str(error.get("description", "refused")))
    return parsed


def _advice(error: Exception) -> str:
    if isinstance(error, NoResponder) or (isinstance(error, ApiError) and error.code in _HOPELESS[:2]):
        return "it is not enabled; add a jetstream block to nats.conf, as in etc/nats.conf"
    if isinstance(error, TimeoutError):
        return "it does not answer; look at the log of nats-server"
    return str(error)
