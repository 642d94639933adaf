"""Of one node among others: who is alive, who owns what, who is connected where (spec 7, 11.1, 24.3)."""

from __future__ import annotations

from imd.ops.metrics.buckets import FAILOVER
from imd.ops.metrics.model import CORE, GATEWAYS, Label, Metric, counter, gauge, histogram

_NODES = (CORE,)

METRICS: tuple[Metric, ...] = (
    gauge("imd_users_online", "Users with a session here.", roles=GATEWAYS),
    gauge("imd_presence_watched_users", "Users whose presence somebody here watches.", roles=GATEWAYS),
    gauge("imd_presence_watchers", "Sessions here that watch somebody's presence.", roles=GATEWAYS),
    counter(
        "imd_presence_flaps_total",
        "Watched users who went and came, or came and went, within the merge window: told to nobody.",
        roles=GATEWAYS,
    ),
    gauge(
        "imd_nodes_alive",
        "Core nodes that are alive as far as this one knows, itself included.",
        roles=_NODES,
    ),
    counter(
        "imd_node_failures_total",
        "Core nodes that this one missed, or that left.",
        roles=_NODES,
        spec="node_failure_count",
    ),
    gauge(
        "imd_node_replaced",
        "1 if another process has this node's node_id, so that this one takes nobody in.",
        roles=_NODES,
    ),
    gauge("imd_shards_owned", "Shards of the 256 that are this node's.", roles=_NODES),
    counter(
        "imd_shards_moved_total",
        "Shards that this node took, or gave away.",
        Label("direction", ("taken", "given")),
        roles=_NODES,
    ),
    histogram(
        "imd_failover_seconds",
        "From the last word of a node that is gone to the taking over of its shards.",
        FAILOVER,
        roles=_NODES,
        spec="failover_time",
    ),
    gauge(
        "imd_forwarded_sends",
        "Sends handed to the owners of their shards, or held for them, without an answer yet.",
        roles=_NODES,
    ),
    counter("imd_forwarded_sends_total", "Sends handed to the owners of their shards.", roles=_NODES),
    counter(
        "imd_forward_failures_total",
        "Hand-overs that failed, so that this node did what the owner should have.",
        roles=_NODES,
    ),
    gauge("imd_neighbours_untold", "Conversations of which other nodes are still to be told.", roles=_NODES),
    counter(
        "imd_route_lookups_total",
        "Users whose routes were wanted: at hand, or asked for.",
        Label("result", ("hit", "miss")),
        roles=_NODES,
        spec="route_lookup_qps",
    ),
    counter(
        "imd_route_broadcasts_total",
        "Look-ups that found no answer, so that every node was told.",
        roles=_NODES,
    ),
    gauge("imd_route_cache_users", "Users whose routes are at hand.", roles=_NODES),
    counter(
        "imd_route_migrations_total",
        "Sessions here that ended because their device came to another node.",
        roles=_NODES,
        spec="route_migration_count",
    ),
    gauge(
        "imd_route_inconsistency_ratio",
        "Share of the routes that were wrong at the last audit, 0 to 1.",
        roles=_NODES,
        spec="route_inconsistency_rate",
    ),
    counter(
        "imd_route_inconsistencies_total",
        "Routes that audits found wrong.",
        roles=_NODES,
        spec="route_inconsistency_count",
    ),
    counter(
        "imd_route_repairs_total", "Routes that audits put right.", roles=_NODES, spec="route_repair_count"
    ),
    counter(
        "imd_orphaned_routes_total",
        "Routes that audits removed, since their session had ended.",
        roles=_NODES,
        spec="orphaned_route_count",
    ),
    gauge("imd_route_writes_waiting", "Changes of routes that Redis does not have yet.", roles=_NODES),
)
