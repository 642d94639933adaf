"""`twistd im-core`: connections and messages, as one node of many, on the bus, MongoDB and Redis."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random
from typing import Any

from imd.config.sections import CoreConfig
from imd.core.gateway.tcp import TcpFactory
from imd.core.nodes.report import NodeReports, offered
from imd.kernel.clocks import system_wall_clock
from imd.kernel.lifecycle import Stage, Stages
from imd.kernel.slowest import Slowest
from imd.kernel.tasks import Tasks
from imd.ops.health import Readiness
from imd.ops.site import SteadySite
from imd.pb.bus_pb2 import NodeReport
from imd.roles.bus import nats_bus
from imd.roles.cluster import cluster_stores
from imd.roles.core import build_core
from imd.roles.core_parts import CoreRole
from imd.roles.following import Following
from imd.roles.listeners import (
    client_addresses,
    http_listeners,
    http_site,
    native_listeners,
    trusted_proxies,
    websocket,
)
from imd.roles.manhole.core import CoreCommands
from imd.roles.manhole.node import NodeCommands
from imd.roles.manhole.stage import manhole_stages
from imd.roles.manhole.timed import timed_log
from imd.roles.metrics.bus import nats_source
from imd.roles.metrics.certificate import certificate_in_use
from imd.roles.metrics.log import log_source
from imd.roles.metrics.settings import settings_source
from imd.roles.metrics.stages import Identity, metrics_stages
from imd.roles.node_settings import build_node_settings
from imd.roles.process import Process
from imd.roles.stages import STOP_MARGIN_S, Announcement, Background
from imd.roles.tracing import build_tracing
from imd.roles.withdrawal import Withdrawal


def build(
    config: CoreConfig,
    *,
    reactor: Any,
    on_failed: Callable[[BaseException], None],
    process: Process[CoreConfig],
    last: Stage | None = None,
) -> Stages:
    """The node, in the order in which it starts; it stops in reverse.

    :param on_failed: hears why the start failed, after what was up has been stopped.
    :param process: its log, and word of SIGHUP.
    :param last: started when everything else is up.
    :raises StartupError: a secret or certificate cannot be used.
    """
    name = f"core-{config.node_id}"
    tracing = build_tracing(config.tracing, service="im-core", node=name, reactor=reactor)
    bus = nats_bus(config.nats, name=name, reactor=reactor)
    shared = cluster_stores(config, reactor=reactor)
    slowest = Slowest(wall_clock=system_wall_clock) if config.manhole.listen else None
    core = build_core(
        config,
        reactor=reactor,
        clock=reactor,
        wall_clock=system_wall_clock,
        bus=bus,
        stores=shared.stores._replace(
            log=timed_log(shared.stores.log, slowest=slowest, seconds=reactor.seconds)
        ),
        epoch=shared.epoch,
        cluster=shared.cluster,
        is_on_bus=bus.is_connected,
        tracer=tracing.tracer,
    )
    checks = {"bus": bus.is_connected, "invalidations": bus.is_caught_up, "messages": shared.is_usable}
    if core.neighbourhood is not None:
        bus.on_gap(core.neighbourhood.missed)
        checks["node_id"] = core.neighbourhood.is_itself
    readiness = Readiness(checks)
    core.gateway.takes_sessions = readiness.is_ready
    core.gateway.is_degraded = lambda: not bus.is_connected()
    proxies = trusted_proxies(config.listen)
    site = http_site(
        {"ws": websocket(core.gateway, settings=config.gateway, proxies=proxies, reactor=reactor)},
        readiness=readiness,
        reactor=reactor,
        proxies=proxies,
    )
    settings = build_node_settings(
        config,
        bus=bus,
        node=name,
        folder=config.settings_dir,
        reactor=reactor,
        zone=config.node.zone,
        gray_users=core.in_force.gray_users,
    )
    process.follow(settings.seen)
    settings.seen.on_check(core.in_force.wrong)
    settings.seen.on_gray(core.in_force.take_gray)
    settings.seen.on_changed(core.in_force.change)
    node = NodeCommands(readiness=readiness, settings=settings.seen, log=process.log, slowest=slowest)
    web, native = _listeners(config, core=core, site=site, reactor=reactor)
    reporting = Tasks()
    reports = NodeReports(
        about=_about(config, incarnation=shared.cluster.incarnation),
        bus=bus,
        connections=lambda: core.gateway.connection_count,
        clock=reactor,
        wall_clock=system_wall_clock,
        cpu_seconds=time.thread_time,
        random=Random().random,
        tasks=reporting,
    )
    # As at the stop: probes are answered, unless newcomers would be dealt out to this node with them.
    doors = [*native, *web] if config.listen.reuse_port else native
    withdrawal = Withdrawal(
        readiness=readiness,
        leaving=[("node reports", reports), *core.last_stages, *doors, core.stages[-1]],
        tasks=core.inside.tasks,
    )
    manhole = manhole_stages(
        config.manhole,
        about=f"im-core node {config.node_id}",
        node_id=config.node_id,
        commands=CoreCommands(core.inside, clock=reactor, withdrawal=withdrawal).commands() | node.commands(),
        objects={"core": core, "bus": bus, "settings": settings.seen},
        record=core.audit.record,
        redact=process.log.redact,
        reactor=reactor,
    )
    stages: list[tuple[str, Stage]] = [
        ("log", process.log),
        *metrics_stages(
            config.metrics.listen,
            [
                *core.sources,
                nats_source(bus),
                settings_source(settings.seen),
                log_source(process.log),
                tracing.source,
            ],
            identity=Identity("im-core", name),
            readiness=readiness,
            certificate_file=certificate_in_use(config.listen, config.tls),
            reactor=reactor,
        ),
        *tracing.stages,
        *manhole,
        ("bus", bus),
        *_with_listeners(config, core=core, settings=settings.seen, web=web, native=native),
        ("settings told", settings.reports),
        ("reporting", Background(reporting)),
        ("node reports", reports),
        *core.last_stages,
        ("readiness", readiness),
        ("readiness told", Following(readiness.is_ready, reports.set_ready, clock=reactor)),
        (
            "announcement",
            Announcement(f"im-core node {config.node_id} is ready", client_addresses(config.listen)),
        ),
    ]
    if last is not None:
        stages.append(("worker", last))
    stop_timeout_s = config.gateway.drain_timeout_s + STOP_MARGIN_S
    return Stages(stages, clock=reactor, on_failed=on_failed, stop_timeout_s=stop_timeout_s)


def _listeners(
    config: CoreConfig, *, core: CoreRole, site: SteadySite, reactor: Any
) -> tuple[list[tuple[str, Stage]], list[tuple[str, Stage]]]:
    """The ports for HTTP, and those for native clients."""
    listen, tls, shared = config.listen, config.tls, config.listen.reuse_port
    tcp = TcpFactory(gateway=core.gateway, clock=reactor)
    return (
        http_listeners(listen, tls=tls, reactor=reactor, site=site, shared=shared),
        native_listeners(listen, tls=tls, reactor=reactor, tcp=tcp, shared=shared),
    )


def _with_listeners(
    config: CoreConfig,
    *,
    core: CoreRole,
    settings: Stage,
    web: list[tuple[str, Stage]],
    native: list[tuple[str, Stage]],
) -> list[tuple[str, Stage]]:
    """The role's stages and its ports, in the order in which they start.

    Probes are answered until the drain is over; only where nodes share a port, each closes its own first, or
    newcomers would be dealt out to those that drain.
    """
    *before, drain = core.stages
    # Nobody is let in by other limits than those that were in force last.
    before.append(("settings", settings))
    if config.listen.reuse_port:
        return [*before, drain, *web, *native]
    return [*before, *web, drain, *native]


def _about(config: CoreConfig, *, incarnation: str) -> NodeReport:
    """What others are told of this node, and what stays."""
    listen, node = config.listen, config.node
    web = offered("wss", listen=listen.https, path="/ws") or offered("ws", listen=listen.http, path="/ws")
    return NodeReport(
        nodeId=config.node_id,
        incarnation=incarnation,
        zone=node.zone,
        maxConnections=config.gateway.max_connections,
        tcp=offered("tcp", listen=listen.tcp, public=node.public_tcp),
        tls=offered("tls", listen=listen.tls, public=node.public_tls),
        ws=node.public_ws or web,
        versionLabels=node.version_labels,
        weight=node.weight,
    )
