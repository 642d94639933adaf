"""Watches the permission channel: changes are told in the log, and people are called when it stays bad."""

from __future__ import annotations

from typing import Protocol

from twisted.logger import Logger

from imd.core.permission.channel import Breaker, Channel
from imd.kernel.clocks import Clock
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep

INTERVAL_S = 1.0


class Throttled(Protocol):
    """Who takes less while much cannot be checked."""

    failed_share: float


class ChannelWatch:
    """A stage: looks once a second, also while nobody asks anything."""

    _log = Logger()

    def __init__(self, *, channel: Channel, stand_in: Throttled, clock: Clock, tasks: Tasks) -> None:
        self._channel = channel
        self._stand_in = stand_in
        self._clock = clock
        self._tasks = tasks
        self._breaker = channel.breaker
        self._alarmed = False
        #: How often people were called, for the metrics.
        self.alerts = 0

    async def start(self) -> None:
        self._tasks.spawn("watch the permission channel", self._run())

    async def stop(self) -> None:
        """Ended with its tasks."""

    async def _run(self) -> None:
        while True:
            self.look()
            await sleep(INTERVAL_S, clock=self._clock)

    def look(self) -> None:
        """Note how it is, and tell what is new."""
        channel, now_s = self._channel, self._clock.seconds()
        channel.tick(now_s)
        self._stand_in.failed_share = channel.share(now_s)
        if channel.breaker is not self._breaker:
            self._tell(self._breaker, channel.breaker)
            self._breaker = channel.breaker
        alarming = channel.is_alarming(now_s)
        if alarming and not self._alarmed:
            self.alerts += 1
            self._log.error(
                "more than {share:.0%} of all questions about permissions fail, for {minutes:g} minutes now: "
                "somebody should look at im-business",
                share=channel.values.alert_share,
                minutes=channel.values.alert_after_s / 60,
            )
        self._alarmed = alarming

    def _tell(self, before: Breaker, after: Breaker) -> None:
        if after is Breaker.OPEN:
            self._log.warn(
                "im-business does not answer about permissions; it is not asked for {rest_s:g} s, and the matrix "
                "decides",
                rest_s=self._channel.values.half_open_after_s,
            )
        else:
            self._log.info(
                "permission channel: {before} is {after} now", before=before.value, after=after.value
            )
