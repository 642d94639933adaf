"""Web clients: the same frames in WebSocket messages, on the HTTP port.

Binary messages (``im.v1.proto``) carry one or more length-prefixed Envelopes, text messages
(``im.v1.json``) one JSON Envelope each. Every limit of the library is set here, since its own
defaults are open.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from autobahn.exception import Disconnected
from autobahn.twisted.resource import WebSocketResource
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept
from autobahn.websocket.types import ConnectionDeny, ConnectionRequest

from imd.core.gateway.gateway import Gateway
from imd.core.gateway.session import Session
from imd.kernel.clocks import Clock
from imd.wire.outbound import Outbound
from imd.wire.server import JSON_FACTOR

PROTO_SUBPROTOCOL = "im.v1.proto"
JSON_SUBPROTOCOL = "im.v1.json"
#: With compression the library may cut a message that is up to 64 KiB over its limit, silently: so
#: its limit is so much above ours, and ours refuses.
DEFLATE_MARGIN_BYTES = 64 * 1024
HANDSHAKE_TIMEOUT_S = 10
CLOSE_TIMEOUT_S = 5


class WebSocketLink(WebSocketServerProtocol):
    """One WebSocket connection."""

    def __init__(self, *, gateway: Gateway, clock: Clock, origins: Sequence[str]) -> None:
        super().__init__()
        self._gateway = gateway
        self._clock = clock
        self._origins = origins
        self._session: Session | None = None
        self._json = False
        self._address = ""

    # From Autobahn

    def onConnect(self, request: ConnectionRequest) -> str:
        """Judge the upgrade; the chosen subprotocol is the answer."""
        if not self._origin_allowed(request):
            raise ConnectionDeny(403, "this Origin may not open a WebSocket here")
        for subprotocol in (PROTO_SUBPROTOCOL, JSON_SUBPROTOCOL):
            if subprotocol in request.protocols:
                self._json = subprotocol == JSON_SUBPROTOCOL
                return subprotocol
        raise ConnectionDeny(400, f"ask for subprotocol {PROTO_SUBPROTOCOL} or {JSON_SUBPROTOCOL}")

    def _origin_allowed(self, request: ConnectionRequest) -> bool:
        """Browsers name the page's origin; a page of another site must not speak for its visitor."""
        origin = request.headers.get("origin")
        if origin is None:
            return True
        if origin in self._origins:
            return True
        return not self._origins and urlsplit(origin).netloc == request.headers.get("host", "")

    def onOpen(self) -> None:
        transport: Any = self.transport
        self._address = getattr(transport.getPeer(), "host", "local")
        self._session = self._gateway.open(self)
        if self._session is None:
            self.dropConnection(abort=True)
            return
        # The HTTP channel is still registered as the transport's producer; the socket is ours now.
        transport.unregisterProducer()
        transport.registerProducer(self, True)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        session = self._session
        if session is None:
            return
        if isBinary == self._json:
            self.sendClose(1003, "this subprotocol carries " + ("text" if self._json else "binary"))
            return
        if isBinary:
            session.connection.feed_message(payload)
        else:
            session.connection.feed_text(payload.decode("utf-8"))
        self._gateway.received(session)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        session, self._session = self._session, None
        if session is not None:
            self._gateway.lost(session)

    def pauseProducing(self) -> None:
        """The transport's buffer is full."""
        if self._session is not None:
            self._session.blocked(self._clock.seconds())
            self.pause_reading()

    def resumeProducing(self) -> None:
        """The transport's buffer is empty again."""
        session = self._session
        if session is not None:
            session.unblocked()
            if not session.reading_paused:
                self.resume_reading()

    def stopProducing(self) -> None:
        """The transport is gone; onClose follows."""

    # Link

    @property
    def address(self) -> str:
        return self._address

    def send(self, batch: list[Outbound]) -> None:
        try:
            if self._json:
                for outbound in batch:
                    for text in outbound.texts:
                        self.sendMessage(text.encode(), isBinary=False)  # type: ignore[no-untyped-call]
            else:
                self.sendMessage(b"".join([outbound.frames for outbound in batch]), isBinary=True)  # type: ignore[no-untyped-call]
        except Disconnected:
            # onClose follows, and what was not sent is in the log.
            return

    def pause_reading(self) -> None:
        transport: Any = self.transport
        transport.pauseProducing()

    def resume_reading(self) -> None:
        transport: Any = self.transport
        transport.resumeProducing()

    def close(self) -> None:
        transport: Any = self.transport
        transport.unregisterProducer()
        transport.resumeProducing()
        self.sendClose(1000)

    def abort(self) -> None:
        self.dropConnection(abort=True)


class WebSocketLinkFactory(WebSocketServerFactory):
    """Builds a link for each upgrade, with every limit set."""

    noisy = False

    def __init__(
        self, *, gateway: Gateway, clock: Clock, reactor: Any, origins: Sequence[str], deflate: bool
    ) -> None:
        super().__init__(reactor=reactor)  # type: ignore[no-untyped-call]
        self._gateway = gateway
        self._clock = clock
        self._origins = origins
        limit_bytes = gateway.max_envelope_bytes * JSON_FACTOR
        if deflate:
            limit_bytes += DEFLATE_MARGIN_BYTES
        self.setProtocolOptions(  # type: ignore[no-untyped-call]
            versions=[13],
            webStatus=False,
            utf8validateIncoming=True,
            requireMaskedClientFrames=True,
            maxFramePayloadSize=limit_bytes,
            maxMessagePayloadSize=limit_bytes,
            # Heartbeats are ours; the library's would be a second opinion.
            autoPingInterval=0,
            openHandshakeTimeout=HANDSHAKE_TIMEOUT_S,
            closeHandshakeTimeout=CLOSE_TIMEOUT_S,
            failByDrop=False,
            tcpNoDelay=True,
            # Judged in onConnect, which knows the Host.
            allowedOrigins=["*"],
            allowNullOrigin=False,
            maxConnections=0,
            trustXForwardedFor=0,
        )
        if deflate:
            self.setProtocolOptions(perMessageCompressionAccept=_accept_deflate)  # type: ignore[no-untyped-call]

    def buildProtocol(self, addr: object) -> WebSocketLink:
        link = WebSocketLink(gateway=self._gateway, clock=self._clock, origins=self._origins)
        link.factory = self
        return link


def _accept_deflate(offers: Sequence[object]) -> PerMessageDeflateOfferAccept | None:
    for offer in offers:
        if isinstance(offer, PerMessageDeflateOffer):
            return PerMessageDeflateOfferAccept(offer)
    return None


def websocket_resource(factory: WebSocketLinkFactory) -> Any:
    """What is mounted at /ws."""
    return WebSocketResource(factory)
