"""Core nodes in one process, as far as sessions and presence go: one bus, one route table, one clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from imd.bus.local import LocalBus
from imd.bus.port import Responder, Subscriber
from imd.core.nodes.model import Node
from imd.core.presence.announce import SessionRoutes
from imd.core.presence.elsewhere import Elsewhere
from imd.core.presence.model import PresenceState
from imd.core.presence.presence import Presence
from imd.core.presence.route_audit import RouteAudit
from imd.core.presence.route_cache import Routes
from imd.core.presence.route_query import Homes, RouteLookup
from imd.core.presence.route_refresh import RouteRefresh
from imd.core.presence.routes import Found, Route, RoutePage
from imd.core.presence.routes_memory import MemoryRouteTable
from imd.core.presence.session_events import SessionFeed
from imd.kernel.errors import ServerBusy
from imd.kernel.tasks import Tasks
from tests.core.presence.world import WINDOW_S, Friends, Store, Watch

STEP_S = 0.005
ROUTE_TTL_S = 120.0
AUDIT_S = 600.0
MAX_DEVICES = 3


class Here(NamedTuple):
    """A session, as the gateway shows it."""

    user_id: int
    device_id: str
    session_id: int
    platform: str = "ios"


class NodeBus:
    """One node's line to the bus: it can be cut, and can hold what the node publishes."""

    def __init__(self, bus: LocalBus) -> None:
        self._bus = bus
        self.cut = False
        self.holds = False
        self.held: list[tuple[str, bytes]] = []
        self.published = 0

    def publish(self, subject: str, payload: bytes) -> None:
        self.published += 1
        if self.holds:
            self.held.append((subject, payload))
        elif not self.cut:
            self._bus.publish(subject, payload)

    def release(self, index: int = 0) -> None:
        """Let one of those that are held go."""
        self._bus.publish(*self.held.pop(index))

    def subscribe(self, subject: str, subscriber: Subscriber) -> None:
        async def deliver(subject: str, payload: bytes) -> None:
            if not self.cut:
                await subscriber(subject, payload)

        self._bus.subscribe(subject, deliver)

    def respond(self, subject: str, responder: Responder) -> None:
        async def answer(payload: bytes) -> bytes:
            if self.cut:
                await Deferred()
            return await responder(payload)

        self._bus.respond(subject, answer)

    async def request(self, subject: str, payload: bytes, *, timeout_s: float) -> bytes:
        return await self._bus.request(subject, payload, timeout_s=timeout_s)

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def publish_durable(self, subject: str, payload: bytes) -> None:
        raise NotImplementedError

    def consume(self, subject: str, consumer: str, subscriber: Subscriber) -> None:
        raise NotImplementedError


class NodeTable:
    """One node's line to the route table: down or slow when the test says so."""

    def __init__(self, table: MemoryRouteTable) -> None:
        self._table = table
        self.down = False
        self.gate: Deferred[None] | None = None
        self.calls: list[str] = []
        self.most_routes = 0

    def slow(self) -> Deferred[None]:
        """It answers when this fires."""
        self.gate = Deferred()
        return self.gate

    async def _reach(self, name: str, count: int = 0) -> None:
        self.calls.append(name)
        self.most_routes = max(self.most_routes, count)
        gate = self.gate
        if gate is not None:
            await gate
        if self.down:
            raise ServerBusy("planted")

    async def put(self, routes: Sequence[Route]) -> Found:
        await self._reach("put", len(routes))
        return await self._table.put(routes)

    async def remove(self, routes: Sequence[Route]) -> None:
        await self._reach("remove", len(routes))
        await self._table.remove(routes)

    async def of_users(self, user_ids: Sequence[int]) -> Found:
        # Read first: what the answer says may be old by the time it comes.
        found = await self._table.of_users(user_ids)
        await self._reach("of_users")
        return found

    async def of_node(self, node_id: int, after: str = "") -> RoutePage:
        await self._reach("of_node")
        return await self._table.of_node(node_id, after)

    async def generation(self) -> str:
        await self._reach("generation")
        return await self._table.generation()


class Alive:
    """``LiveNodes`` as the test says."""

    def __init__(self, me: Node, others: Iterable[int]) -> None:
        self.me = me
        self.others = frozenset(others)
        self._listeners: list[object] = []

    def on_change(self, listener: object) -> None:
        self._listeners.append(listener)

    def become(self, others: Iterable[int]) -> None:
        self.others = frozenset(others)
        for listener in self._listeners:
            listener()  # type: ignore[operator]


