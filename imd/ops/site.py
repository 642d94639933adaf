"""The HTTP port's manners: no access log, no request that drips in for ever, no more of them than memory bears, and no
path that a proxy in front could have read as another one.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.http import HTTPChannel, Request
from twisted.web.resource import Resource
from twisted.web.server import Site

from imd.kernel.errors import Code
from imd.wire.canonical_path import fault_of
from imd.wire.trusted_proxies import TrustedProxies

#: What was written to a connection that is closed for being slow has so long to leave.
LINGER_S = 5.0
#: Connections that speak HTTP at a time; each may hold 64 KiB of a body for as long as its request may take.
#: A WebSocket does not count any more: the gateway has bounds of its own.
MAX_CONNECTIONS = 4_000
#: The body of a ``SmallRequest``.
SMALL_BODY_BYTES = 64 * 1024
#: Every client is where its connection comes from.
NO_PROXIES = TrustedProxies()


class SteadyChannel(HTTPChannel):
    """A whole request within the site's timeout, from the end of the one before; each byte used to grant another."""

    site: SteadySite
    _abortingCall: IDelayedCall | None

    def connectionMade(self) -> None:
        super().connectionMade()  # type: ignore[no-untyped-call]
        if not self.site.admit(self):
            self.forceAbortClient()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.site.left(self)
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def resetTimeout(self) -> None:
        """The clock runs on, whatever comes."""

    def timeoutConnection(self) -> None:
        """As Twisted does it, without a line in the log for every slow peer."""
        self._abortingCall = self.callLater(LINGER_S, self.forceAbortClient)  # type: ignore[no-untyped-call]
        self.loseConnection()  # type: ignore[no-untyped-call]

    def forceAbortClient(self) -> None:
        """It did not take in time what was written."""
        self._abortingCall = None
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()


class SteadySite(Site):
    """A site whose requests leave no line in the log: paths can hold what is nobody's business."""

    #: Twisted would tell of it by its address in memory.
    noisy = False
    protocol = SteadyChannel  # type: ignore[assignment]

    def __init__(self, *args: Any, proxies: TrustedProxies = NO_PROXIES, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self._proxies = proxies
        self._open: set[SteadyChannel] = set()
        self._looked_at = 0

    @property
    def open_count(self) -> int:
        """Connections that speak HTTP, maybe some more that do not any longer."""
        return len(self._open)

    def admit(self, channel: SteadyChannel) -> bool:
        """Whether there is room for one more connection."""
        if len(self._open) >= min(MAX_CONNECTIONS, 2 * self._looked_at + 100):
            # Nobody is told when a WebSocket takes a connection over; its channel is left without one.
            self._open = {each for each in self._open if each.transport is not None}
            self._looked_at = len(self._open)
        if len(self._open) >= MAX_CONNECTIONS:
            return False
        self._open.add(channel)
        return True

    def getResourceFor(self, request: Request) -> Any:
        """What serves the request, which learns where its client is (``getClientAddress``).

        Here, since every request of every role passes, whatever is mounted.
        """
        fault = fault_of(request.path)
        if fault:
            return _Misspelt(fault)
        if self._proxies:
            peer = getattr(request.client, "host", "")
            values = request.requestHeaders.getRawHeaders(self._proxies.header, [])
            client = self._proxies.client_of(peer, ",".join(values))
            if client != peer:
                kind = IPv6Address if ":" in client else IPv4Address
                request.client = kind("TCP", client, 0)
        return super().getResourceFor(request)  # type: ignore[no-untyped-call]

    def left(self, channel: SteadyChannel) -> None:
        """The connection has ended."""
        self._open.discard(channel)

    def log(self, request: Request) -> None:
        """Nothing is written; a proxy in front has an access log."""


class _Misspelt(Resource):
    """400: the path is not the one that means what it means."""

    isLeaf = True

    def __init__(self, fault: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._fault = fault

    def render(self, request: Request) -> bytes:
        """The answer to any method, as the APIs write it."""
        request.setResponseCode(400)
        request.setHeader(b"content-type", b"application/json")
        request.setHeader(b"cache-control", b"no-store")
        request.setHeader(b"x-content-type-options", b"nosniff")
        error = {
            "code": Code.PAYLOAD_INVALID,
            "name": Code.PAYLOAD_INVALID.name,
            "message": f"the path is not in its canonical form: {self._fault}",
            "retryable": False,
            "retryAfterMs": 0,
            "field": "",
            "reason": "",
        }
        return json.dumps({"error": error}).encode() + b"\n"


class SmallRequest(server.Request):
    """A request whose body says how long it is, and is short: nothing of another one is kept."""

    def gotLength(self, length: int | None) -> None:
        """The header is complete."""
        if length is None or length > SMALL_BODY_BYTES:
            status = b"411 Length Required" if length is None else b"413 Content Too Large"
            channel: Any = self.channel
            channel.transport.write(b"HTTP/1.1 %b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)
            channel.transport.loseConnection()
            length = 0
        super().gotLength(length)  # type: ignore[no-untyped-call]
