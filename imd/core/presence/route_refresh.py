"""Routes are put again before they expire, and all at once when the table has lost its memory."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from imd.core.presence.announce import SessionRoutes
from imd.core.presence.route_writer import BATCH
from imd.core.presence.routes import RouteTable
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep

#: How often the table is asked whether it is still the one that was written to.
CHECK_S = 5.0
#: Between two batches: of a table that has just lost all, and otherwise.
HURRIED_PACE_S = 0.02
PACE_S = 0.1
#: Of the time after which a route expires.
REFRESH_SHARE = 1 / 3
#: A process that stood still for so long may have been given up by the others.
PAUSED_S = 5.0


class RouteRefresh:
    """A stage, started after the table."""

    _logger = Logger()

    def __init__(
        self, *, sessions: SessionRoutes, table: RouteTable, clock: Clock, tasks: Tasks, route_ttl_s: float
    ) -> None:
        self._sessions = sessions
        self._table = table
        self._clock = clock
        self._tasks = tasks
        self._interval_s = route_ttl_s * REFRESH_SHARE
        self._generation: str | None = None
        self._refreshed_s = 0.0

    async def start(self) -> None:
        self._refreshed_s = self._clock.seconds()
        self._tasks.spawn("refresh routes", self._run())

    async def stop(self) -> None:
        """Ended with its tasks."""

    async def _run(self) -> None:
        self._generation = await self._ask_generation()
        while True:
            before_s = self._clock.seconds()
            await sleep(CHECK_S, clock=self._clock)
            try:
                await self._check(late_s=self._clock.seconds() - before_s - CHECK_S)
            except CancelledError:
                raise
            except Exception:
                self._logger.failure("refreshing routes failed; it is tried again")

    async def _check(self, *, late_s: float) -> None:
        if late_s > PAUSED_S:
            self._logger.warn("this node stood still for {late:.1f} s", late=late_s)
            # Dead to the others, perhaps, and deaf meanwhile.
            self._sessions.events_missed()
            await self._put_all(HURRIED_PACE_S)
        generation = await self._ask_generation()
        if generation is not None and generation != self._generation:
            self._logger.warn("the route table has lost its memory; all routes are put again")
            self._generation = generation
            await self._put_all(HURRIED_PACE_S)
        elif self._clock.seconds() - self._refreshed_s >= self._interval_s:
            await self._put_all(PACE_S)

    async def _ask_generation(self) -> str | None:
        try:
            return await self._table.generation()
        except ImError:
            # The next write says so.
            return None

    async def _put_all(self, pace_s: float) -> None:
        self._refreshed_s = self._clock.seconds()
        routes = list(self._sessions)
        for start in range(0, len(routes), BATCH):
            self._sessions.put_again(routes[start : start + BATCH])
            await sleep(pace_s, clock=self._clock)
