"""Where roles listen: the ports of [listen], and the HTTP site behind http and https."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates
from OpenSSL.crypto import X509, PKey
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.ssl import CertificateOptions, TLSVersion
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.web.http import Request
from twisted.web.resource import IResource, Resource

from imd.config import sections
from imd.config.address import parse_address, parse_network
from imd.config.sections import Tls
from imd.core.gateway.gateway import Gateway
from imd.core.gateway.listen import BACKLOG, Listener
from imd.core.gateway.proxied import ProxiedFactory
from imd.core.gateway.tcp import DirectPort, SparingPort
from imd.core.gateway.websocket import WebSocketLinkFactory, websocket_resource
from imd.kernel.errors import StartupError
from imd.kernel.lifecycle import Stage
from imd.ops.health import Alive, Readiness, Ready
from imd.ops.site import NO_PROXIES, SteadySite
from imd.wire.trusted_proxies import TrustedProxies

#: An HTTP request must be complete by then; an open WebSocket is the gateway's.
HTTP_REQUEST_TIMEOUT_S = 30


class BehindProxies(Protocol):
    """What [listen] says of proxies."""

    @property
    def trusted_proxies(self) -> Sequence[str]: ...

    @property
    def forwarded_header(self) -> str: ...


class HttpAddresses(Protocol):
    """Of any role's [listen]."""

    @property
    def http(self) -> str: ...

    @property
    def https(self) -> str: ...


class ClientAddresses(HttpAddresses, BehindProxies, Protocol):
    """Of a role that has a gateway."""

    @property
    def tcp(self) -> str: ...

    @property
    def tls(self) -> str: ...


def http_listeners(
    listen: HttpAddresses, *, tls: Tls, reactor: Any, site: SteadySite, shared: bool = False
) -> list[tuple[str, Stage]]:
    """A stage for each of http and https that is not empty.

    :param shared: other processes listen on the same ports.
    """
    ports = _Ports(tls=tls, reactor=reactor, shared=shared)
    return _stages(("http", listen.http, ports.plain, site), ("https", listen.https, ports.secure, site))


def native_listeners(
    listen: ClientAddresses, *, tls: Tls, reactor: Any, tcp: IProtocolFactory, shared: bool = False
) -> list[tuple[str, Stage]]:
    """The same for tcp and tls."""
    ports = _Ports(tls=tls, reactor=reactor, shared=shared, proxies=trusted_proxies(listen))
    return _stages(("tcp", listen.tcp, ports.direct, tcp), ("tls", listen.tls, ports.secure, tcp))


def trusted_proxies(listen: BehindProxies) -> TrustedProxies:
    """The networks of [listen]."""
    return TrustedProxies(
        [parse_network(text) for text in listen.trusted_proxies], header=listen.forwarded_header
    )


def http_site(
    children: Mapping[str, IResource],
    *,
    readiness: Readiness,
    reactor: Any,
    proxies: TrustedProxies = NO_PROXIES,
    request_factory: type[Request] | None = None,
) -> SteadySite:
    """``children`` by their first path segment, beside /healthz and /readyz."""
    root = Resource()
    for name, child in children.items():
        root.putChild(name.encode(), child)
    root.putChild(b"healthz", Alive())
    root.putChild(b"readyz", Ready(readiness))
    more = {} if request_factory is None else {"requestFactory": request_factory}
    return SteadySite(root, timeout=HTTP_REQUEST_TIMEOUT_S, reactor=reactor, proxies=proxies, **more)


def http_addresses(listen: HttpAddresses, what: str, *, path: str) -> Iterator[tuple[str, str]]:
    """For the announcement."""
    if listen.http:
        yield what, f"http://{listen.http}{path}"
    if listen.https:
        yield f"{what}, TLS", f"https://{listen.https}{path}"


def client_addresses(listen: ClientAddresses) -> Iterator[tuple[str, str]]:
    """For the announcement: where clients connect."""
    for what, address in (
        ("native clients", f"tcp://{listen.tcp}" if listen.tcp else ""),
        ("native clients, TLS", f"tls://{listen.tls}" if listen.tls else ""),
        ("web clients", f"ws://{listen.http}/ws" if listen.http else ""),
        ("web clients, TLS", f"wss://{listen.https}/ws" if listen.https else ""),
    ):
        if address:
            yield what, address


def websocket(
    gateway: Gateway, *, settings: sections.Gateway, proxies: TrustedProxies, reactor: Any
) -> IResource:
    """What is mounted at /ws."""
    links = WebSocketLinkFactory(
        gateway=gateway,
        clock=reactor,
        reactor=reactor,
        origins=settings.origins,
        deflate=settings.websocket_deflate,
        proxies=proxies,
    )
    mounted: IResource = websocket_resource(links)
    return mounted


class _Ports:
    """How a port of each kind is opened."""

    def __init__(self, *, tls: Tls, reactor: Any, shared: bool, proxies: TrustedProxies = NO_PROXIES) -> None:
        self._tls = tls
        self._reactor = reactor
        self._shared = shared
        self._proxies = proxies

    def direct(self, host: str, port: int, factory: IProtocolFactory) -> IListeningPort:
        return self._opened(DirectPort(port, self._announced(factory), BACKLOG, host, self._reactor))

    def plain(self, host: str, port: int, factory: IProtocolFactory) -> IListeningPort:
        return self._opened(SparingPort(port, self._announced(factory), BACKLOG, host, self._reactor))

    def secure(self, host: str, port: int, factory: IProtocolFactory) -> IListeningPort:
        return self.plain(host, port, TLSMemoryBIOFactory(_tls_options(self._tls), False, factory))

    def _announced(self, factory: IProtocolFactory) -> IProtocolFactory:
        """With the PROXY header of those that must send it; TLS begins behind it."""
        if not self._proxies:
            return factory
        return ProxiedFactory(factory, proxies=self._proxies, clock=self._reactor)

    def _opened(self, port: SparingPort) -> IListeningPort:
        port.shared = self._shared
        port.startListening()
        return port


def _stages(
    *wanted: tuple[str, str, Callable[[str, int, IProtocolFactory], IListeningPort], IProtocolFactory],
) -> list[tuple[str, Stage]]:
    stages: list[tuple[str, Stage]] = []
    for what, address, opener, factory in wanted:
        if address:
            host, port = parse_address(address)
            stages.append((what, Listener(what, address, partial(opener, host, port, factory))))
    return stages


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