class CoreNode:
    """Everything about sessions and presence at one node; the test plays the gateway."""

    def __init__(self, cluster: Cluster, node_id: int, others: Iterable[int], life: int = 1) -> None:
        self._cluster = cluster
        clock = cluster.clock
        self.node_id = node_id
        self.skew_ms = 0
        self.tasks = Tasks()
        self.bus = NodeBus(cluster.bus)
        self.table = NodeTable(cluster.table)
        self.live = Alive(Node(node_id, f"life {life}", ready=True), others)
        self.kicked: list[tuple[str, str]] = []
        self.here: dict[int, Here] = {}
        self._last_id = (node_id * 10 + life) * 1000
        self.routes = SessionRoutes(
            live=self.live,
            table=self.table,
            bus=self.bus,
            clock=clock,
            wall_clock=self.now_ms,
            tasks=self.tasks,
            max_devices_per_user=MAX_DEVICES,
        )
        self.routes.on_kick(self._kick)
        self.homes = Homes(
            bus=self.bus,
            live=self.live,
            here=self.routes.of_user,
            tell_again=self.routes.events_missed,
            clock=clock,
        )
        self.lookup = RouteLookup(
            table=self.table,
            homes=self.homes,
            bus=self.bus,
            live=self.live,
            clock=clock,
            unrecorded=lambda: self.feed.unrecorded,
        )
        self.cache = Routes(
            lookup=self.lookup,
            live=self.live,
            clock=clock,
            has_ended=self._has_ended,
            max_users=10,
        )
        self.elsewhere = Elsewhere(
            lookup=self.lookup,
            node_id=node_id,
            has_ended=self._has_ended,
            clock=clock,
            wall_clock=self.now_ms,
            tasks=self.tasks,
        )
        self.presence = Presence(
            clock=clock,
            wall_clock=self.now_ms,
            directory=Friends(),
            merge_window_s=WINDOW_S,
            max_watched=500,
            last_seen=cluster.last_seen,
            elsewhere=self.elsewhere,
        )
        self.refresh = RouteRefresh(
            sessions=self.routes,
            table=self.table,
            clock=clock,
            tasks=self.tasks,
            route_ttl_s=ROUTE_TTL_S,
        )
        self.audit = RouteAudit(
            sessions=self.routes,
            table=self.table,
            live=self.live,
            clock=clock,
            wall_clock=self.now_ms,
            tasks=self.tasks,
            was_seen=self.presence.was_seen,
            interval_s=AUDIT_S,
        )
        self.feed = SessionFeed(
            bus=self.bus,
            live=self.live,
            listeners=[self.routes, self.cache, self.homes, self.elsewhere, self.audit],
        )

    def now_ms(self) -> int:
        return round(self._cluster.clock.seconds() * 1000) + self.skew_ms

    def _has_ended(self, route: Route) -> bool:
        return self.feed.has_ended(route)

    def start(self) -> None:
        for stage in (
            self.feed,
            self.homes,
            self.cache,
            self.elsewhere,
            self.routes,
            self.refresh,
            self.audit,
        ):
            Deferred.fromCoroutine(stage.start())

    def connect(self, user_id: int, device_id: str = "phone") -> Here:
        """As the gateway does: the older session of the device here has to go first."""
        for old in [
            each for each in self.here.values() if (each.user_id, each.device_id) == (user_id, device_id)
        ]:
            self._kick(old.user_id, old.device_id, old.session_id, "same_device")
        self._last_id += 1
        session = Here(user_id, device_id, self._last_id)
        self.here[session.session_id] = session
        self.presence.session_online(user_id, session.session_id, session.platform, device_id)
        self.routes.came(session)
        return session

    def leave(self, session: Here) -> None:
        del self.here[session.session_id]
        self.presence.session_offline(session.user_id, session.session_id)
        self.routes.gone(session)

    def _kick(self, user_id: int, device_id: str, session_id: int, reason: str) -> None:
        session = self.here.get(session_id)
        if session is not None:
            self.kicked.append((device_id, reason))
            self.leave(session)

    def asks(self, *user_ids: int) -> Deferred[frozenset[int]]:
        return Deferred.fromCoroutine(self.cache.ask(user_ids))

    def watches(self, watch: Watch, *user_ids: int) -> Deferred[list[PresenceState]]:
        return Deferred.fromCoroutine(self.presence.subscribe(watch, user_ids))


class Cluster:
    """So many nodes, which have been up for a while."""

    def __init__(self, count: int = 2, settle_s: float = 0.0) -> None:
        self.clock = Clock()
        self.clock.advance(1_000)
        self.bus = LocalBus(clock=self.clock)
        self.table = MemoryRouteTable(clock=self.clock, route_ttl_s=ROUTE_TTL_S, settle_s=settle_s)
        self.last_seen = Store()
        ids = range(count)
        self.nodes = [CoreNode(self, node_id, set(ids) - {node_id}) for node_id in ids]
        for node in self.nodes:
            node.start()
        self.passes(20)

    def passes(self, seconds: float, step_s: float = 0.0) -> None:
        """Time, in steps small enough for the ticks if it is short."""
        step_s = step_s or (STEP_S if seconds < 2 else 0.1)
        for _ in range(round(seconds / step_s)):
            self.clock.advance(step_s)

    def dies(self, node: CoreNode) -> None:
        """Nothing more comes from it; the others are told."""
        node.bus.cut = node.table.down = True
        self.nodes.remove(node)
        self.tell_who_lives()

    def returns(self, node: CoreNode, life: int) -> CoreNode:
        """The node starts anew."""
        again = CoreNode(self, node.node_id, {other.node_id for other in self.nodes}, life)
        self.nodes.append(again)
        again.start()
        self.tell_who_lives()
        return again

    def tell_who_lives(self) -> None:
        alive = {node.node_id for node in self.nodes}
        for node in self.nodes:
            node.live.become(alive - {node.node_id})

    def in_table(self, user_id: int) -> list[int]:
        """The ids of the user's sessions in the route table."""
        found: list[Found] = []
        Deferred.fromCoroutine(self.table.of_users([user_id])).addCallback(found.append)
        return sorted(route.session_id for route in found[0].routes.get(user_id, ()))
