"""Looks after silent connections without a timer for each: a part of them every second."""

from __future__ import annotations

from typing import NamedTuple

from twisted.logger import Logger

from imd.core.gateway.gateway import Gateway
from imd.core.gateway.registry import Registry
from imd.core.gateway.session import Session
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.errors import AuthFailed, PayloadInvalid
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep

#: Every connection is looked at once in so many seconds.
CYCLE_S = 5
#: A peer that has not read for so long is cut off; its messages are in the log.
MAX_BLOCKED_S = 30.0


class IdleTimeouts(NamedTuple):
    """In seconds, see ``config.sections.Gateway``."""

    auth_s: float
    idle_s: float
    frame_s: float
    token_grace_s: float


class IdleScan:
    """A stage that closes what has been silent, slow or expired for too long."""

    _logger = Logger()

    def __init__(
        self,
        *,
        gateway: Gateway,
        registry: Registry,
        clock: Clock,
        wall_clock: WallClock,
        tasks: Tasks,
        timeouts: IdleTimeouts,
    ) -> None:
        self._gateway = gateway
        self._registry = registry
        self._clock = clock
        self._wall_clock = wall_clock
        self._tasks = tasks
        self._timeouts = timeouts
        self._cycle: list[Session] = []
        self._share = 0

    async def start(self) -> None:
        self._tasks.spawn("idle scan", self._run())

    async def stop(self) -> None:
        """Ended with its tasks."""

    async def _run(self) -> None:
        while True:
            await sleep(1.0, clock=self._clock)
            try:
                self.scan()
            except Exception:
                self._logger.failure("the idle scan stumbled; it goes on")

    def scan(self) -> None:
        """One second's share, and all strangers."""
        now_s = self._clock.seconds()
        for stranger in self._registry.strangers:
            if not stranger.closing and now_s - stranger.opened_at_s > self._timeouts.auth_s:
                self._gateway.close(stranger, AuthFailed("no valid Connect in time"), how="nameless")
        if not self._cycle:
            self._cycle = list(self._registry)
            self._share = len(self._cycle) // CYCLE_S + 1
            self._registry.forget_idle()
        share, self._cycle = self._cycle[: self._share], self._cycle[self._share :]
        now_ms = self._wall_clock()
        for session in share:
            if not session.closing:
                self._look_at(session, now_s, now_ms)

    def _look_at(self, session: Session, now_s: float, now_ms: int) -> None:
        timeouts = self._timeouts
        if session.held:
            # It cannot be heard while it is not read.
            session.heard_at_s = now_s
            if session.partial_since_s is not None:
                session.partial_since_s = now_s
        if session.blocked_for_s(now_s) > MAX_BLOCKED_S:
            session.ending = "unread"
            session.link.abort()
        elif now_s - session.heard_at_s > timeouts.idle_s:
            silent = PayloadInvalid("nothing was heard for too long; send heartbeats")
            self._gateway.close(session, silent, how="silent")
        elif session.partial_since_s is not None and now_s - session.partial_since_s > timeouts.frame_s:
            unfinished = PayloadInvalid("a frame was begun and not finished in time")
            self._gateway.close(session, unfinished, how="unfinished")
        elif session.user is not None and now_ms > session.expires_at_ms + timeouts.token_grace_s * 1000:
            self._gateway.close(session, AuthFailed("the token has expired"), how="expired")
