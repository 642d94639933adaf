"""How late the reactor is: whatever keeps it, keeps everybody."""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall

from imd.kernel.clocks import Clock
from imd.kernel.histogram import Histogram
from imd.ops.metrics.buckets import LAG

#: A pause of so long is seen at least once; ten timers a second cost nothing.
INTERVAL_S = 0.1


class ReactorLag:
    """A stage: sets a timer again and again, and counts by how much it is late."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._due_s = 0.0
        self._timer: IDelayedCall | None = None
        self.lag = Histogram(LAG.bounds)

    async def start(self) -> None:
        self._set()

    async def stop(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _set(self) -> None:
        self._due_s = self._clock.seconds() + INTERVAL_S
        self._timer = self._clock.callLater(INTERVAL_S, self._went_off)

    def _went_off(self) -> None:
        self.lag.observe(max(0.0, self._clock.seconds() - self._due_s))
        self._set()
