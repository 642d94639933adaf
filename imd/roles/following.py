"""Somebody who wants to be told what others only answer when they are asked."""

from __future__ import annotations

from collections.abc import Callable

from imd.kernel.clocks import Clock
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep

INTERVAL_S = 0.5


class Following:
    """A stage that hands on an answer, twice a second; at its stop it says no.

    :param tell: is told again and again.
    """

    def __init__(self, ask: Callable[[], bool], tell: Callable[[bool], None], *, clock: Clock) -> None:
        self._ask = ask
        self._tell = tell
        self._clock = clock
        self._tasks = Tasks()

    async def start(self) -> None:
        self._tasks.spawn("follow", self._follow())

    async def stop(self) -> None:
        await self._tasks.stop()
        self._tell(False)

    async def _follow(self) -> None:
        while True:
            self._tell(self._ask())
            await sleep(INTERVAL_S, clock=self._clock)
