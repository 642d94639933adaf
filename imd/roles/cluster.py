"""What core nodes share: MongoDB for what must not be lost, Redis for what makes them fast."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from cryptography.x509 import load_pem_x509_certificates
from OpenSSL.crypto import X509
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from imd.config.address import parse_host
from imd.config.engines import Mongo, Redis
from imd.config.sections import CoreConfig
from imd.core.explain.record import Kept, in_folder, in_memory
from imd.core.gateway.budgets_redis import RedisBudgets
from imd.core.gateway.quotas_redis import RedisDayCounts
from imd.core.message.mongo import MongoMessageLog
from imd.core.message.mongo_archiving import Archiving
from imd.core.message.mongo_cursors import MongoCursors
from imd.core.message.mongo_epoch import MongoEpoch
from imd.core.message.recent_redis import RecentCachedLog
from imd.core.nodes.redis import RedisNodeRegistry, RedisShardLeases
from imd.core.permission.second_level_redis import RedisSecondLevel
from imd.core.presence.redis import RedisLastSeen
from imd.core.presence.route_refresh import CHECK_S
from imd.core.presence.routes_redis import RedisRouteTable
from imd.kernel.clocks import system_wall_clock
from imd.kernel.errors import StartupError
from imd.roles.core_parts import CoreStores
from imd.roles.metrics.stores import mongo_source, redis_source
from imd.roles.neighbourhood import Cluster
from imd.roles.secrets import password
from imd.roles.stages import Pool
from imd.storage.mongo import MongoDatabase
from imd.storage.mongo_primary import tcp_endpoints
from imd.storage.redis import RedisStore
from imd.storage.redis_line import Login, redis_endpoint

#: A route table that has lost its memory is believed again after so many beats, or looks at it if these are
#: rarer: by the first each node has seen the loss, and by the second has put its routes again.
SETTLE_BEATS = 2


class ClusterStores(NamedTuple):
    """What ``build_core`` takes, and what its node is watched by."""

    stores: CoreStores
    cluster: Cluster
    epoch: Callable[[], str]
    #: Whether messages can be stored, as far as is known.
    is_usable: Callable[[], bool]


def cluster_stores(config: CoreConfig, *, reactor: Any) -> ClusterStores:
    """Nothing is opened before the stages start.

    :raises StartupError: a secret or certificate cannot be used.
    """
    database = _mongo(config.mongo, reactor=reactor)
    log = MongoMessageLog(database=database, clock=reactor, collections=config.mongo.message_collections)
    epoch = MongoEpoch(database=database, random_hex=secrets.token_hex)
    archiving = Archiving(
        log=log,
        database=database,
        clock=reactor,
        wall_clock=system_wall_clock,
        hot_days=config.mongo.hot_days,
        archive_days=config.mongo.archive_days,
    )
    redis = _redis(config.redis, reactor=reactor)
    second_level = RedisSecondLevel(redis=redis)
    node = config.node
    record_pool, kept = _record(config, reactor=reactor)
    stores = CoreStores(
        stages=[
            ("record thread", Pool(record_pool)),
            ("MongoDB", database),
            ("message store", log),
            ("epoch", epoch),
            ("archiving", archiving),
            ("Redis", redis),
            ("snapshots in Redis", second_level),
        ],
        log=RecentCachedLog(log=log, redis=redis),
        tails=log,
        places=log,
        cursors=MongoCursors(database=database),
        last_seen=RedisLastSeen(redis=redis),
        kept=kept,
        sources=[mongo_source(database), redis_source(redis)],
        partitions=log.partitions,
        partition_of=log.partition_of,
    )
    cluster = Cluster(
        registry=RedisNodeRegistry(
            redis=redis, interval_s=node.heartbeat_interval_s, missed=node.missed_heartbeats
        ),
        leases=RedisShardLeases(
            redis=redis, interval_s=node.heartbeat_interval_s, missed=node.missed_heartbeats
        ),
        routes=RedisRouteTable(
            redis=redis,
            route_ttl_s=node.route_ttl_s,
            settle_s=SETTLE_BEATS * max(node.heartbeat_interval_s, CHECK_S),
        ),
        tails=log,
        budgets=RedisBudgets(redis=redis),
        day_counts=RedisDayCounts(redis=redis),
        second_level=second_level,
        incarnation=secrets.token_hex(8),
        first_forward_id=secrets.randbelow(1 << 62),
        node=node,
    )
    return ClusterStores(stores, cluster, epoch.value, lambda: log.ready)


def _mongo(mongo: Mongo, *, reactor: Any) -> MongoDatabase:
    return MongoDatabase(
        hosts=mongo.hosts,
        replica_set=mongo.replica_set,
        database=mongo.database,
        endpoint_for=tcp_endpoints(reactor, tls_for=_tls(mongo.ca_file) if mongo.ca_file else None),
        clock=reactor,
        wall_clock=system_wall_clock,
        user=mongo.user,
        password=password("mongo", mongo.password_file),
        pool_size=mongo.pool_size,
        timeout_s=mongo.timeout_s,
    )


def _record(config: CoreConfig, *, reactor: Any) -> tuple[ThreadPool, Kept]:
    """What the node remembers, and the thread that writes it."""
    pool = ThreadPool(minthreads=0, maxthreads=1, name="record")
    if not config.record_dir:
        return pool, in_memory(system_wall_clock)
    folder = Path(config.record_dir) / f"core-{config.node_id}.record"
    threads = partial(deferToThreadPool, reactor, pool)
    return pool, in_folder(folder, threads=threads, wall_clock=system_wall_clock)


def _tls(ca_file: str) -> Callable[[str], Any]:
    try:
        found = load_pem_x509_certificates(Path(ca_file).read_bytes())
    except (OSError, ValueError) as error:
        raise StartupError(f"[mongo] ca_file {ca_file} cannot be read as PEM: {error}") from error
    trusted = trustRootFromCertificates([Certificate(X509.from_cryptography(each)) for each in found])
    return lambda name: optionsForClientTLS(name, trustRoot=trusted)


def _redis(redis: Redis, *, reactor: Any) -> RedisStore:
    host, port = parse_host(redis.address)
    return RedisStore(
        endpoint=redis_endpoint(reactor, host, port, ca_file=Path(redis.ca_file) if redis.ca_file else None),
        name=redis.address,
        login=Login(redis.user, password("redis", redis.password_file), redis.database),
        clock=reactor,
        jitter=Random().random,
        timeout_s=redis.timeout_ms / 1000,
    )
