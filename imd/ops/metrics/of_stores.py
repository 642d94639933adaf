"""Of the stores: how long they take, how they fail, who waits for them."""

from __future__ import annotations

from imd.ops.metrics.buckets import CACHE, WRITE
from imd.ops.metrics.model import ADMIN, BUSINESS, CORE, IM, Label, Metric, counter, gauge, histogram

_SQL = (IM, BUSINESS, ADMIN)
_SQLITE, _NODES = (IM,), (CORE,)
_READ_WRITE = Label("operation", ("read", "write"))
MONGO_OPERATIONS = ("read", "write", "administer")
_MONGO = Label("operation", MONGO_OPERATIONS)

METRICS: tuple[Metric, ...] = (
    histogram(
        "imd_sqlite_seconds",
        "From the asking of the message store to its answer, waiting included.",
        WRITE,
        _READ_WRITE,
        roles=_SQLITE,
    ),
    counter(
        "imd_sqlite_failures_total",
        "Calls that failed: disk full, disk broken, too many.",
        _READ_WRITE,
        roles=_SQLITE,
    ),
    gauge("imd_sqlite_waiting", "Calls that run or wait for a thread.", _READ_WRITE, roles=_SQLITE),
    gauge("imd_mongo_ready", "1 while there is a primary, as far as is known.", roles=_NODES),
    histogram(
        "imd_mongo_seconds",
        "From the sending of a command to MongoDB to its answer.",
        WRITE,
        _MONGO,
        roles=_NODES,
    ),
    counter(
        "imd_mongo_failures_total",
        "Commands without an answer, or that the server refused or could not confirm.",
        _MONGO,
        roles=_NODES,
    ),
    gauge(
        "imd_mongo_connections",
        "Connections to the primary.",
        Label("state", ("idle", "taken", "connecting")),
        roles=_NODES,
    ),
    gauge("imd_mongo_waiting", "Calls that wait for a connection.", roles=_NODES),
    gauge("imd_redis_connected", "1 while Redis can be asked.", roles=_NODES),
    counter("imd_redis_calls_total", "Calls, those included that were not even sent.", roles=_NODES),
    counter(
        "imd_redis_failures_total",
        "Calls that failed: out of time, not even asked, answered by an error or cut off.",
        Label("reason", ("timed_out", "refused", "error")),
        roles=_NODES,
    ),
    histogram("imd_redis_seconds", "From a call to its answer.", CACHE, roles=_NODES),
    gauge("imd_redis_in_flight", "Calls under way.", roles=_NODES),
    counter("imd_redis_connects_total", "Connections that were made.", roles=_NODES),
    histogram(
        "imd_sql_seconds",
        "From a call to the end of its transaction, waiting for a thread included.",
        WRITE,
        _READ_WRITE,
        roles=_SQL,
    ),
    counter(
        "imd_sql_failures_total",
        "Calls that failed: too many, out of time, or the database was not available or broke off.",
        _READ_WRITE,
        roles=_SQL,
    ),
    gauge("imd_sql_in_flight", "Calls that run or wait for a thread.", roles=_SQL),
    gauge("imd_sql_waiting", "Calls that wait for a thread.", roles=_SQL),
    gauge("imd_sql_connections", "Connections in use, by a transaction each.", roles=_SQL),
    gauge("imd_sql_connections_limit", "Transactions that can run at a time.", roles=_SQL),
    counter(
        "imd_sql_conflicts_total",
        "Transactions that were run again, since another one stood in the way.",
        roles=_SQL,
    ),
)
