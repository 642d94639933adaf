"""The route table compared with the connections that are really here, and cleared of nodes that died (spec 24.3)."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from imd.core.nodes.ports import LiveNodes
from imd.core.presence.announce import SessionRoutes
from imd.core.presence.routes import Route, RouteTable
from imd.core.presence.session_events import RouteListener
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.errors import ImError
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep

#: Between two pages, so that other work gets its turn.
PACE_S = 0.05


class RouteAudit(RouteListener):
    """A stage: at start, since an earlier life may have left routes behind, and then every ``interval_s``.

    :param was_seen: hears of the users of a dead node, which could not write down when they were last seen.
    """

    _logger = Logger()

    def __init__(
        self,
        *,
        sessions: SessionRoutes,
        table: RouteTable,
        live: LiveNodes,
        clock: Clock,
        wall_clock: WallClock,
        tasks: Tasks,
        was_seen: Callable[[int], None],
        interval_s: float,
    ) -> None:
        self._sessions = sessions
        self._table = table
        self._live = live
        self._clock = clock
        self._wall_clock = wall_clock
        self._tasks = tasks
        self._was_seen = was_seen
        self._interval_s = interval_s
        #: Of the last audit: the share of routes that were missing or orphaned.
        self.inconsistency_rate = 0.0
        self.inconsistencies = 0
        self.repaired = 0
        self.orphaned = 0

    async def start(self) -> None:
        self._tasks.spawn("route audit", self._run())

    async def stop(self) -> None:
        """Ended with its tasks."""

    def counts(self) -> dict[str, float]:
        """For metrics."""
        return {
            "route_inconsistency_rate": self.inconsistency_rate,
            "route_repair_count": self.repaired,
            "orphaned_route_count": self.orphaned,
        }

    async def _run(self) -> None:
        while True:
            try:
                await self.audit()
            except ImError as error:
                self._logger.warn("the route audit is put off: {error}", error=error)
            except CancelledError:
                raise
            except Exception:
                self._logger.failure("the route audit failed; it goes on with the next")
            await sleep(self._interval_s, clock=self._clock)

    async def audit(self) -> None:
        """Compare once, and repair.

        :raises ServerBusy: the table does not answer.
        """
        expected = {route.session_id: route for route in self._sessions if self._sessions.is_settled(route)}
        checked, orphaned = len(expected), 0
        page = await self._table.of_node(self._live.me.node_id)
        while True:
            strange = [route for route in page.routes if self._is_strange(route)]
            for route in page.routes:
                expected.pop(route.session_id, None)
            checked += len(strange)
            orphaned += len(strange)
            self.inconsistencies += len(strange)
            self._sessions.forget(strange)
            if not page.after:
                break
            await sleep(PACE_S, clock=self._clock)
            page = await self._table.of_node(self._live.me.node_id, page.after)
        missing = [route for route in expected.values() if self._sessions.is_here(route)]
        self.inconsistencies += len(missing)
        self._sessions.put_again(missing)
        self.inconsistency_rate = (len(missing) + orphaned) / max(1, checked)
        self.orphaned += orphaned
        self.repaired += len(missing) + orphaned
        if missing or orphaned:
            self._logger.warn("{missing} routes were missing in the table, {orphaned} were orphaned",
                              missing=len(missing), orphaned=orphaned)  # fmt: skip

    def _is_strange(self, route: Route) -> bool:
        return not self._sessions.is_here(route) and self._sessions.is_settled(route)

    # RouteListener

    def node_gone(self, node_id: int) -> None:
        """One of those that are left clears up; what it does not get to expires."""
        alive = self._live.others | {self._live.me.node_id}
        if node_id not in alive and self._live.me.node_id == min(alive):
            self._tasks.spawn("clear up after a node", self._clear_up(node_id, self._wall_clock()))

    async def _clear_up(self, node_id: int, died_ms: int) -> None:
        count = 0
        try:
            page = await self._table.of_node(node_id)
            # Once it is back, it looks after its routes itself.
            while node_id not in self._live.others:
                old = [route for route in page.routes if route.since_ms <= died_ms]
                if old:
                    await self._table.remove(old)
                count += len(old)
                for route in old:
                    self._was_seen(route.user_id)
                if not page.after:
                    break
                await sleep(PACE_S, clock=self._clock)
                page = await self._table.of_node(node_id, page.after)
        except ImError as error:
            self._logger.warn("routes of node {id} are left to expire: {error}", id=node_id, error=error)
        self._logger.info("{count} routes of node {id} were removed", count=count, id=node_id)
