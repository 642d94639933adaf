"""What a core node knows of the others."""

from __future__ import annotations

from collections.abc import Iterator

from imd.core.message.append import Appender
from imd.core.message.forward import Forwarding
from imd.core.message.neighbours import NodeNeighbours
from imd.core.nodes.heartbeat import Heartbeats
from imd.core.nodes.ownership import Ownership
from imd.core.presence.announce import SessionRoutes
from imd.core.presence.route_audit import RouteAudit
from imd.core.presence.route_cache import Routes
from imd.ops.metrics.readings import Reading, Source, by_label


def nodes_source(
    nodes: Heartbeats,
    ownership: Ownership,
    forwarding: Forwarding,
    *,
    appender: Appender,
    neighbours: NodeNeighbours,
) -> Source:
    """Who is alive, who owns what, and what goes between them."""

    def read() -> Iterator[Reading]:
        yield Reading("imd_nodes_alive", len(nodes.others) + 1)
        yield Reading("imd_node_failures_total", nodes.failures)
        yield Reading("imd_node_replaced", nodes.replaced)
        yield Reading("imd_shards_owned", len(ownership.mine))
        moved = {"taken": ownership.taken, "given": ownership.given}
        yield from by_label("imd_shards_moved_total", moved)
        yield Reading("imd_failover_seconds", ownership.failover_seconds)
        yield Reading("imd_forwarded_sends", forwarding.unsettled - appender.unsettled)
        yield Reading("imd_forwarded_sends_total", forwarding.handed_over)
        yield Reading("imd_forward_failures_total", forwarding.failures)
        yield Reading("imd_neighbours_untold", neighbours.untold)

    return read


def routes_source(routes: Routes, sessions: SessionRoutes, audit: RouteAudit) -> Source:
    """Who is connected where."""

    def read() -> Iterator[Reading]:
        counts = routes.counts()
        looked_up = {"hit": counts["hits"], "miss": counts["misses"]}
        yield from by_label("imd_route_lookups_total", looked_up)
        yield Reading("imd_route_broadcasts_total", counts["broadcasts"])
        yield Reading("imd_route_cache_users", counts["users"])
        yield Reading("imd_route_migrations_total", sessions.migrations)
        yield Reading("imd_route_inconsistency_ratio", audit.inconsistency_rate)
        yield Reading("imd_route_inconsistencies_total", audit.inconsistencies)
        yield Reading("imd_route_repairs_total", audit.repaired)
        yield Reading("imd_orphaned_routes_total", audit.orphaned)
        yield Reading("imd_route_writes_waiting", sessions.counts()["unwritten"])

    return read
