"""Web clients: the same frames in WebSocket messages, on the HTTP port.

Binary messages (``im.v1.proto``) carry one or more length-prefixed Envelopes, text messages
(``im.v1.json``) one JSON Envelope each. Every limit of the library is set here, since its own
defaults are open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from autobahn.exception import Disconnected, PayloadExceededError
from autobahn.twisted.resource import WebSocketResource
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept
from autobahn.websocket.types import ConnectionDeny, ConnectionRequest

from imd.core.gateway.gateway import Gateway
from imd.core.gateway.session import UNCUT, Session
from imd.kernel.clocks import Clock
from imd.wire.outbound import Outbound
from imd.wire.server import JSON_FACTOR
from imd.wire.trusted_proxies import TrustedProxies

PROTO_SUBPROTOCOL = "im.v1.proto"
JSON_SUBPROTOCOL = "im.v1.json"
#: Of our own limit: a message that is longer gets a Close from the WebSocket layer, from its header alone;
#: what is only somewhat too long gets an Error from ``wire.server``.
MESSAGE_FACTOR = 2 * JSON_FACTOR
#: With compression the library may cut a message that is up to 64 KiB over its limit, silently: so
#: its limit is so much above ours, and ours refuses.
DEFLATE_MARGIN_BYTES = 64 * 1024
#: WebSocket frames of one connection in one reactor turn: each costs the library some 50 us.
FRAMES_PER_TURN = 16
#: A message may be cut into so many; nobody needs more.
MAX_FRAGMENTS = 128
#: Several frames go out as one message up to this size.
MESSAGE_BYTES = 64 * 1024
_TOKEN_NAMES = frozenset({"token", "access_token", "jwt"})
UNSUPPORTED_DATA = 1003
POLICY_VIOLATION = 1008
MESSAGE_TOO_BIG = 1009
HANDSHAKE_TIMEOUT_S = 10
CLOSE_TIMEOUT_S = 5


class _Silence:
    """What the library would log: lines for each bad client, with that client's text in them."""

    def __getattr__(self, _level: str) -> Callable[..., None]:
        return _say_nothing


def _say_nothing(*_: object, **__: object) -> None:
    """Instead of a line in the log."""


