"""Durable subjects on a journal: each consumer gets every event, in order, until it has succeeded."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from imd.bus.journal import Event, Journal
from imd.bus.matching import matcher
from imd.bus.port import BusRefused, Subscriber
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError
from imd.kernel.timeouts import sleep
from imd.kernel.trace_context import run_apart

#: Spec 3.5. While an event is tried again, those behind it wait: two minutes at most.
MAX_TRIES = 5
RETRY_DELAY_S = 30.0
#: Events on their way to the disk; above it the publisher learns that it is too fast (issue 3).
MAX_UNRECORDED_EVENTS = 1_000
MAX_UNRECORDED_BYTES = 1024 * 1024


class DurableSubjects:
    """Publishing into the journal, and one ``Consumer`` for each (subject, consumer name)."""

    def __init__(self, *, clock: Clock, journal: Journal) -> None:
        self._clock = clock
        self._journal = journal
        self._consumers: dict[tuple[str, str], Consumer] = {}
        self._unrecorded = 0
        self._unrecorded_bytes = 0
        self._started = False
        #: Events that there was no room for, ever.
        self.refused = 0

    @property
    def retries(self) -> int:
        """Events that are tried again, ever."""
        return sum(consumer.retries for consumer in self._consumers.values())

    @property
    def buried(self) -> int:
        """Events that were given up, ever."""
        return sum(consumer.buried for consumer in self._consumers.values())

    async def start(self) -> None:
        await self._journal.open()
        self._started = True
        for consumer in self._consumers.values():
            consumer.start()

    async def stop(self) -> None:
        """Wait for running handlers, not for events that are still to come."""
        self._started = False
        for consumer in self._consumers.values():
            await consumer.stop()
        await self._journal.close()

    async def publish(self, subject: str, payload: bytes) -> None:
        if not self._started:
            raise BusRefused("the bus is not running")
        size = self._unrecorded_bytes + len(payload)
        if self._unrecorded >= MAX_UNRECORDED_EVENTS or (self._unrecorded and size > MAX_UNRECORDED_BYTES):
            self.refused += 1
            raise BusRefused("events come faster than they can be recorded")
        self._unrecorded += 1
        self._unrecorded_bytes += len(payload)
        try:
            await self._journal.append(subject, payload)
        finally:
            self._unrecorded -= 1
            self._unrecorded_bytes -= len(payload)
        for consumer in self._consumers.values():
            consumer.wake()

    def consume(self, subject: str, name: str, subscriber: Subscriber) -> None:
        if (subject, name) in self._consumers:
            raise ValueError(f"{name} already consumes {subject}")
        consumer = Consumer(subject, name, subscriber, clock=self._clock, journal=self._journal)
        self._consumers[subject, name] = consumer
        if self._started:
            consumer.start()


class Consumer:
    """Reads the journal from where it was, one event at a time."""

    _log = Logger()

    def __init__(
        self, pattern: str, name: str, subscriber: Subscriber, *, clock: Clock, journal: Journal
    ) -> None:
        self._pattern = pattern
        self._name = name
        self._matches: Callable[[str], bool] = matcher(pattern)
        self._subscriber = subscriber
        self._clock = clock
        self._journal = journal
        self._stopping = False
        self._running: Deferred[None] | None = None
        self._retry: Deferred[None] | None = None
        self._quiet: Deferred[None] | None = None
        #: Subjects done with since the last write, and the last event of any of them.
        self._done: set[str] = set()
        self._done_id = 0
        #: Events that are tried again, and that were given up, ever.
        self.retries = 0
        self.buried = 0
        self._writing = False
        self._written: Deferred[None] | None = None

    def start(self) -> None:
        self._running = Deferred.fromCoroutine(self._run())

    def wake(self) -> None:
        """Something was recorded.

        The journal answers in the order of asking, so a reading that is under way either sees it or
        has left the consumer quiet before this is called.
        """
        if self._quiet is not None:
            quiet, self._quiet = self._quiet, None
            quiet.callback(None)

    async def stop(self) -> None:
        """Wait for the running handler and for what is to be acknowledged."""
        self._stopping = True
        self.wake()
        if self._retry is not None:
            self._retry.cancel()
        if self._running is not None:
            await self._running
        if self._written is not None:
            await self._written

    async def _run(self) -> None:
        while not self._stopping:
            try:
                progress = await self._journal.register(self._name, self._pattern)
                await self._follow(progress.acked_id, progress.tries)
            except ImError as error:
                self._log.error("consumer {name}: {error}", name=self._name, error=error)
                await self._pause()

    async def _follow(self, position: int, tries: int) -> None:
        while True:
            events = await self._journal.read(position)
            for event in events:
                if self._stopping:
                    return
                if self._matches(event.subject):
                    await self._handle(event, tries)
                    tries = 0
                position = event.id
            if self._stopping:
                return
            if not events:
                self._quiet = Deferred()
                await self._quiet

    async def _handle(self, event: Event, tries: int) -> None:
        """Until it succeeded, was given up, or the bus stops."""
        while True:
            try:
                await run_apart(None, Deferred.fromCoroutine, self._call(event))
            except Exception as error:
                self._log.failure(
                    "consumer {name} failed on {subject}", name=self._name, subject=event.subject
                )
                reason = f"{type(error).__name__}: {error}"
            else:
                self._acknowledge(event)
                return
            tries += 1
            if tries >= MAX_TRIES:
                self.buried += 1
                await self._journal.bury(self._name, self._pattern, event, reason)
                return
            self.retries += 1
            await self._journal.record_try(self._name, self._pattern, tries)
            await self._pause()
            if self._stopping:
                return

    async def _call(self, event: Event) -> None:
        await self._subscriber(event.subject, event.payload)

    async def _pause(self) -> None:
        if self._stopping:
            return
        self._retry = sleep(RETRY_DELAY_S, clock=self._clock)
        try:
            await self._retry
        except CancelledError:
            # Only stop() cancels.
            return
        finally:
            self._retry = None

    def _acknowledge(self, event: Event) -> None:
        """Recorded soon; a crash before that brings the event again."""
        self._done.add(event.subject)
        self._done_id = event.id
        if not self._writing:
            self._writing = True
            self._written = Deferred.fromCoroutine(self._write_acks())

    async def _write_acks(self) -> None:
        while self._done:
            done, self._done = self._done, set()
            try:
                await self._journal.acknowledge(self._name, self._pattern, self._done_id, done)
            except ImError as error:
                self._log.error("consumer {name}: {error}", name=self._name, error=error)
        self._writing = False
