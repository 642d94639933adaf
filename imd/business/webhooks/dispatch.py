"""Sends events: those of one line one by one in their order, those of several lines side by side.

What is not taken is sent again, later each time; what was sent too often is put aside, and the line goes on without
it. A server that takes nothing at all is asked now and then only, by one event; when it is back, all go on at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from imd.business.webhooks.model import GAP_LOOK_MS, GAP_PATIENCE_MS, Line, Outcome, Waiting, retry_after_ms
from imd.business.webhooks.ports import Events
from imd.hooks.breaker import Breaker, State
from imd.hooks.post import Answer, PostFailed
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.errors import ImError
from imd.kernel.histogram import Histogram
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep
from imd.ops.metrics.buckets import OUTSIDE

#: What other nodes put in, and retries that are due, are noticed by then; one's own events at once.
POLL_S = 1.0
FORGET_INTERVAL_S = 60.0
#: A claim lasts as long as a few POSTs that take their time; whoever cannot be done by then stops in time.
LEASE_POSTS = 3
#: For the marking, and for nodes whose clocks differ.
LEASE_MARGIN_S = 5.0
EVENT_HEADER, ID_HEADER = "X-Imd-Event", "X-Imd-Event-Id"


class Posts(Protocol):
    """As of ``imd.hooks.post.SignedPosts``."""

    async def post(self, body: bytes, headers: dict[str, str], /) -> Answer: ...


class Dispatcher:
    """A stage.

    :param owner: this node, in the leases.
    :param wants: whether events of this kind are told; the others have kept their place, and that is all.
    :param timeout_s: of one POST.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        owner: str,
        events: Events,
        posts: Posts,
        wants: Callable[[str], bool],
        breaker: Breaker,
        connections: int,
        max_tries: int,
        timeout_s: float,
        clock: Clock,
        wall_clock: WallClock,
        random: Callable[[], float],
        tasks: Tasks,
    ) -> None:
        self._owner = owner
        self._events = events
        self._posts = posts
        self._wants = wants
        self._breaker = breaker
        self._connections = connections
        self._max_tries = max_tries
        self._timeout_s = timeout_s
        self._clock = clock
        self._wall_clock = wall_clock
        self._random = random
        self._tasks = tasks
        self._busy = 0
        #: Events, by how a post of them ended.
        self.results = {"taken": 0, "failed": 0, "dead": 0}
        self.seconds = Histogram(OUTSIDE.bounds)
        self._pause: Deferred[None] | None = None
        self._woken = False

    async def start(self) -> None:
        """What this node was sending when it died is free again: it comes back under the same name."""
        with suppress(ImError):
            await self._events.release(self._owner)
        self._tasks.spawn("send events", self._run())
        self._tasks.spawn("forget events", self._forget())

    async def stop(self) -> None:
        """Ended with the background work, and the leases soon after, wherever it was."""

    @property
    def busy(self) -> int:
        """Lines of events that are being sent."""
        return self._busy

    @property
    def is_resting(self) -> bool:
        """Whether nothing is sent, since nothing was taken."""
        return self._breaker.state is not State.CLOSED

    def wake(self) -> None:
        """Something came in here, or a line is free."""
        self._woken = True
        if self._pause is not None:
            self._pause.cancel()

    async def _run(self) -> None:
        while True:
            self._woken = False
            claimed = 0
            try:
                claimed = await self._claim()
            except ImError as error:
                self._log.warn("events wait for the database: {error}", error=error)
            if not claimed and not self._woken:
                await self._rest()

    async def _rest(self) -> None:
        self._pause = sleep(POLL_S, clock=self._clock)
        try:
            await self._pause
        except CancelledError:
            if not self._woken:
                raise
        finally:
            self._pause = None

    async def _claim(self) -> int:
        """Take on as many lines as there is room for; how many."""
        free = self._connections - self._busy
        if not free or not self._breaker.allows():
            return 0
        probing = self._breaker.state is State.HALF_OPEN
        now_ms = self._wall_clock()
        lease_s = LEASE_POSTS * self._timeout_s + LEASE_MARGIN_S
        give_up_at_s = self._clock.seconds() + (LEASE_POSTS - 1) * self._timeout_s
        lines: Sequence[Line] = ()
        try:
            lines = await self._events.claim(
                self._owner, now_ms, until_ms=now_ms + int(lease_s * 1000), limit=1 if probing else free
            )
        finally:
            if probing and not lines:
                # Nothing to try it with: the next event is the one.
                self._breaker.untried()
        for line in lines:
            self._busy += 1
            self._tasks.spawn("send a line of events", self._work_on(line, give_up_at_s, probing))
        return len(lines)

    async def _work_on(self, line: Line, give_up_at_s: float, probing: bool) -> None:
        try:
            outcome = await self._send(line, give_up_at_s)
            await self._settle(line, outcome)
            if probing and self._breaker.state is State.CLOSED:
                self._log.info("events are taken again")
                await self._events.hurry(self._wall_clock())
        except ImError as error:
            # Sent and not marked: it is sent again when the lease is over, under the same id.
            self._log.warn("the events of {line} come again: {error}", line=line.order_key, error=error)
        finally:
            if probing:
                # It may have had nothing to send just now.
                self._breaker.untried()
            self._busy -= 1
            self.wake()

    async def _send(self, line: Line, give_up_at_s: float) -> Outcome:
        sent, last_position = 0, line.last_position
        for waiting in line.events:
            if waiting.event.position > last_position + 1:
                now_ms = self._wall_clock()
                if now_ms < waiting.created_at_ms + GAP_PATIENCE_MS:
                    return Outcome(sent, wait_until_ms=now_ms + GAP_LOOK_MS)
            last_position = max(last_position, waiting.event.position)
            if self._clock.seconds() > give_up_at_s:
                return Outcome(sent)
            if self._wants(waiting.event.kind):
                error = await self._post(waiting)
                if error:
                    return Outcome(sent, error=error)
            sent += 1
        return Outcome(sent)

    async def _post(self, waiting: Waiting) -> str:
        """Why it was not taken; empty: it was."""
        event = waiting.event
        headers = {EVENT_HEADER: event.kind, ID_HEADER: event.event_id}
        began_s = self._clock.seconds()
        try:
            answer = await self._posts.post(event.payload.encode(), headers)
        except PostFailed as failed:
            error = str(failed)
        else:
            error = "" if answer.is_good else f"answered {answer.status}"
        self.seconds.observe(self._clock.seconds() - began_s)
        self.results["failed" if error else "taken"] += 1
        if error:
            was = self._breaker.state
            self._breaker.failed()
            if self._breaker.state is State.OPEN and was is State.CLOSED:
                self._log.error("events are not taken: {error}; asked again now and then", error=error)
        else:
            self._breaker.succeeded()
        return error

    async def _settle(self, line: Line, outcome: Outcome) -> None:
        dead, retry_ms = False, 0
        if outcome.error:
            failed = line.events[outcome.sent]
            tries = failed.tries + 1
            dead = tries >= self._max_tries
            retry_ms = retry_after_ms(tries, self._random)
            if dead:
                self.results["dead"] += 1
                self._log.error(
                    "event {id} was not taken {tries} times and is put aside: {error}",
                    id=failed.event.event_id,
                    tries=tries,
                    error=outcome.error,
                )
        now_ms = self._wall_clock()
        await self._events.settle(line, outcome, now_ms, retry_at_ms=now_ms + retry_ms, dead=dead)

    async def _forget(self) -> None:
        while True:
            try:
                while await self._events.forget(self._wall_clock()):
                    pass
            except ImError as error:
                self._log.warn("old events stay for now: {error}", error=error)
            await sleep(FORGET_INTERVAL_S, clock=self._clock)
