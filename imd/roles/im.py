"""`twistd im`: all roles in one process, on SQLite; nothing else to install."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from imd.bus.journal import Journal
from imd.bus.local import LocalBus
from imd.config.sections import Config
from imd.core.gateway.tcp import TcpFactory
from imd.core.nodes.report import NodeReports, offered
from imd.kernel.clocks import system_wall_clock
from imd.kernel.lifecycle import Stage, Stages
from imd.kernel.slowest import Slowest
from imd.kernel.tasks import Tasks
from imd.ops.health import Readiness
from imd.pb.bus_pb2 import NodeReport
from imd.roles.business import build_business
from imd.roles.business_stores import embedded_business
from imd.roles.core import build_core
from imd.roles.embedded import embedded_stores
from imd.roles.im_settings import WithSettings, build_settings
from imd.roles.listeners import (
    client_addresses,
    http_addresses,
    http_listeners,
    http_site,
    native_listeners,
    trusted_proxies,
    websocket,
)
from imd.roles.manhole.business import BusinessCommands
from imd.roles.manhole.core import CoreCommands
from imd.roles.manhole.node import NodeCommands
from imd.roles.manhole.stage import manhole_stages
from imd.roles.manhole.timed import timed_log
from imd.roles.metrics.backup import backup_source
from imd.roles.metrics.bus import local_bus_source
from imd.roles.metrics.certificate import certificate_in_use
from imd.roles.metrics.log import log_source
from imd.roles.metrics.settings import settings_source
from imd.roles.metrics.stages import Identity, metrics_stages
from imd.roles.node_settings import build_node_settings
from imd.roles.process import Process
from imd.roles.stages import STOP_MARGIN_S, Announcement, Background, Pool
from imd.roles.tracing import build_tracing
from imd.roles.withdrawal import Withdrawal
from imd.storage.epoch import EpochFile
from imd.storage.sqlite import FolderLock, Threads, start_thread


def build(
    config: Config,
    *,
    reactor: Any,
    on_failed: Callable[[BaseException], None],
    process: Process[Config],
) -> Stages:
    """The whole server, in the order in which it starts; it stops in reverse.

    :param on_failed: hears why the start failed, after what was up has been stopped.
    :param process: its log, and word of SIGHUP.
    """
    data_dir = Path(config.data_dir)
    tracing = build_tracing(config.tracing, service="im", node="im", reactor=reactor)
    bus_pool = ThreadPool(minthreads=1, maxthreads=1, name="bus")
    bus = LocalBus(
        clock=reactor,
        journal=Journal(
            data_dir / "bus.db",
            wall_clock=system_wall_clock,
            threads=partial(deferToThreadPool, reactor, bus_pool),
        ),
    )
    record_pool = ThreadPool(minthreads=1, maxthreads=1, name="record")
    epoch = EpochFile(data_dir / "epoch", random_hex=secrets.token_hex)
    slowest = Slowest(wall_clock=system_wall_clock) if config.manhole.listen else None
    stores = embedded_business(data_dir)
    business = build_business(
        config,
        reactor=reactor,
        clock=reactor,
        wall_clock=system_wall_clock,
        bus=bus,
        stores=stores,
        tracer=tracing.tracer,
        slowest=slowest,
    )
    kept = embedded_stores(
        folder=data_dir,
        threads=Threads(start=start_thread, call_in_reactor=reactor.callFromThread),
        queue=partial(deferToThreadPool, reactor, record_pool),
        wall_clock=system_wall_clock,
    )
    core = build_core(
        config,
        reactor=reactor,
        clock=reactor,
        wall_clock=system_wall_clock,
        bus=bus,
        stores=kept._replace(log=timed_log(kept.log, slowest=slowest, seconds=reactor.seconds)),
        epoch=epoch.value,
        tracer=tracing.tracer,
    )
    own = build_settings(data_dir, bus=bus, bootstrap=stores.operator_token.value, reactor=reactor)
    settings = build_node_settings(
        config, bus=bus, node="im", folder=data_dir, reactor=reactor, gray_users=core.in_force.gray_users
    )
    process.follow(settings.seen)
    settings.seen.on_check(core.in_force.wrong)
    settings.seen.on_gray(core.in_force.take_gray)
    settings.seen.on_changed(business.in_force.change)
    settings.seen.on_changed(core.in_force.change)
    readiness = Readiness({})
    listen = config.listen
    proxies = trusted_proxies(config.listen)
    site = http_site(
        {
            "api": WithSettings(admin=own.api, api=business.api),
            "ws": websocket(core.gateway, settings=config.gateway, proxies=proxies, reactor=reactor),
        },
        readiness=readiness,
        reactor=reactor,
        proxies=proxies,
        request_factory=business.request_factory,
    )
    native = native_listeners(
        listen, tls=config.tls, reactor=reactor, tcp=TcpFactory(gateway=core.gateway, clock=reactor)
    )
    reporting = Tasks()
    reports = NodeReports(
        about=_about(config),
        bus=bus,
        connections=lambda: core.gateway.connection_count,
        clock=reactor,
        wall_clock=system_wall_clock,
        cpu_seconds=time.thread_time,
        random=Random().random,
        tasks=reporting,
    )
    # HTTP stays, for it is that of accounts, too.
    withdrawal = Withdrawal(
        readiness=readiness,
        leaving=[("node reports", reports), *native, core.stages[-1]],
        tasks=core.inside.tasks,
    )
    accounts = BusinessCommands(business.inside)
    conversations = CoreCommands(core.inside, clock=reactor, withdrawal=withdrawal, id_of=accounts.id_of)
    node = NodeCommands(readiness=readiness, settings=settings.seen, log=process.log, slowest=slowest)
    manhole = manhole_stages(
        config.manhole,
        about="imd, all in one process",
        node_id=config.node_id,
        commands=conversations.commands() | accounts.commands() | node.commands(),
        objects={"core": core, "business": business, "bus": bus, "settings": settings.seen},
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
                *business.sources,
                *own.sources,
                local_bus_source(bus),
                settings_source(settings.seen),
                backup_source(data_dir),
                log_source(process.log),
                tracing.source,
            ],
            identity=Identity("im", "im"),
            readiness=readiness,
            certificate_file=certificate_in_use(config.listen, config.tls),
            reactor=reactor,
        ),
        *manhole,
        ("data folder", FolderLock(folder=data_dir)),
        ("epoch", epoch),
        *tracing.stages,
        ("bus thread", Pool(bus_pool)),
        ("bus", bus),
        ("record thread", Pool(record_pool)),
        *business.stages,
        *core.stages,
        *own.stages,
        ("settings heard", settings.seen),
        ("settings told", settings.reports),
        *native,
        *http_listeners(listen, tls=config.tls, reactor=reactor, site=site),
        ("reporting", Background(reporting)),
        ("node reports", reports),
        ("readiness", readiness),
        (
            "announcement",
            Announcement(
                f"imd is ready; its data is in {config.data_dir}",
                [*client_addresses(listen), *http_addresses(listen, "REST", path="/api/v1")],
                next_step="imc --as alice register; imc --as bob register; imc --as alice chat bob",
            ),
        ),
    ]
    stop_timeout_s = config.gateway.drain_timeout_s + STOP_MARGIN_S
    return Stages(stages, clock=reactor, on_failed=on_failed, stop_timeout_s=stop_timeout_s)


def _about(config: Config) -> NodeReport:
    """What GET /api/v1/gateways tells of the one gateway there is."""
    listen = config.listen
    web = offered("wss", listen=listen.https, path="/ws") or offered("ws", listen=listen.http, path="/ws")
    return NodeReport(
        nodeId=config.node_id,
        maxConnections=config.gateway.max_connections,
        tcp=offered("tcp", listen=listen.tcp),
        tls=offered("tls", listen=listen.tls),
        ws=web,
        weight=1,
    )
