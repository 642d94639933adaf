"""Connections that come over one's own proxies: first the PROXY header, then the client as if it had come itself."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocolFactory
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from imd.kernel.clocks import Clock
from imd.wire.proxy_header import MalformedProxyHeader, parse
from imd.wire.trusted_proxies import TrustedProxies

#: A proxy writes the header with its first segment.
HEADER_TIMEOUT_S = 5.0


class ProxiedFactory(ServerFactory):
    """Wraps the factory of a port. Others than the proxies get its protocol at once, headers of theirs included."""

    noisy = False

    def __init__(self, wrapped: IProtocolFactory, *, proxies: TrustedProxies, clock: Clock) -> None:
        self._wrapped = wrapped
        self._proxies = proxies
        self._clock = clock

    def doStart(self) -> None:
        super().doStart()  # type: ignore[no-untyped-call]
        self._wrapped.doStart()

    def doStop(self) -> None:
        self._wrapped.doStop()
        super().doStop()  # type: ignore[no-untyped-call]

    def buildProtocol(self, addr: IAddress | None) -> Any:
        host = getattr(addr, "host", "")
        if addr is None or not self._proxies.trusts(host):
            return self._wrapped.buildProtocol(addr)  # type: ignore[arg-type]
        return _Announced(self._wrapped, proxy=addr, host=host, clock=self._clock)


class _Announced(Protocol):
    """Reads the header, and hands the transport over to the client's own protocol: nothing stays in between."""

    _log = Logger()

    def __init__(self, wrapped: IProtocolFactory, *, proxy: IAddress, host: str, clock: Clock) -> None:
        self._wrapped = wrapped
        self._proxy = proxy
        self._host = host
        self._clock = clock
        self._begun = b""
        self._timeout: IDelayedCall | None = None

    def connectionMade(self) -> None:
        self._timeout = self._clock.callLater(HEADER_TIMEOUT_S, self._refuse, "none came")

    def dataReceived(self, data: bytes) -> None:
        self._begun += data
        try:
            header = parse(self._begun)
        except MalformedProxyHeader as error:
            self._refuse(str(error))
            return
        if header is not None:
            self._hand_over(header.host, self._begun[header.size_bytes :])

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._cancel()

    def _hand_over(self, host: str, rest: bytes) -> None:
        self._cancel()
        transport: Any = self.transport
        client = self._wrapped.buildProtocol(_address(host) if host else self._proxy)
        if client is None:
            transport.abortConnection()
            return
        transport.protocol = client
        client.makeConnection(transport)
        if rest:
            client.dataReceived(rest)

    def _refuse(self, why: str) -> None:
        self._cancel()
        self._log.warn(
            "{peer} is one of listen.trusted_proxies and began a connection without a PROXY header ({why}): let it send "
            "one (send-proxy-v2 in HAProxy, proxy_protocol in nginx), or remove it from the list",
            peer=self._host,
            why=why,
        )
        transport: Any = self.transport
        transport.abortConnection()

    def _cancel(self) -> None:
        if self._timeout is not None and self._timeout.active():
            self._timeout.cancel()
        self._timeout = None


def _address(host: str) -> IAddress:
    # Whatever port the client had, nobody asks.
    return IPv6Address("TCP", host, 0) if ":" in host else IPv4Address("TCP", host, 0)
