"""Routes within one process; several nodes in it share one table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import nsmallest

from imd.core.presence.routes import Found, Route, RoutePage
from imd.kernel.clocks import Clock

#: Of the routes of a node that are read at a time.
PAGE_ROUTES = 500


class MemoryRouteTable:
    """``RouteTable`` on an injected clock.

    Expired routes are dropped when somebody asks for their user or their node, as the audit does
    for all. ``settle_s`` 0 is for the only node there is: nobody else has to register again.
    """

    def __init__(self, *, clock: Clock, route_ttl_s: float = 120.0, settle_s: float = 10.0) -> None:
        self._clock = clock
        self._ttl_s = route_ttl_s
        self._settle_s = settle_s
        #: By user and device, with the time at which it expires.
        self._routes: dict[int, dict[str, tuple[Route, float]]] = {}
        #: The users with a route to each node, and the other way round.
        self._of_node: dict[int, set[int]] = {}
        self._nodes_of: dict[int, set[int]] = {}
        self._born_s = 0.0
        self._lives = 0
        self.clear()

    def clear(self) -> None:
        """Forget everything, as a Redis that was restarted does."""
        self._routes.clear()
        self._of_node.clear()
        self._nodes_of.clear()
        self._born_s = self._clock.seconds()
        self._lives += 1

    async def put(self, routes: Sequence[Route]) -> Found:
        end_s = self._clock.seconds() + self._ttl_s
        for route in routes:
            devices = self._alive(route.user_id)
            known = devices.get(route.device_id)
            if known is None or not known[0].is_newer_than(route):
                devices[route.device_id] = route, end_s
                self._set(route.user_id, devices)
        return self._found(route.user_id for route in routes)

    async def remove(self, routes: Sequence[Route]) -> None:
        for route in routes:
            devices = self._alive(route.user_id)
            known = devices.get(route.device_id)
            if known is not None and known[0].session_id == route.session_id:
                del devices[route.device_id]
                self._set(route.user_id, devices)

    async def of_users(self, user_ids: Sequence[int]) -> Found:
        return self._found(user_ids)

    async def of_node(self, node_id: int, after: str = "") -> RoutePage:
        first = int(after) + 1 if after else 0
        left = (user_id for user_id in self._of_node.get(node_id, ()) if user_id >= first)
        users = nsmallest(PAGE_ROUTES, left)
        page: list[Route] = []
        for user_id in users:
            page += [route for route, _ in self._alive(user_id).values() if route.node_id == node_id]
            if len(page) >= PAGE_ROUTES:
                return RoutePage(page, str(user_id))
        return RoutePage(page, str(users[-1]) if len(users) == PAGE_ROUTES else "")

    async def generation(self) -> str:
        return f"memory-{self._lives}"

    def _found(self, user_ids: Iterable[int]) -> Found:
        routes = {}
        for user_id in user_ids:
            if devices := self._alive(user_id):
                routes[user_id] = [route for route, _ in devices.values()]
        return Found(routes, self._clock.seconds() - self._born_s >= self._settle_s)

    def _alive(self, user_id: int) -> dict[str, tuple[Route, float]]:
        """A user's routes by device; those that have expired are gone now."""
        devices = self._routes.get(user_id, {})
        now_s = self._clock.seconds()
        if any(end_s <= now_s for _, end_s in devices.values()):
            alive = {device_id: entry for device_id, entry in devices.items() if entry[1] > now_s}
            self._set(user_id, alive)
            return alive
        return devices

    def _set(self, user_id: int, devices: dict[str, tuple[Route, float]]) -> None:
        nodes = {route.node_id for route, _ in devices.values()}
        for node_id in self._nodes_of.pop(user_id, set()) - nodes:
            self._of_node[node_id].discard(user_id)
            if not self._of_node[node_id]:
                del self._of_node[node_id]
        if not devices:
            self._routes.pop(user_id, None)
            return
        self._routes[user_id] = devices
        self._nodes_of[user_id] = nodes
        for node_id in nodes:
            self._of_node.setdefault(node_id, set()).add(user_id)
