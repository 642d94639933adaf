"""What changes about this node's routes on its way to the table: in order, one call at a time, until it is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from imd.core.presence.routes import Route, RouteTable
from imd.core.presence.session_events import Change
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError
from imd.kernel.eviction import forget_oldest
from imd.kernel.tasks import Tasks

#: Routes in one call of the table.
BATCH = 500
#: The nodes are told after the table, so that who asks it after hearing nothing finds everybody;
#: but no later than this.
TABLE_PATIENCE_S = 0.1
#: After a failure of the table.
RETRY_S = 1.0
#: Changes that the table has not taken yet. Beyond, the oldest are left to its own expiry, and to the next refresh.
MAX_UNWRITTEN = 100_000
#: At stop the table gets so long to forget the sessions; otherwise they expire.
STOP_TIMEOUT_S = 5.0


class _Due(NamedTuple):
    """A change that is to be written; ``loud``: the nodes are to hear of it."""

    change: Change
    loud: bool


class RouteWriter:
    """Writes routes, and says what happened.

    :param tell: tells the nodes of these changes.
    :param found: hears all routes of the user of a route that was put.
    """

    _logger = Logger()

    def __init__(
        self,
        *,
        table: RouteTable,
        clock: Clock,
        tasks: Tasks,
        tell: Callable[[Sequence[Change]], None],
        found: Callable[[Route, Sequence[Route]], None],
    ) -> None:
        self._table = table
        self._clock = clock
        self._tasks = tasks
        self._tell = tell
        self._found = found
        self._due: dict[int, _Due] = {}
        self._retry: IDelayedCall | None = None
        self._ended: Deferred[None] | None = None
        self._stopped = False
        #: The nodes were told more than the table holds; they do not rely on it meanwhile.
        self.behind = False

    def __len__(self) -> int:
        return len(self._due)

    def is_due(self, session_id: int) -> bool:
        """Whether something about this session is to be written anyway."""
        return session_id in self._due

    def write(self, changes: Sequence[Change], *, loud: bool) -> None:
        """Write these in place of what was to be written about the same sessions."""
        for change in changes:
            # At the end: the order in which things happened is kept.
            self._due.pop(change.route.session_id, None)
            self._due[change.route.session_id] = _Due(change, loud)
        forget_oldest(self._due, MAX_UNWRITTEN)
        if loud and self.behind:
            self._tell(changes)
        self._write_soon()

    async def stop(self, changes: Sequence[Change]) -> None:
        """Write these ends besides what is due, and nothing any more."""
        self._stopped = True
        if self._retry is not None:
            self._retry.cancel()
        if self._ended is not None:
            await self._ended
        ends = {due.change.route.session_id: due.change.route for due in self._due.values()}
        ends.update({change.route.session_id: change.route for change in changes})
        routes = list(ends.values())
        deadline_s = self._clock.seconds() + STOP_TIMEOUT_S
        for start in range(0, len(routes), BATCH):
            if self._clock.seconds() > deadline_s or not await self._remove(routes[start : start + BATCH]):
                self._logger.warn("{count} routes are left to expire", count=len(routes) - start)
                return

    def _write_soon(self) -> None:
        if self._ended is None and self._retry is None and self._due and not self._stopped:
            self._ended = Deferred()
            self._tasks.spawn("write routes", self._write(self._ended))

    async def _write(self, ended: Deferred[None]) -> None:
        try:
            while self._due and not self._stopped:
                batch = dict(islice(self._due.items(), BATCH))
                for session_id in batch:
                    del self._due[session_id]
                if not await self._write_batch(list(batch.values())):
                    # What came meanwhile is newer.
                    self._due = {**batch, **self._due}
                    self._retry = self._clock.callLater(RETRY_S, self._write_again)
                    return
        finally:
            self._ended = None
            ended.callback(None)
        if self.behind:
            self.behind = False
            self._tell([])

    def _write_again(self) -> None:
        self._retry = None
        self._write_soon()

    async def _write_batch(self, batch: Sequence[_Due]) -> bool:
        loud = [due.change for due in batch if due.loud]
        hurry = self._clock.callLater(TABLE_PATIENCE_S, self._fall_behind, loud)
        came = [due.change.route for due in batch if not due.change.gone_at_ms]
        gone = [due.change.route for due in batch if due.change.gone_at_ms]
        found = await self._put(came)
        written = found is not None and await self._remove(gone)
        if hurry.active():
            hurry.cancel()
        if not written:
            self._fall_behind(loud)
        elif loud:
            # Maybe once more: who asked the table meanwhile did not find them.
            self._tell(loud)
        for route, routes in found or ():
            self._found(route, routes)
        return written

    def _fall_behind(self, loud: Sequence[Change]) -> None:
        """The table is slow or away: the nodes hear of what is being written, and of what waits for that."""
        self.behind = True
        self._tell([*loud, *(due.change for due in self._due.values() if due.loud)])

    async def _put(self, routes: Sequence[Route]) -> list[tuple[Route, Sequence[Route]]] | None:
        if not routes:
            return []
        try:
            found = await self._table.put(routes)
        except ImError as error:
            if not self.behind:
                self._logger.error("the route table does not answer ({error}); nodes hear of sessions "
                                   "over the bus only", error=error)  # fmt: skip
            return None
        except CancelledError:
            raise
        except Exception:
            self._logger.failure("routes were not written; they are tried again")
            return None
        return [(route, found.routes.get(route.user_id, ())) for route in routes]

    async def _remove(self, routes: Sequence[Route]) -> bool:
        if not routes:
            return True
        try:
            await self._table.remove(routes)
        except ImError as error:
            self._logger.warn("routes are not removed yet: {error}", error=error)
            return False
        except CancelledError:
            raise
        except Exception:
            self._logger.failure("routes were not removed; they are tried again")
            return False
        return True
