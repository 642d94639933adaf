"""Sessions of watched users at other nodes: asked for once, kept current by what nodes tell, compared now and then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from imd.core.presence.route_query import BATCH, RouteLookup
from imd.core.presence.routes import Route
from imd.core.presence.session_events import RouteListener, with_route, without_session
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep

#: What the events told is compared with the table so often, in case the bus has lost one.
COMPARE_S = 120.0
#: When somebody could not be asked for, or events were missed, already after this.
COMPARE_SOON_S = 5.0
#: Between two batches, so that other work gets its turn.
PACE_S = 0.1


class _Kept:
    """A user somebody is interested in. ``sure``: an answer has come that told everything."""

    __slots__ = ("interests", "routes", "sure")

    def __init__(self) -> None:
        self.interests = 0
        self.routes: tuple[Route, ...] = ()
        self.sure = False


class Elsewhere(RouteListener):
    """A stage. Only users that are kept cost memory."""

    _logger = Logger()

    def __init__(
        self,
        *,
        lookup: RouteLookup,
        node_id: int,
        has_ended: Callable[[Route], bool],
        clock: Clock,
        wall_clock: WallClock,
        tasks: Tasks,
    ) -> None:
        self._lookup = lookup
        self._node_id = node_id
        self._has_ended = has_ended
        self._clock = clock
        self._wall_clock = wall_clock
        self._tasks = tasks
        self._kept: dict[int, _Kept] = {}
        self._unsure = False
        self._changed: Callable[[int], None] = lambda user_id: None
        self._seen: Callable[[int, int], None] = lambda user_id, at_ms: None

    def on_change(self, changed: Callable[[int], None], seen: Callable[[int, int], None]) -> None:
        """Who hears that the sessions of a kept user changed, and when any user was last seen elsewhere."""
        self._changed = changed
        self._seen = seen

    async def start(self) -> None:
        self._tasks.spawn("compare presence", self._run())

    async def stop(self) -> None:
        """Ended with its tasks."""

    def keep(self, user_ids: Iterable[int]) -> None:
        """These users matter from now on, until they are released as often."""
        for user_id in user_ids:
            kept = self._kept.get(user_id)
            if kept is None:
                kept = self._kept[user_id] = _Kept()
            kept.interests += 1

    def release(self, user_ids: Iterable[int]) -> None:
        """The opposite of ``keep``."""
        for user_id in user_ids:
            kept = self._kept[user_id]
            kept.interests -= 1
            if not kept.interests:
                del self._kept[user_id]

    def routes_of(self, user_id: int) -> tuple[Route, ...]:
        """The sessions of a kept user at other nodes."""
        kept = self._kept.get(user_id)
        return kept.routes if kept is not None else ()

    async def learn(self, user_ids: Sequence[int]) -> None:
        """Ask for those kept users that nobody has asked for yet. Never fails; what cannot be learned
        is asked for again later."""
        await self._compare([user_id for user_id in user_ids if not self._kept[user_id].sure])

    def is_here(self, user_id: int, device_id: str) -> None:
        """The device is connected to this node now; elsewhere it is gone, whoever has not heard so."""
        kept = self._kept.get(user_id)
        if kept is not None:
            kept.routes = tuple(route for route in kept.routes if route.device_id != device_id)

    def counts(self) -> dict[str, int]:
        """Sizes, for whoever watches memory."""
        return {"kept": len(self._kept)}

    # RouteListener

    def session_came(self, route: Route) -> None:
        kept = self._kept.get(route.user_id)
        if kept is not None:
            self._set(route.user_id, kept, with_route(kept.routes, route))

    def session_gone(self, route: Route, at_ms: int) -> None:
        self._seen(route.user_id, at_ms)
        kept = self._kept.get(route.user_id)
        if kept is not None:
            kept.routes = without_session(kept.routes, route.session_id)
            # Also when its coming was never heard of: the user was there.
            self._changed(route.user_id)

    def node_gone(self, node_id: int) -> None:
        now_ms = self._wall_clock()
        for user_id, kept in list(self._kept.items()):
            left = tuple(route for route in kept.routes if route.node_id != node_id)
            if len(left) < len(kept.routes):
                self._seen(user_id, now_ms)
                self._set(user_id, kept, left)

    def events_missed(self) -> None:
        self._unsure = True

    def _set(self, user_id: int, kept: _Kept, routes: tuple[Route, ...]) -> None:
        if routes != kept.routes:
            kept.routes = routes
            self._changed(user_id)

    # Asking

    async def _run(self) -> None:
        since_s = self._clock.seconds()
        while True:
            await sleep(COMPARE_SOON_S, clock=self._clock)
            if not self._unsure and self._clock.seconds() - since_s < COMPARE_S:
                continue
            since_s = self._clock.seconds()
            self._unsure = False
            try:
                await self._compare_all()
            except CancelledError:
                raise
            except Exception:
                self._logger.failure("comparing presence failed; it is tried again")
                self._unsure = True

    async def _compare_all(self) -> None:
        user_ids = list(self._kept)
        for start in range(0, len(user_ids), BATCH):
            batch = user_ids[start : start + BATCH]
            await self._compare([user_id for user_id in batch if user_id in self._kept])
            await sleep(PACE_S, clock=self._clock)

    async def _compare(self, user_ids: Sequence[int]) -> None:
        """What is known becomes what the answer says, and what was heard while it was on its way."""
        if not user_ids:
            return
        before = {user_id: self._kept[user_id].routes for user_id in user_ids}
        found = await self._lookup.find(user_ids)
        self._unsure = self._unsure or not found.complete
        for user_id, known in before.items():
            kept = self._kept.get(user_id)
            if kept is None:
                continue
            routes: tuple[Route, ...] = ()
            for route in found.routes.get(user_id, ()):
                if route.node_id != self._node_id and not self._has_ended(route):
                    routes = with_route(routes, route)
            for route in kept.routes:
                if not found.complete or route not in known:
                    routes = with_route(routes, route)
            kept.sure = kept.sure or found.complete
            self._set(user_id, kept, routes)
