"""`twistd im-admin`: what operators tell all nodes, on the bus and a MySQL server."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from imd.admin.schema import open_admin_on
from imd.config.sections import AdminConfig
from imd.kernel.clocks import system_wall_clock
from imd.kernel.lifecycle import Stage, Stages
from imd.kernel.slowest import Slowest
from imd.ops.health import Readiness
from imd.ops.operator_token import OperatorToken
from imd.ops.site import SmallRequest
from imd.roles.admin import build_admin
from imd.roles.bus import Answering, nats_bus
from imd.roles.listeners import http_addresses, http_listeners, http_site
from imd.roles.manhole.node import NodeCommands
from imd.roles.manhole.stage import manhole_stages
from imd.roles.manhole.timed import timed_threads
from imd.roles.metrics.bus import nats_source
from imd.roles.metrics.certificate import certificate_in_use
from imd.roles.metrics.log import log_source
from imd.roles.metrics.settings import settings_source
from imd.roles.metrics.stages import Identity, metrics_stages
from imd.roles.metrics.stores import sql_source
from imd.roles.node_settings import build_node_settings
from imd.roles.process import Process
from imd.roles.sql import mysql_server, watched_database
from imd.roles.stages import STOP_MARGIN_S, Announcement, Pool
from imd.storage.sql import Database


def build(
    config: AdminConfig,
    *,
    reactor: Any,
    on_failed: Callable[[BaseException], None],
    process: Process[AdminConfig],
) -> Stages:
    """The node, in the order in which it starts; it stops in reverse.

    :param on_failed: hears why the start failed, after what was up has been stopped.
    :param process: its log, and word of SIGHUP.
    :raises StartupError: a secret cannot be read.
    """
    name = f"admin-{config.node_id}"
    bus = nats_bus(config.nats, name=name, reactor=reactor)
    pool = ThreadPool(minthreads=1, maxthreads=config.sql.pool_size, name="admin-sql")
    slowest = Slowest(wall_clock=system_wall_clock) if config.manhole.listen else None
    database = Database(
        connect=lambda: open_admin_on(mysql_server(config.sql), connections=config.sql.pool_size),
        threads=timed_threads(
            partial(deferToThreadPool, reactor, pool), slowest=slowest, seconds=reactor.seconds
        ),
        clock=reactor,
        timeout_s=config.sql.timeout_s,
    )
    token = OperatorToken(config.bootstrap_token_file, key="bootstrap_token_file")
    admin = build_admin(
        database=database,
        bus=bus,
        node=name,
        bootstrap=token.value,
        clock=reactor,
        wall_clock=system_wall_clock,
    )
    settings = build_node_settings(config, bus=bus, node=name, folder=config.settings_dir, reactor=reactor)
    process.follow(settings.seen)
    watched = watched_database(database, clock=reactor)
    readiness = Readiness({"bus": bus.is_connected, "database": watched.is_well})
    site = http_site(
        {"api": admin.api},
        readiness=readiness,
        reactor=reactor,
        request_factory=SmallRequest,
    )
    node = NodeCommands(readiness=readiness, settings=settings.seen, log=process.log, slowest=slowest)
    manhole = manhole_stages(
        config.manhole,
        about=f"im-admin node {config.node_id}",
        node_id=config.node_id,
        commands=node.commands(),
        objects={"admin": admin, "database": database, "bus": bus, "settings": settings.seen},
        record=admin.audit.record,
        redact=process.log.redact,
        reactor=reactor,
    )
    stages: list[tuple[str, Stage]] = [
        ("log", process.log),
        *metrics_stages(
            config.metrics.listen,
            [
                *admin.sources,
                sql_source(database, threads=config.sql.pool_size),
                nats_source(bus),
                settings_source(settings.seen),
                log_source(process.log),
            ],
            identity=Identity("im-admin", name),
            readiness=readiness,
            certificate_file=certificate_in_use(config.listen, config.tls),
            reactor=reactor,
        ),
        *manhole,
        ("operators' token", token),
        ("bus", bus),
        ("SQL threads", Pool(pool)),
        ("database", database),
        *admin.stages,
        ("answers", Answering(bus)),
        ("settings heard", settings.seen),
        ("settings told", settings.reports),
        ("database watch", watched),
        *http_listeners(config.listen, tls=config.tls, reactor=reactor, site=site),
        ("readiness", readiness),
        (
            "announcement",
            Announcement(
                f"im-admin node {config.node_id} is ready; operators' token in {config.bootstrap_token_file}",
                http_addresses(config.listen, "settings", path="/api/v1/settings"),
            ),
        ),
    ]
    return Stages(stages, clock=reactor, on_failed=on_failed, stop_timeout_s=STOP_MARGIN_S)
