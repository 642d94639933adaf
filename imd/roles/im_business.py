"""`twistd im-business`: accounts, groups, permissions and REST, on the bus and a MySQL server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from imd.config.sections import BusinessConfig
from imd.kernel.clocks import system_wall_clock
from imd.kernel.lifecycle import Stage, Stages
from imd.kernel.slowest import Slowest
from imd.ops.health import Readiness
from imd.roles.bus import Answering, nats_bus
from imd.roles.business import build_business
from imd.roles.business_stores import cluster_business
from imd.roles.listeners import http_addresses, http_listeners, http_site, trusted_proxies
from imd.roles.manhole.business import BusinessCommands
from imd.roles.manhole.node import NodeCommands
from imd.roles.manhole.stage import manhole_stages
from imd.roles.metrics.bus import nats_source
from imd.roles.metrics.certificate import certificate_in_use
from imd.roles.metrics.log import log_source
from imd.roles.metrics.settings import settings_source
from imd.roles.metrics.stages import Identity, metrics_stages
from imd.roles.node_settings import build_node_settings
from imd.roles.process import Process
from imd.roles.sql import watched_database
from imd.roles.stages import STOP_MARGIN_S, Announcement
from imd.roles.tracing import build_tracing


def build(
    config: BusinessConfig,
    *,
    reactor: Any,
    on_failed: Callable[[BaseException], None],
    process: Process[BusinessConfig],
) -> Stages:
    """The node, in the order in which it starts; it stops in reverse.

    :param on_failed: hears why the start failed, after what was up has been stopped.
    :param process: its log, and word of SIGHUP.
    :raises StartupError: a secret cannot be read.
    """
    name = f"business-{config.node_id}"
    tracing = build_tracing(config.tracing, service="im-business", node=name, reactor=reactor)
    bus = nats_bus(config.nats, name=name, reactor=reactor)
    slowest = Slowest(wall_clock=system_wall_clock) if config.manhole.listen else None
    business = build_business(
        config,
        reactor=reactor,
        clock=reactor,
        wall_clock=system_wall_clock,
        bus=bus,
        stores=cluster_business(config),
        tracer=tracing.tracer,
        slowest=slowest,
    )
    settings = build_node_settings(config, bus=bus, node=name, folder=config.settings_dir, reactor=reactor)
    process.follow(settings.seen)
    settings.seen.on_changed(business.in_force.change)
    database = watched_database(business.database, clock=reactor)
    readiness = Readiness(
        {"bus": bus.is_connected, "invalidations": bus.is_caught_up, "database": database.is_well}
    )
    site = http_site(
        {"api": business.api},
        readiness=readiness,
        reactor=reactor,
        proxies=trusted_proxies(config.listen),
        request_factory=business.request_factory,
    )
    node = NodeCommands(readiness=readiness, settings=settings.seen, log=process.log, slowest=slowest)
    accounts = BusinessCommands(business.inside)
    manhole = manhole_stages(
        config.manhole,
        about=f"im-business node {config.node_id}",
        node_id=config.node_id,
        commands=accounts.commands_alone() | node.commands(),
        objects={"business": business, "bus": bus, "settings": settings.seen},
        record=business.audit.record,
        redact=process.log.redact,
        reactor=reactor,
    )
    stages: list[tuple[str, Stage]] = [
        ("log", process.log),
        *metrics_stages(
            config.metrics.listen,
            [
                *business.sources,
                nats_source(bus),
                settings_source(settings.seen),
                log_source(process.log),
                tracing.source,
            ],
            identity=Identity("im-business", name),
            readiness=readiness,
            certificate_file=certificate_in_use(config.listen, config.tls),
            reactor=reactor,
        ),
        *tracing.stages,
        *manhole,
        ("bus", bus),
        *business.stages,
        ("answers", Answering(bus)),
        ("settings", settings.seen),
        ("settings told", settings.reports),
        ("database watch", database),
        *http_listeners(config.listen, tls=config.tls, reactor=reactor, site=site),
        ("readiness", readiness),
        (
            "announcement",
            Announcement(
                f"im-business node {config.node_id} is ready",
                http_addresses(config.listen, "REST", path="/api/v1"),
            ),
        ),
    ]
    return Stages(stages, clock=reactor, on_failed=on_failed, stop_timeout_s=STOP_MARGIN_S)
