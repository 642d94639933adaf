"""Who is online, where, and which node owns what."""

from __future__ import annotations

from imd.ops.boards.model import Board, Panel, Query, Row
from imd.ops.boards.queries import chosen, quantile, rate


def _increase(name: str) -> str:
    return f"sum(increase({chosen(name)}[$__rate_interval]))"


BOARD = Board(
    "presence",
    "Presence, routes and shards",
    "Who is online and where, who owns which conversations, and how nodes come and go.",
    (
        Row(
            "Nodes and shards",
            (
                Panel(
                    "Shards without an owner",
                    "Of 256. Less than 0: some have two owners.",
                    "short",
                    (Query("256 - sum by (cluster) (imd_shards_owned)", "{{cluster}}"),),
                    kind="stat",
                    bad_above=1,
                ),
                Panel(
                    "Shards",
                    "Of each node. A node more or less moves its own share only.",
                    "short",
                    (Query(chosen("imd_shards_owned"), "{{instance}}"),),
                    stack=True,
                ),
                Panel(
                    "Nodes alive",
                    "As each node sees it; lines that differ mean that the network is cut.",
                    "short",
                    (Query(chosen("imd_nodes_alive"), "{{instance}}"),),
                ),
                Panel(
                    "Shards that moved",
                    "Taken and given, a second.",
                    "cps",
                    (
                        Query(
                            rate("imd_shards_moved_total", by="instance, direction"),
                            "{{instance}} {{direction}}",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "Failures",
            (
                Panel(
                    "Nodes missed",
                    "Other nodes that this one missed, or that left, within the interval.",
                    "short",
                    (
                        Query(
                            f"increase({chosen('imd_node_failures_total')}[$__rate_interval])", "{{instance}}"
                        ),
                    ),
                ),
                Panel(
                    "Taking over",
                    "From the missing of a node to the taking over of its shards, 99th percentile.",
                    "s",
                    (Query(quantile(0.99, "imd_failover_seconds"), "{{instance}}"),),
                ),
                Panel(
                    "Handed to owners",
                    "Sends that went to the owner of their shard, a second, and hand-overs that failed.",
                    "cps",
                    (
                        Query(rate("imd_forwarded_sends_total"), "{{instance}}"),
                        Query(rate("imd_forward_failures_total"), "{{instance}} failed"),
                    ),
                ),
            ),
        ),
        Row(
            "Routes",
            (
                Panel(
                    "Look-ups, by result",
                    "Users whose routes were wanted, a second: at hand, or asked for.",
                    "cps",
                    (Query(rate("imd_route_lookups_total", by="result"), "{{result}}"),),
                    stack=True,
                ),
                Panel(
                    "Told to every node; moved",
                    "Look-ups without an answer, which are costly and a sign that Redis is slow, and devices that came "
                    "to another node; a second.",
                    "cps",
                    (
                        Query(rate("imd_route_broadcasts_total"), "{{instance}} told to all"),
                        Query(rate("imd_route_migrations_total"), "{{instance}} moved"),
                    ),
                ),
                Panel(
                    "Wrong routes",
                    "Share at the last audit. Audits put them right.",
                    "percentunit",
                    (Query(chosen("imd_route_inconsistency_ratio"), "{{instance}}"),),
                ),
                Panel(
                    "Put right by audits",
                    "Routes found wrong, repaired, and removed since their session had ended; within the interval.",
                    "short",
                    (
                        Query(_increase("imd_route_inconsistencies_total"), "wrong"),
                        Query(_increase("imd_route_repairs_total"), "repaired"),
                        Query(_increase("imd_orphaned_routes_total"), "removed"),
                    ),
                ),
                Panel(
                    "Writes that wait",
                    "Changes of routes that Redis does not have yet.",
                    "short",
                    (Query(chosen("imd_route_writes_waiting"), "{{instance}}"),),
                ),
            ),
        ),
        Row(
            "Presence",
            (
                Panel(
                    "Users online",
                    "With a session at the node. Who has two devices at two nodes counts twice.",
                    "short",
                    (Query(chosen("imd_users_online"), "{{instance}}"),),
                    stack=True,
                ),
                Panel(
                    "Watched",
                    "Users whose presence somebody here watches, and sessions that watch.",
                    "short",
                    (
                        Query(chosen("imd_presence_watched_users"), "{{instance}} watched"),
                        Query(chosen("imd_presence_watchers"), "{{instance}} watchers"),
                    ),
                ),
                Panel(
                    "Flaps",
                    "Users who went and came within the merge window, a second: told to nobody.",
                    "cps",
                    (Query(rate("imd_presence_flaps_total"), "{{instance}}"),),
                ),
            ),
        ),
    ),
)
