"""MongoDB, Redis, SQL and SQLite, as the nodes see them."""

from __future__ import annotations

from imd.ops.boards.model import Board, Panel, Query, Row
from imd.ops.boards.queries import chosen, quantile, rate


def _by_operation(name: str, title: str, description: str) -> Panel:
    legend = "{{instance}} {{operation}} p99"
    return Panel(title, description, "s", (Query(quantile(0.99, name, by="instance, operation"), legend),))


BOARD = Board(
    "stores",
    "Stores",
    "How long the stores take, how they fail, and who waits for them.",
    (
        Row(
            "MongoDB: messages",
            (
                Panel(
                    "No primary",
                    "Nodes that know no primary: they can store nothing.",
                    "short",
                    (Query("count(imd_mongo_ready == 0) or vector(0)", "nodes"),),
                    kind="stat",
                    bad_above=1,
                ),
                _by_operation("imd_mongo_seconds", "Time of a command", "99th percentile, by what it does."),
                Panel(
                    "Failed commands",
                    "Without an answer, refused, or not confirmed; a second.",
                    "cps",
                    (
                        Query(
                            rate("imd_mongo_failures_total", by="instance, operation"),
                            "{{instance}} {{operation}}",
                        ),
                    ),
                ),
                Panel(
                    "Connections",
                    "To the primary, by state, and calls that wait for one.",
                    "short",
                    (
                        Query(f"sum by (state) ({chosen('imd_mongo_connections')})", "{{state}}"),
                        Query(chosen("imd_mongo_waiting"), "{{instance}} waiting"),
                    ),
                ),
            ),
        ),
        Row(
            "Redis: routes, leases, limits",
            (
                Panel(
                    "Away",
                    "Nodes that cannot ask Redis.",
                    "short",
                    (Query("count(imd_redis_connected == 0) or vector(0)", "nodes"),),
                    kind="stat",
                    bad_above=1,
                ),
                Panel(
                    "Time of a call",
                    "99th percentile. Above 1 ms Redis itself would call the key hot; at 50 ms nobody waits.",
                    "s",
                    (Query(quantile(0.99, "imd_redis_seconds"), "{{instance}}"),),
                ),
                Panel(
                    "Calls",
                    "A second, and those under way.",
                    "cps",
                    (Query(rate("imd_redis_calls_total"), "{{instance}}"),),
                ),
                Panel(
                    "Failed calls, by reason",
                    "A second. error: Redis said no.",
                    "cps",
                    (Query(rate("imd_redis_failures_total", by="reason"), "{{reason}}"),),
                    stack=True,
                ),
            ),
        ),
        Row(
            "SQL: accounts, groups, rights, settings",
            (
                _by_operation(
                    "imd_sql_seconds",
                    "Time of a transaction",
                    "99th percentile, waiting for a thread included.",
                ),
                Panel(
                    "Failed calls",
                    "Too many, out of time, or the database was not there; a second.",
                    "cps",
                    (
                        Query(
                            rate("imd_sql_failures_total", by="instance, operation"),
                            "{{instance}} {{operation}}",
                        ),
                    ),
                ),
                Panel(
                    "Connections in use",
                    "Of those that the pool may have.",
                    "percentunit",
                    (
                        Query(
                            f"{chosen('imd_sql_connections')} / {chosen('imd_sql_connections_limit')}",
                            "{{instance}}",
                        ),
                    ),
                ),
                Panel(
                    "Waiting and run again",
                    "Calls that wait for a thread, now; transactions that others stood in the way of, a second.",
                    "short",
                    (
                        Query(chosen("imd_sql_waiting"), "{{instance}} waiting"),
                        Query(rate("imd_sql_conflicts_total"), "{{instance}} again"),
                    ),
                ),
            ),
        ),
        Row(
            "SQLite: messages in one process",
            (
                _by_operation("imd_sqlite_seconds", "Time of a call", "99th percentile, waiting included."),
                Panel(
                    "Failed calls",
                    "Disk full, disk broken, or too many; a second.",
                    "cps",
                    (
                        Query(
                            rate("imd_sqlite_failures_total", by="instance, operation"),
                            "{{instance}} {{operation}}",
                        ),
                    ),
                ),
                Panel(
                    "Waiting",
                    "Calls that run or wait for a thread.",
                    "short",
                    (Query(chosen("imd_sqlite_waiting"), "{{instance}} {{operation}}"),),
                ),
            ),
        ),
    ),
)
