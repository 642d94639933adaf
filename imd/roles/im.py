"""`twistd im`: all roles in one process, on SQLite; nothing else to install."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates
from OpenSSL.crypto import X509, PKey
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.ssl import CertificateOptions, TLSVersion
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.threadpool import ThreadPool
from twisted.web.resource import Resource
from twisted.web.server import Site

from imd.bus.journal import Journal
from imd.bus.local import LocalBus
from imd.config.address import parse_address
from imd.config.sections import Config, Tls
from imd.core.gateway.listen import BACKLOG, Listener
from imd.core.gateway.tcp import DirectPort, SparingPort, TcpFactory
from imd.core.gateway.websocket import WebSocketLinkFactory, websocket_resource
from imd.core.nodes.report import NodeReports, offered
from imd.kernel.clocks import system_wall_clock
from imd.kernel.errors import StartupError
from imd.kernel.lifecycle import Stage, Stages
from imd.kernel.tasks import Tasks
from imd.ops.health import Probe
from imd.ops.site import SteadySite
from imd.pb.bus_pb2 import NodeReport
from imd.roles.business import BusinessRole, build_business
from imd.roles.core import CoreRole, build_core
from imd.roles.embedded import embedded_stores
from imd.roles.stages import Background, Pool
from imd.storage.epoch import EpochFile
from imd.storage.sqlite import FolderLock, Threads, start_thread

#: An HTTP request must be complete by then; an open WebSocket is the gateway's.
HTTP_REQUEST_TIMEOUT_S = 30
#: Draining takes as long as it is allowed to; no other stage takes longer than this, or than draining may.
STOP_MARGIN_S = 30.0


def build(config: Config, *, reactor: Any, on_failed: Callable[[BaseException], None]) -> Stages:
    """The whole server, in the order in which it starts; it stops in reverse.

    :param on_failed: hears why the start failed, after what was up has been stopped.
    """
    data_dir = Path(config.data_dir)
    bus_pool = ThreadPool(minthreads=1, maxthreads=1, name="bus")
    bus = LocalBus(
        clock=reactor,
        journal=Journal(
            data_dir / "bus.db",
            wall_clock=system_wall_clock,
            threads=partial(deferToThreadPool, reactor, bus_pool),
        ),
    )
    epoch = EpochFile(data_dir / "epoch", random_hex=secrets.token_hex)
    business = build_business(
        config, reactor=reactor, clock=reactor, wall_clock=system_wall_clock, bus=bus, data_dir=data_dir
    )
    core = build_core(
        config,
        clock=reactor,
        wall_clock=system_wall_clock,
        bus=bus,
        stores=embedded_stores(
            folder=data_dir,
            threads=Threads(start=start_thread, call_in_reactor=reactor.callFromThread),
        ),
        epoch=epoch.value,
    )
    ready = _Ready(config)
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
    stages: list[tuple[str, Stage]] = [
        ("data folder", FolderLock(folder=data_dir)),
        ("epoch", epoch),
        ("bus thread", Pool(bus_pool)),
        ("bus", bus),
        *business.stages,
        *core.stages,
        *_listeners(config, reactor=reactor, core=core, business=business, ready=ready.is_up),
        ("reporting", Background(reporting)),
        ("node reports", reports),
        ("ready", ready),
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


def _listeners(
    config: Config, *, reactor: Any, core: CoreRole, business: BusinessRole, ready: Callable[[], bool]
) -> list[tuple[str, Stage]]:
    listen = config.listen
    tcp = TcpFactory(gateway=core.gateway, clock=reactor)
    site = _site(config, reactor=reactor, core=core, business=business, ready=ready)

    def opened(listening: Any) -> IListeningPort:
        listening.startListening()
        return listening  # type: ignore[no-any-return]

    def direct(host: str, port: int, factory: IProtocolFactory) -> IListeningPort:
        return opened(DirectPort(port, factory, BACKLOG, host, reactor))

    def plain(host: str, port: int, factory: IProtocolFactory) -> IListeningPort:
        return opened(SparingPort(port, factory, BACKLOG, host, reactor))

    def secure(host: str, port: int, factory: IProtocolFactory) -> IListeningPort:
        return plain(host, port, TLSMemoryBIOFactory(_tls_options(config.tls), False, factory))

    wanted = (
        ("tcp", listen.tcp, direct, tcp),
        ("tls", listen.tls, secure, tcp),
        ("http", listen.http, plain, site),
        ("https", listen.https, secure, site),
    )
    stages: list[tuple[str, Stage]] = []
    for what, address, opener, factory in wanted:
        if address:
            host, port = parse_address(address)
            stages.append((what, Listener(what, address, partial(opener, host, port, factory))))
    return stages


def _site(
    config: Config, *, reactor: Any, core: CoreRole, business: BusinessRole, ready: Callable[[], bool]
) -> Site:
    root = Resource()
    root.putChild(b"api", business.api)
    root.putChild(
        b"ws",
        websocket_resource(
            WebSocketLinkFactory(
                gateway=core.gateway,
                clock=reactor,
                reactor=reactor,
                origins=config.gateway.origins,
                deflate=config.gateway.websocket_deflate,
            )
        ),
    )
    root.putChild(b"healthz", Probe(lambda: True))
    root.putChild(b"readyz", Probe(ready))
    return SteadySite(
        root, requestFactory=business.request_factory, timeout=HTTP_REQUEST_TIMEOUT_S, reactor=reactor
    )


def _tls_options(tls: Tls) -> CertificateOptions:
    """TLS 1.2 and newer, with the certificate and its chain."""
    try:
        key = Path(tls.private_key_file).read_bytes()
        chain = Path(tls.certificate_file).read_bytes()
        return _certificate_options(key, chain)
    except Exception as error:
        raise StartupError(
            f"[tls] certificate_file and private_key_file cannot be used: {error}; "
            "both must be PEM, and the key must be the certificate's"
        ) from error


def _certificate_options(key: bytes, chain: bytes) -> CertificateOptions:
    certificate, *above = load_pem_x509_certificates(chain)
    return CertificateOptions(
        privateKey=PKey.from_cryptography_key(load_pem_private_key(key, password=None)),  # type: ignore[arg-type]
        certificate=X509.from_cryptography(certificate),
        extraCertChain=[X509.from_cryptography(each) for each in above],
        raiseMinimumTo=TLSVersion.TLSv1_2,
    )


class _Ready:
    """The last stage: says where the server is and what to do next; the first to stop."""

    _log = Logger()

    def __init__(self, config: Config) -> None:
        self._config = config
        self._up = False

    def is_up(self) -> bool:
        return self._up

    async def start(self) -> None:
        self._up = True
        listen = self._config.listen
        self._log.info("imd is ready; its data is in {folder}", folder=self._config.data_dir)
        for what, address in (
            ("native clients", f"tcp://{listen.tcp}" if listen.tcp else ""),
            ("native clients, TLS", f"tls://{listen.tls}" if listen.tls else ""),
            ("web clients", f"ws://{listen.http}/ws" if listen.http else ""),
            ("web clients, TLS", f"wss://{listen.https}/ws" if listen.https else ""),
            ("REST", f"http://{listen.http}/api/v1" if listen.http else ""),
        ):
            if address:
                self._log.info("  {what}: {address}", what=what, address=address)
        self._log.info("next: imc --as alice register; imc --as bob register; imc --as alice chat bob")

    async def stop(self) -> None:
        self._up = False
