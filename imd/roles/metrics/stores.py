"""How the stores answer."""

from __future__ import annotations

from collections.abc import Iterator

from imd.ops.metrics.readings import Reading, Source, by_label
from imd.storage.mongo import MongoDatabase
from imd.storage.redis import RedisStore
from imd.storage.sql import Database
from imd.storage.sqlite import SqliteDatabase


def sqlite_source(database: SqliteDatabase) -> Source:
    """Of an embedded file; while it is not open there is nothing to tell."""

    def read() -> Iterator[Reading]:
        for operation, lane in database.lanes.items():
            yield Reading("imd_sqlite_seconds", lane.calls.seconds, (operation,))
            yield Reading("imd_sqlite_failures_total", lane.calls.failures, (operation,))
            yield Reading("imd_sqlite_waiting", lane.waiting, (operation,))

    return read


def mongo_source(database: MongoDatabase) -> Source:
    """Of the replica set."""

    def read() -> Iterator[Reading]:
        yield Reading("imd_mongo_ready", database.ready)
        for operation, calls in database.calls.items():
            yield Reading("imd_mongo_seconds", calls.seconds, (operation,))
            yield Reading("imd_mongo_failures_total", calls.failures, (operation,))
        yield from by_label("imd_mongo_connections", database.connections)
        yield Reading("imd_mongo_waiting", database.waiting)

    return read


def redis_source(redis: RedisStore) -> Source:
    """Of what makes things fast."""

    def read() -> Iterator[Reading]:
        counts = redis.counts()
        yield Reading("imd_redis_connected", redis.is_up())
        yield Reading("imd_redis_calls_total", counts["calls"])
        failures = {
            "timed_out": counts["timeouts"],
            "refused": counts["refused"],
            "error": counts["errors"],
        }
        yield from by_label("imd_redis_failures_total", failures)
        yield Reading("imd_redis_seconds", redis.seconds)
        yield Reading("imd_redis_in_flight", redis.in_flight)
        yield Reading("imd_redis_connects_total", counts["connects"])

    return read


def sql_source(database: Database, *, threads: int) -> Source:
    """Of the database of accounts and groups.

    :param threads: transactions that can run at a time.
    """

    def read() -> Iterator[Reading]:
        for operation, calls in database.calls.items():
            yield Reading("imd_sql_seconds", calls.seconds, (operation,))
            yield Reading("imd_sql_failures_total", calls.failures, (operation,))
        in_flight, waiting = database.in_flight, database.waiting
        yield Reading("imd_sql_in_flight", in_flight)
        yield Reading("imd_sql_waiting", waiting)
        yield Reading("imd_sql_connections", in_flight - waiting)
        yield Reading("imd_sql_connections_limit", threads)
        yield Reading("imd_sql_conflicts_total", database.conflicts)

    return read
