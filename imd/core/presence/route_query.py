"""Where users are connected: the route table knows; while it does not, the users' home nodes do (spec 24.3).

Every node hears of all sessions and remembers those of the users whose home it is, besides its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from google.protobuf.message import DecodeError
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from imd.bus.failures import failure_of
from imd.bus.port import Bus, BusFailure, NoResponder
from imd.bus.subjects import presence_query
from imd.core.nodes.model import homes
from imd.core.nodes.ports import LiveNodes
from imd.core.presence.routes import Found, Route, RouteTable
from imd.core.presence.session_events import RouteListener, with_route, without_nodes, without_session
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError, ServerBusy
from imd.kernel.timeouts import TimeoutError
from imd.pb.bus_pb2 import Failure, KnownRoute, RoutesAnswer, RoutesQuery

#: Nodes that remember a user's sessions.
HOMES = 2
#: Users whose sessions are remembered for others, about 300 B each: twice what a full node connects.
MAX_HOME_USERS = 50_000
#: A node that has missed something, or become a home of other users because nodes came or went, has
#: heard all nodes tell all their sessions by then.
SETTLE_S = 15.0
#: When nodes came or went, all are told again so late: everybody sees by then who is there.
TELL_AGAIN_S = 6.0
QUERY_TIMEOUT_S = 0.2
#: Users in one question to the table or to a node.
BATCH = 500
#: A table that failed is not asked again for so long: waiting for its time-out would hold messages up.
TABLE_REST_S = 1.0


class Homes(RouteListener):
    """A stage that answers ``im.presence.query.<this node>``."""

    _logger = Logger()

    def __init__(
        self,
        *,
        bus: Bus,
        live: LiveNodes,
        here: Callable[[int], Sequence[Route]],
        tell_again: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._bus = bus
        self._live = live
        self._here = here
        self._tell_again = tell_again
        self._clock = clock
        self._known: dict[int, tuple[Route, ...]] = {}
        self._forgot = False
        self._sure_from_s = 0.0
        self._alive: frozenset[int] = frozenset()
        self._telling: IDelayedCall | None = None

    async def start(self) -> None:
        self._live.on_change(self._nodes_changed)
        self._unsettle()
        self._alive = self._live.others | {self._live.me.node_id}
        self._bus.respond(presence_query(self._live.me.node_id), self._answer)

    async def stop(self) -> None:
        """The bus forgets its responders when it stops."""
        if self._telling is not None:
            self._telling.cancel()

    @property
    def alive(self) -> frozenset[int]:
        """The nodes that homes are chosen from."""
        return self._alive

    def look(self, user_ids: Iterable[int]) -> tuple[list[Route], bool]:
        """Sessions here and elsewhere that this node knows of; whether it would know those of its users."""
        routes: list[Route] = []
        for user_id in user_ids:
            routes += self._here(user_id)
            routes += self._known.get(user_id, ())
        return routes, not self._forgot and self._clock.seconds() >= self._sure_from_s

    def counts(self) -> dict[str, int]:
        """Sizes, for whoever watches memory."""
        return {"home users": len(self._known)}

    # RouteListener

    def session_came(self, route: Route) -> None:
        user_id = route.user_id
        known = self._known.get(user_id)
        if known is None:
            if self._live.me.node_id not in homes(user_id, self._alive, HOMES):
                return
            if len(self._known) >= MAX_HOME_USERS:
                self._forgot = True
                return
            known = ()
        self._known[user_id] = with_route(known, route)

    def session_gone(self, route: Route, at_ms: int) -> None:
        known = self._known.get(route.user_id)
        if known is not None:
            self._keep(route.user_id, without_session(known, route.session_id))

    def node_gone(self, node_id: int) -> None:
        for user_id, left in without_nodes(self._known, (node_id,)):
            self._keep(user_id, left)

    def events_missed(self) -> None:
        """All nodes are asked to tell everything again."""
        self._unsettle()

    def _keep(self, user_id: int, routes: tuple[Route, ...]) -> None:
        if routes:
            self._known[user_id] = routes
        else:
            del self._known[user_id]

    def _nodes_changed(self) -> None:
        alive = self._live.others | {self._live.me.node_id}
        if alive == self._alive:
            return
        joined, self._alive = alive - self._alive, alive
        self._unsettle()
        if joined:
            # One that was but away has been forgotten and does not know it.
            self._tell_again()
        if self._telling is None:
            self._telling = self._clock.callLater(TELL_AGAIN_S, self._tell)

    def _tell(self) -> None:
        self._telling = None
        self._tell_again()

    def _unsettle(self) -> None:
        """Begin anew: whoever is connected will be told again."""
        self._known.clear()
        self._forgot = False
        self._sure_from_s = self._clock.seconds() + SETTLE_S

    async def _answer(self, payload: bytes) -> bytes:
        try:
            asked = RoutesQuery.FromString(payload)
        except DecodeError:
            self._logger.error("a question for routes cannot be read")
            return RoutesAnswer(failure=_failure("not a RoutesQuery")).SerializeToString()
        routes, sure = self.look(asked.userIds)
        answer = RoutesAnswer(failure=None if sure else _failure("this node has not heard everybody yet"))
        for route in routes:
            answer.routes.add(
                userId=route.user_id,
                deviceId=route.device_id,
                nodeId=route.node_id,
                sessionId=route.session_id,
                platform=route.platform,
                since=route.since_ms,
            )
        return answer.SerializeToString()


class RouteLookup:
    """Asks the table, or else the homes. ``unrecorded``: whether a node cannot write to the table now."""

    _logger = Logger()

    def __init__(
        self,
        *,
        table: RouteTable,
        homes: Homes,
        bus: Bus,
        live: LiveNodes,
        clock: Clock,
        unrecorded: Callable[[], bool],
    ) -> None:
        self._table = table
        self._homes = homes
        self._bus = bus
        self._live = live
        self._clock = clock
        self._unrecorded = unrecorded
        self._table_rests_until_s = 0.0
        self.table_failures = 0
        self.home_questions = 0

    async def find(self, user_ids: Sequence[int]) -> Found:
        """All that can be learned; not ``complete`` if there may be more. Never fails."""
        found = await self._ask_table(user_ids)
        if found.complete:
            return found
        more, complete = await self._ask_homes(user_ids)
        return Found(_merged(found.routes, more), complete)

    async def _ask_table(self, user_ids: Sequence[int]) -> Found:
        if self._clock.seconds() < self._table_rests_until_s:
            return Found({}, complete=False)
        routes: dict[int, Sequence[Route]] = {}
        complete = True
        try:
            for start in range(0, len(user_ids), BATCH):
                found = await self._table.of_users(user_ids[start : start + BATCH])
                routes.update(found.routes)
                complete = complete and found.complete
        except ImError as error:
            self.table_failures += 1
            self._table_rests_until_s = self._clock.seconds() + TABLE_REST_S
            self._logger.warn("the route table does not answer ({error}); home nodes are asked", error=error)
            complete = False
        return Found(routes, complete and not self._unrecorded())

    async def _ask_homes(self, user_ids: Sequence[int]) -> tuple[list[Route], bool]:
        """Both homes of each, at the same time; one that is sure is enough."""
        self.home_questions += 1
        me = self._live.me.node_id
        asked: dict[int, list[int]] = {}
        for user_id in user_ids:
            for node_id in homes(user_id, self._homes.alive, HOMES):
                asked.setdefault(node_id, []).append(user_id)
        routes, sure = self._homes.look(asked.get(me, ()))
        unsure = set(user_ids).difference(asked.pop(me, ()) if sure else ())
        answers = await gatherResults(
            Deferred.fromCoroutine(self._ask_home(node_id, users)) for node_id, users in asked.items()
        )
        for (_, users), (known, is_sure) in zip(asked.items(), answers, strict=True):
            routes += known
            if is_sure:
                unsure.difference_update(users)
        return routes, not unsure

    async def _ask_home(self, node_id: int, user_ids: Sequence[int]) -> tuple[list[Route], bool]:
        routes: list[Route] = []
        sure = True
        for start in range(0, len(user_ids), BATCH):
            payload = RoutesQuery(userIds=user_ids[start : start + BATCH]).SerializeToString()
            try:
                answer = RoutesAnswer.FromString(
                    await self._bus.request(presence_query(node_id), payload, timeout_s=QUERY_TIMEOUT_S)
                )
            except (ImError, NoResponder, BusFailure, TimeoutError, DecodeError) as error:
                self._logger.warn("node {id} does not say who is where: {error}", id=node_id, error=error)
                return routes, False
            routes += map(_route, answer.routes)
            sure = sure and not answer.failure.code
        return routes, sure


def _merged(found: Mapping[int, Sequence[Route]], more: Iterable[Route]) -> Mapping[int, Sequence[Route]]:
    merged = {user_id: tuple(routes) for user_id, routes in found.items()}
    for route in more:
        merged[route.user_id] = with_route(merged.get(route.user_id, ()), route)
    return merged


def _failure(why: str) -> Failure:
    return failure_of(ServerBusy(why))


def _route(known: KnownRoute) -> Route:
    return Route(known.userId, known.deviceId, known.nodeId, known.sessionId, known.platform, known.since)
