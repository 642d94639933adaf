"""At which other nodes users are connected: at hand for a thousand of them, kept current by what nodes tell."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from imd.core.nodes.ports import LiveNodes
from imd.core.presence.route_query import RouteLookup
from imd.core.presence.routes import Found, Route
from imd.core.presence.session_events import RouteListener, with_route, without_session
from imd.kernel.clocks import Clock

#: When nothing can be learned, every node counts for so long before it is tried again.
EVERYWHERE_S = 1.0
#: Entries that have run out are dropped together, so late at most.
SWEEP_S = 1.0


class _Known:
    """One user. ``until_s`` is 0 until an answer has come; events count meanwhile."""

    __slots__ = ("asking", "routes", "until_s")

    def __init__(self) -> None:
        self.routes: tuple[Route, ...] = ()
        self.until_s = 0.0
        self.asking = 0


class Routes(RouteListener):
    """The routes that fan-out works with; it may name a node too many, but none too few.

    :param has_ended: whether a session that an answer names is known to be gone since.
    """

    _logger = Logger()

    def __init__(
        self,
        *,
        lookup: RouteLookup,
        live: LiveNodes,
        clock: Clock,
        has_ended: Callable[[Route], bool],
        max_users: int = 1000,
        ttl_s: float = 30.0,
    ) -> None:
        self._lookup = lookup
        self._live = live
        self._clock = clock
        self._has_ended = has_ended
        self._max_users = max_users
        self._ttl_s = ttl_s
        self._version = 0
        self._users: dict[int, _Known] = {}
        self._others: frozenset[int] = frozenset()
        #: Nodes that have died since, and have not been heard again: the table may still name them.
        self._dead: set[int] = set()
        self._everywhere_until_s = 0.0
        self._timer: IDelayedCall | None = None
        self._hits = self._misses = self._broadcasts = 0

    @property
    def version(self) -> int:
        """Rises with every change after which what ``nodes_of`` answered may not be true any more."""
        return self._version

    def nodes_of(self, user_ids: Collection[int]) -> frozenset[int] | None:
        """The other nodes where any of them is connected, from memory; None: somebody is not remembered."""
        if not self._live.others:
            return frozenset()
        if len(user_ids) * 2 > self._max_users:
            # They would push one another out; and so many are connected nearly everywhere.
            return self._live.others
        nodes: set[int] = set()
        for user_id in user_ids:
            known = self._users.get(user_id)
            if known is None or not known.until_s:
                if self._clock.seconds() < self._everywhere_until_s:
                    return self._live.others
                self._misses += 1
                return None
            for route in known.routes:
                nodes.add(route.node_id)
        self._hits += 1
        return frozenset(nodes)

    async def start(self) -> None:
        self._live.on_change(self._nodes_changed)
        self._others = self._live.others

    async def stop(self) -> None:
        """No timer is left."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def ask(self, user_ids: Sequence[int]) -> frozenset[int]:
        """The same, asking for those that are not remembered. Never fails: where nothing can be learned, every
        node that is alive."""
        nodes = self.nodes_of(user_ids)
        if nodes is not None:
            return nodes
        wanted = {user_id: self._users.setdefault(user_id, _Known()) for user_id in user_ids}
        missing = {user_id: known for user_id, known in wanted.items() if not known.until_s}
        for known in missing.values():
            known.asking += 1
        complete = False
        try:
            found = await self._lookup.find(list(missing))
            complete = self._learn(missing, found)
        except CancelledError:
            raise
        except Exception:
            self._logger.failure("looking routes up failed; every node is told")
        finally:
            self._asked(missing)
        if not complete:
            self._everywhere_until_s = self._clock.seconds() + EVERYWHERE_S
        # An entry that was dropped meanwhile is not kept current any more.
        if not complete or any(self._users.get(user_id) is not known for user_id, known in wanted.items()):
            self._broadcasts += 1
            nodes = self._live.others
        else:
            nodes = frozenset(route.node_id for known in wanted.values() for route in known.routes)
        self._forget_oldest()
        return nodes

    def counts(self) -> dict[str, int]:
        """Sizes and what happened, for metrics."""
        return {
            "users": len(self._users),
            "hits": self._hits,
            "misses": self._misses,
            "broadcasts": self._broadcasts,
        }

    # RouteListener

    def session_came(self, route: Route) -> None:
        self._dead.discard(route.node_id)
        known = self._users.get(route.user_id)
        if known is not None:
            self._set(known, with_route(known.routes, route))

    def session_gone(self, route: Route, at_ms: int) -> None:
        known = self._users.get(route.user_id)
        if known is not None:
            self._set(known, without_session(known.routes, route.session_id))

    def node_gone(self, node_id: int) -> None:
        self._version += 1
        for known in self._users.values():
            known.routes = tuple(route for route in known.routes if route.node_id != node_id)

    def events_missed(self) -> None:
        """Whoever is asked for is looked up again."""
        self._version += 1
        self._users.clear()

    def _set(self, known: _Known, routes: tuple[Route, ...]) -> None:
        if routes is not known.routes:
            if {route.node_id for route in routes} != {route.node_id for route in known.routes}:
                self._version += 1
            known.routes = routes

    def _nodes_changed(self) -> None:
        before, self._others = self._others, self._live.others
        self._dead = (self._dead | (before - self._others)) - self._others
        self._version += 1

    # What was looked up

    def _learn(self, missing: Mapping[int, _Known], found: Found) -> bool:
        """Join the answer with what was heard while it was on its way; whether it can be relied on."""
        besides = self._dead | {self._live.me.node_id}
        until_s = self._clock.seconds() + self._ttl_s
        for user_id, known in missing.items():
            for route in found.routes.get(user_id, ()):
                if route.node_id not in besides and not self._has_ended(route):
                    known.routes = with_route(known.routes, route)
            if found.complete and self._users.get(user_id) is known:
                # At the end: the oldest are first.
                del self._users[user_id]
                self._users[user_id] = known
                known.until_s = until_s
        return found.complete

    def _asked(self, missing: Mapping[int, _Known]) -> None:
        for user_id, known in missing.items():
            known.asking -= 1
            if not known.until_s and not known.asking and self._users.get(user_id) is known:
                del self._users[user_id]
        if self._timer is None:
            self._timer = self._clock.callLater(SWEEP_S, self._sweep)

    def _forget_oldest(self) -> None:
        over = len(self._users) - self._max_users
        if over > 0:
            self._drop([user_id for user_id, known in self._users.items() if not known.asking][:over])

    def _sweep(self) -> None:
        self._timer = None
        now_s = self._clock.seconds()
        self._drop([user_id for user_id, known in self._users.items() if 0 < known.until_s <= now_s])
        if self._everywhere_until_s and self._everywhere_until_s <= now_s:
            self._everywhere_until_s = 0.0
            self._version += 1
        if self._users or self._everywhere_until_s:
            self._timer = self._clock.callLater(SWEEP_S, self._sweep)

    def _drop(self, user_ids: Sequence[int]) -> None:
        """What was answered about them is not kept current any more."""
        if user_ids:
            self._version += 1
        for user_id in user_ids:
            del self._users[user_id]
