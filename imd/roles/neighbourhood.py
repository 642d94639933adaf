"""What a core node needs to be one of many: who is alive, who owns what, who is connected where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from imd.bus.port import Bus
from imd.config import sections
from imd.core.explain.ports import FanoutRecord
from imd.core.gateway.budgets import Budgets
from imd.core.gateway.cut_off import CutOff
from imd.core.gateway.drain import Drain
from imd.core.gateway.quotas import DayCounts
from imd.core.gateway.registry import Registry
from imd.core.gateway.resync import ResyncAll
from imd.core.gateway.shared_rates import SharedRates
from imd.core.message.append import Appender
from imd.core.message.fanout import Fanout
from imd.core.message.forward import Forwarding
from imd.core.message.forwarded import ForwardedHere
from imd.core.message.inherit import Inheritance, RecentTails
from imd.core.message.listening import Listening
from imd.core.message.live import LiveConversations
from imd.core.message.neighbours import NodeNeighbours
from imd.core.message.ports import MessageLog
from imd.core.message.quiet_tails import QuietTails
from imd.core.message.receipts import Receipts
from imd.core.message.still_held import StillHeld
from imd.core.message.told import ToldHere
from imd.core.nodes.heartbeat import Heartbeats, Readiness
from imd.core.nodes.ownership import Ownership
from imd.core.nodes.ports import NodeRegistry, ShardLeases
from imd.core.permission.second_level import SecondLevel
from imd.core.presence.announce import SessionRoutes
from imd.core.presence.elsewhere import Elsewhere
from imd.core.presence.presence import Presence
from imd.core.presence.route_audit import RouteAudit
from imd.core.presence.route_cache import Routes
from imd.core.presence.route_query import Homes, RouteLookup
from imd.core.presence.route_refresh import RouteRefresh
from imd.core.presence.routes import Route, RouteTable
from imd.core.presence.session_events import SessionFeed
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.ids import Snowflake
from imd.kernel.lifecycle import Stage
from imd.kernel.tasks import Tasks
from imd.ops.metrics.readings import Source
from imd.ops.tracing import NO_TRACER, Tracer
from imd.roles.metrics.nodes import nodes_source, routes_source

#: After a gap of the bus: each session answers with a sync, which costs a read.
RESYNC_SPREAD_S = 5.0


class Cluster(NamedTuple):
    """What the nodes share. Nothing of it guards a message: losing it costs speed."""

    registry: NodeRegistry
    leases: ShardLeases
    routes: RouteTable
    tails: RecentTails
    budgets: Budgets
    day_counts: DayCounts
    second_level: SecondLevel
    #: Tells this start of the node from every other.
    incarnation: str
    #: Of the sends handed to other nodes; different at every start, so that late outcomes meet nobody.
    first_forward_id: int
    node: sections.Node


class Neighbourhood:
    """The parts of a node that know of the others; ``join`` ties them to the message pipeline."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        node_id: int,
        max_devices_per_user: int,
        bus: Bus,
        is_on_bus: Callable[[], bool],
        bus_is_back: Callable[[], None],
        listening: Listening,
        live: LiveConversations,
        clock: Clock,
        wall_clock: WallClock,
        tasks: Tasks,
        record: FanoutRecord,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._cluster = cluster
        self._node_id = node_id
        self._bus = bus
        self._is_on_bus = is_on_bus
        self._bus_is_back = bus_is_back
        self._listening = listening
        self._live = live
        self._clock = clock
        self._wall_clock = wall_clock
        self._tasks = tasks
        self._tracer = tracer
        node = cluster.node
        self.nodes = Heartbeats(
            node_id=node_id,
            incarnation=cluster.incarnation,
            registry=cluster.registry,
            bus=bus,
            clock=clock,
            tasks=tasks,
            interval_s=node.heartbeat_interval_s,
            missed=node.missed_heartbeats,
            is_on_bus=is_on_bus,
        )
        self.nodes.on_bus_back(bus_is_back)
        self.ownership = Ownership(
            nodes=self.nodes,
            leases=cluster.leases,
            clock=clock,
            tasks=tasks,
            interval_s=node.heartbeat_interval_s,
        )
        self.sessions = SessionRoutes(
            live=self.nodes,
            table=cluster.routes,
            bus=bus,
            clock=clock,
            wall_clock=wall_clock,
            tasks=tasks,
            max_devices_per_user=max_devices_per_user,
        )
        self._homes = Homes(
            bus=bus,
            live=self.nodes,
            here=self.sessions.of_user,
            tell_again=self.sessions.events_missed,
            clock=clock,
        )
        self.lookup = RouteLookup(
            table=cluster.routes,
            homes=self._homes,
            bus=bus,
            live=self.nodes,
            clock=clock,
            unrecorded=lambda: self.feed.unrecorded,
        )
        self.routes = Routes(
            lookup=self.lookup,
            live=self.nodes,
            clock=clock,
            has_ended=self._has_ended,
            max_users=node.route_cache_users,
            ttl_s=node.route_cache_ttl_s,
        )
        self.elsewhere = Elsewhere(
            lookup=self.lookup,
            node_id=node_id,
            has_ended=self._has_ended,
            clock=clock,
            wall_clock=wall_clock,
            tasks=tasks,
        )
        self.refresh = RouteRefresh(
            sessions=self.sessions,
            table=cluster.routes,
            clock=clock,
            tasks=tasks,
            route_ttl_s=node.route_ttl_s,
        )
        self.feed = SessionFeed(
            bus=bus, live=self.nodes, listeners=[self.sessions, self.routes, self._homes, self.elsewhere]
        )
        self.still_held = StillHeld(nodes=self.nodes, bus=bus)
        self._resync: ResyncAll | None = None
        #: What is counted, once it is joined.
        self.sources: Sequence[Source] = ()
        self.neighbours = NodeNeighbours(
            nodes=self.nodes,
            routes=self.routes,
            live=live,
            bus=bus,
            clock=clock,
            tasks=tasks,
            record=record,
        )

    def join(
        self,
        *,
        appender: Appender,
        fanout: Fanout,
        receipts: Receipts,
        registry: Registry,
        presence: Presence,
        queue_size: int,
    ) -> tuple[Forwarding, list[tuple[str, Stage]]]:
        """What takes messages in from here on, and what has to be started before anybody is let in."""
        forwarding = Forwarding(
            nodes=self.nodes,
            owner_of=self.ownership.owner_of,
            appender=appender,
            bus=self._bus,
            clock=self._clock,
            tasks=self._tasks,
            first_id=self._cluster.first_forward_id,
            max_forwarded=queue_size,
        )
        inheritance = Inheritance(
            log=self._cluster.tails,
            live=self._live,
            fanout=fanout,
            neighbours=self.neighbours,
            clock=self._clock,
            wall_clock=self._wall_clock,
            tasks=self._tasks,
        )
        self.ownership.on_inherited(inheritance.inherited)
        self.ownership.on_taken(self._live.taken)
        told = ToldHere(
            node_id=self._node_id,
            live=self._live,
            fanout=fanout,
            receipts=receipts,
            sessions=registry,
            bus=self._bus,
            tasks=self._tasks,
            tracer=self._tracer,
        )
        audit = RouteAudit(
            sessions=self.sessions,
            table=self._cluster.routes,
            live=self.nodes,
            clock=self._clock,
            wall_clock=self._wall_clock,
            tasks=self._tasks,
            was_seen=presence.was_seen,
            interval_s=self._cluster.node.route_audit_interval_s,
        )
        rates = SharedRates(
            budgets=self._cluster.budgets,
            rates_of=registry.rates_of,
            has_ended=self._has_ended,
            clock=self._clock,
            tasks=self._tasks,
        )
        self.sessions.on_elsewhere(rates.found_elsewhere)
        for listener in (audit, rates):
            self.feed.add(listener)
        self._resync = ResyncAll(
            registry=registry, clock=self._clock, tasks=self._tasks, random=Random(), spread_s=RESYNC_SPREAD_S
        )
        cut_off = CutOff(
            is_on_bus=self._is_on_bus,
            others_can=lambda: self.nodes.others_on_bus,
            registry=registry,
            clock=self._clock,
            tasks=self._tasks,
            random=Random(),
        )
        self.sources = [
            nodes_source(
                self.nodes, self.ownership, forwarding, appender=appender, neighbours=self.neighbours
            ),
            routes_source(self.routes, self.sessions, audit),
        ]
        forwarded = ForwardedHere(
            node_id=self._node_id,
            appender=appender,
            bus=self._bus,
            clock=self._clock,
            overslept=lambda: self.nodes.overslept,
            tracer=self._tracer,
        )
        return forwarding, [
            ("told by other nodes", told),
            ("sends of other nodes", forwarded),
            ("outcomes of other nodes", forwarding),
            ("heartbeats", self.nodes),
            ("shard leases", self.ownership),
            ("session events", self.feed),
            ("home of routes", self._homes),
            ("routes at hand", self.routes),
            ("routes of this node", self.sessions),
            ("refresh of routes", self.refresh),
            ("route audit", audit),
            ("presence elsewhere", self.elsewhere),
            ("shared rates", rates),
            ("cut off", cut_off),
        ]

    def quiet_tails(self, log: MessageLog) -> QuietTails:
        """What the other nodes would tell, found in the log while they cannot."""
        return QuietTails(
            listening=self._listening,
            live=self._live,
            log=log,
            is_on_bus=self._is_on_bus,
            wall_clock=self._wall_clock,
        )

    def missed(self) -> None:
        """The bus has had a gap: nobody knows what was lost, so everybody looks."""
        self._bus_is_back()
        self._live.missed()
        self.feed.missed()
        self.neighbours.missed()
        if self._resync is not None:
            self._resync.begin()

    def is_itself(self) -> bool:
        """Whether no other process has taken this node's id."""
        return not self.nodes.replaced

    def node_count(self) -> int:
        """How many nodes are alive, this one included."""
        return len(self.nodes.others) + 1

    def _has_ended(self, route: Route) -> bool:
        return self.feed.has_ended(route)

    def last_stages(self, *, ids: Snowflake, drain: Drain) -> list[tuple[str, Stage]]:
        """Shards are taken while everything is up, and given back before it goes down; a node whose id another
        process has taken leaves."""
        # Ids made here from then on would be those of that process.
        self.nodes.on_replaced(ids.retire)
        self.nodes.on_replaced(lambda: self._tasks.spawn("drain", drain.stop()))
        return [("shards", Readiness(heartbeats=self.nodes, handed_over=self.ownership.handed_over))]