class WebSocketLink(WebSocketServerProtocol):
    """One WebSocket connection."""

    log = _Silence()

    def __init__(
        self, *, gateway: Gateway, clock: Clock, origins: Sequence[str], proxies: TrustedProxies
    ) -> None:
        super().__init__()
        self._gateway = gateway
        self._clock = clock
        self._origins = origins
        self._proxies = proxies
        self._session: Session | None = None
        self._json = False
        self._address = ""
        self._fragments = 0

    # From Autobahn

    def onConnect(self, request: ConnectionRequest) -> str:
        """Judge the upgrade; the chosen subprotocol is the answer."""
        transport: Any = self.transport
        self._address = self._proxies.client_of(
            getattr(transport.getPeer(), "host", "local"), request.headers.get(self._proxies.header.lower())
        )
        if not self._origin_allowed(request):
            raise ConnectionDeny(403, "this Origin may not open a WebSocket here")
        if not _TOKEN_NAMES.isdisjoint(request.params):
            # It would stand in the logs of every proxy on the way.
            raise ConnectionDeny(400, "a token goes into Connect, never into a URL")
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
        if self._origins:
            return False
        try:
            host = urlsplit(origin).netloc
        except ValueError:
            return False
        return bool(host) and host == request.headers.get("host")

    def onOpen(self) -> None:
        transport: Any = self.transport
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
        if session.closing:
            return
        if isBinary == self._json:
            self._fail(UNSUPPORTED_DATA, "this subprotocol carries " + ("text" if self._json else "binary"))
            return
        if isBinary:
            session.connection.feed_message(payload)
        else:
            session.connection.feed_text(payload.decode("utf-8"))
        self._gateway.received(session)

    def onMessageBegin(self, isBinary: bool) -> None:
        """A message begins; like any frame of ours it must be complete in time."""
        super().onMessageBegin(isBinary)
        self._fragments = 0
        if self._session is not None:
            self._session.partial_since_s = self._clock.seconds()

    def onMessageFrameBegin(self, length: int) -> None:
        """A frame of a message begins: judge the whole by what its header says."""
        super().onMessageFrameBegin(length)
        self._fragments += 1
        session = self._session
        if session is None or self.failedByMe:
            return
        limit_bytes = session.connection.limit_bytes * MESSAGE_FACTOR
        if self.message_data_total_length > limit_bytes:
            self._fail(MESSAGE_TOO_BIG, f"a message may hold {limit_bytes} bytes")
        elif self._fragments > MAX_FRAGMENTS:
            self._fail(POLICY_VIOLATION, f"a message may be cut into {MAX_FRAGMENTS} frames")

    def onPing(self, payload: bytes) -> None:
        """Answered like a heartbeat, and charged like one."""
        session = self._session
        if session is None or session.closing:
            return
        if self._gateway.charge(session):
            super().onPing(payload)
        else:
            self._fail(POLICY_VIOLATION, "too many pings")

    def onPong(self, payload: bytes) -> None:
        """Nobody asked, but it is charged."""
        session = self._session
        if session is not None and not session.closing and not self._gateway.charge(session):
            self._fail(POLICY_VIOLATION, "too many pongs")

    def _fail(self, code: int, reason: str) -> None:
        """Close for what the WebSocket layer itself refuses; what is still to come is thrown away."""
        session = self._session
        if session is not None:
            session.release(session.held)
        self._fail_connection(code, reason)

    def consumeData(self) -> None:
        """Cut what came into frames, but only so many a turn: a segment can hold ten thousand."""
        if self.state not in (self.STATE_OPEN, self.STATE_CLOSING):
            super().consumeData()
            return
        for _ in range(FRAMES_PER_TURN):
            if not self.processData() or self.state == self.STATE_CLOSED:
                if self._session is not None:
                    self._session.release(UNCUT)
                return
        if self._session is not None:
            self._session.hold(UNCUT)
        self._clock.callLater(0, self.consumeData)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        session, self._session = self._session, None
        if session is not None:
            self._gateway.lost(session)

    def pauseProducing(self) -> None:
        """The transport's buffer is full."""
        if self._session is not None:
            self._session.blocked(self._clock.seconds())

    def resumeProducing(self) -> None:
        """The transport's buffer is empty again."""
        session = self._session
        if session is not None:
            session.unblocked()

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
                for message in _messages(batch):
                    self.sendMessage(message, isBinary=True)  # type: ignore[no-untyped-call]
        except Disconnected:
            # onClose follows, and what was not sent is in the log.
            return
        except PayloadExceededError:
            # With compression the library's limit holds in both directions.
            self.abort()
        except RuntimeError:
            # uvloop has closed the socket that the peer reset, and Twisted is told of it next.
            self.abort()

    def pause_reading(self) -> None:
        transport: Any = self.transport
        transport.pauseProducing()

    def resume_reading(self) -> None:
        transport: Any = self.transport
        transport.resumeProducing()

    def close(self) -> None:
        transport: Any = self.transport
        transport.unregisterProducer()
        # The peer's own Close has to be read.
        transport.resumeProducing()
        self.sendClose(1000)

    def abort(self) -> None:
        self.dropConnection(abort=True)


class WebSocketLinkFactory(WebSocketServerFactory):
    """Builds a link for each upgrade, with every limit set."""

    noisy = False

    def __init__(
        self,
        *,
        gateway: Gateway,
        clock: Clock,
        reactor: Any,
        origins: Sequence[str],
        deflate: bool,
        proxies: TrustedProxies,
    ) -> None:
        super().__init__(reactor=reactor)  # type: ignore[no-untyped-call]
        self._gateway = gateway
        self._clock = clock
        self._origins = origins
        self._proxies = proxies
        # Without compression WebSocketLink judges, by what the connection may send at that time; the
        # library's limits would also hold for what we send.
        limit_bytes = gateway.max_envelope_bytes * MESSAGE_FACTOR + DEFLATE_MARGIN_BYTES if deflate else 0
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
            allowNullOrigin=True,
            maxConnections=0,
            trustXForwardedFor=0,
        )
        if deflate:
            self.setProtocolOptions(perMessageCompressionAccept=_accept_deflate)  # type: ignore[no-untyped-call]

    def buildProtocol(self, addr: object) -> WebSocketLink:
        link = WebSocketLink(
            gateway=self._gateway, clock=self._clock, origins=self._origins, proxies=self._proxies
        )
        link.factory = self
        return link


def _messages(batch: list[Outbound]) -> Iterator[bytes]:
    """The batch as a few binary messages; a frame is never cut."""
    parts: list[bytes] = []
    size_bytes = 0
    for outbound in batch:
        if parts and size_bytes + len(outbound.frames) > MESSAGE_BYTES:
            yield b"".join(parts)
            parts, size_bytes = [], 0
        parts.append(outbound.frames)
        size_bytes += len(outbound.frames)
    yield b"".join(parts)


def _accept_deflate(offers: Sequence[object]) -> PerMessageDeflateOfferAccept | None:
    for offer in offers:
        if isinstance(offer, PerMessageDeflateOffer):
            return PerMessageDeflateOfferAccept(offer)
    return None


def websocket_resource(factory: WebSocketLinkFactory) -> Any:
    """What is mounted at /ws."""
    return WebSocketResource(factory)
