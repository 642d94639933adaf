"""A stage that drops what of groups is kept for a while only."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from imd.business.groups.ports import Past
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.errors import ImError
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep

#: What is too old by an hour harms nobody; several nodes that do this find nothing left to do.
INTERVAL_S = 3600.0


class Forgetting:
    """Departures and past mutes after a week, applications and invitations a while after they were settled."""

    _log = Logger()

    def __init__(self, *, past: Past, clock: Clock, wall_clock: WallClock, tasks: Tasks) -> None:
        self._past = past
        self._clock = clock
        self._wall_clock = wall_clock
        self._tasks = tasks

    async def start(self) -> None:
        self._tasks.spawn("forget what is past in groups", self._run())

    async def stop(self) -> None:
        """Ends with the other background work."""

    async def _run(self) -> None:
        while True:
            await sleep(INTERVAL_S, clock=self._clock)
            try:
                gone = await self._past.forget(self._wall_clock())
            except CancelledError:
                raise
            except ImError as error:
                self._log.warn("what is past in groups is forgotten later: {error}", error=error)
            except Exception:
                # A fault of ours must not end what has to go on for as long as the server runs.
                self._log.failure("what is past in groups was not forgotten")
            else:
                self._log.debug("{gone} rows of what is past in groups were forgotten", gone=gone)
