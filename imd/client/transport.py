"""Byte pipes to a server: tcp, tls, ws and wss behind one shape.

``dialer(url, reactor=...)`` gives a ``Dial``; calling it opens one connection. Tests hand the
Client a ``Dial`` of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint, ITCPTransport
from twisted.internet.protocol import Factory
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.python.failure import Failure

from imd.client.errors import Unreachable
from imd.wire.client import MAX_INBOUND_FRAME_BYTES

PROTO = "im.v1.proto"
JSON = "im.v1.json"
CONNECT_TIMEOUT_S = 10
DEFAULT_PORTS = {"tcp": 7700, "tls": 7701, "ws": 80, "wss": 443}
#: Autobahn annotates only parts of itself.
_WEBSOCKET_FACTORY: Any = WebSocketClientFactory
#: A binary message may carry several frames; the server's queue for a connection is 1 MiB.
MAX_WEBSOCKET_MESSAGE_BYTES = MAX_INBOUND_FRAME_BYTES + 1024 * 1024


class Link(Protocol):
    """An open connection. After ``close`` nothing more is received."""

    def write(self, items: Iterable[bytes | str]) -> None:
        """Frames, or JSON texts; never both kinds on one link."""
        ...

    def close(self) -> None:
        """Write out what is pending, then close."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


class Receiver(Protocol):
    """Who gets what a link receives."""

    def received(self, data: bytes | str) -> None:
        """Bytes cut anyhow, or one JSON text."""
        ...

    def lost(self, reason: str) -> None:
        """The link is gone; called once, also after ``close``."""
        ...


class Dial(Protocol):
    """Opens a link."""

    #: Whether this link carries JSON texts.
    json: bool

    def __call__(self, receiver: Receiver) -> Deferred[Link]:
        """:raises Unreachable: (in the Deferred) there is no connection; the message says why."""
        ...


def dialer(url: str, *, reactor: Any, trust: Path | None = None, codec: str = "") -> Dial:
    """How to reach ``url``: tcp://host:port, tls://host:port, ws://host:port/ws, wss://host/ws.

    :param reactor: connects and keeps time (IReactorTCP, IReactorTime and a name resolver).
    :param trust: a PEM file of certificates to trust instead of the system's.
    :param codec: ``proto`` or ``json``; ``?codec=json`` in the URL says the same. JSON needs ws or wss.
    :raises ValueError: not such a URL.
    """
    parts = urlsplit(url)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise ValueError(f"{url!r} is not tcp://host:port, tls://host:port, ws://host:port/ws or wss://...")
    query = dict(parse_qsl(parts.query))
    codec = query.pop("codec", codec) or "proto"
    if codec not in ("proto", "json"):
        raise ValueError(f"codec must be proto or json, not {codec!r}")
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    endpoint: IStreamClientEndpoint = HostnameEndpoint(
        reactor, parts.hostname, port, timeout=CONNECT_TIMEOUT_S
    )
    if parts.scheme in ("tls", "wss"):
        endpoint = wrapClientTLS(optionsForClientTLS(parts.hostname, trustRoot=trust_root(trust)), endpoint)
    if parts.scheme in ("tcp", "tls"):
        if codec == "json":
            raise ValueError("JSON goes over ws:// and wss:// only")
        return StreamDial(url, endpoint)
    plain = urlunsplit(
        (parts.scheme, f"{_bracketed(parts.hostname)}:{port}", parts.path or "/ws", urlencode(query), "")
    )
    return WebSocketDial(plain, endpoint, reactor=reactor, json=codec == "json")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def trust_root(path: Path | None) -> Any:
    """What TLS trusts: the certificates in ``path``, or (None) the system's."""
    if path is None:
        return None
    pem = path.read_bytes()
    mark = b"-----END CERTIFICATE-----"
    return trustRootFromCertificates(
        [Certificate.loadPEM(part + mark) for part in pem.split(mark) if part.strip()]
    )


class StreamDial:
    """TCP or TLS."""

    json = False

    def __init__(self, url: str, endpoint: IStreamClientEndpoint) -> None:
        self._url = url
        self._endpoint = endpoint

    def __call__(self, receiver: Receiver) -> Deferred[Link]:
        connecting: Deferred[Any] = self._endpoint.connect(Factory.forProtocol(lambda: StreamLink(receiver)))
        return connecting.addErrback(_unreachable, self._url)


class StreamLink(TwistedProtocol):
    """Frames on a byte stream."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def connectionMade(self) -> None:
        # Interactive traffic: Nagle would hold a heartbeat or a line of text back for an ACK.
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        self._receiver.received(data)

    def connectionLost(self, reason: Failure = Failure(ConnectionError())) -> None:  # noqa: B008
        self._receiver.lost(reason.getErrorMessage())

    def write(self, items: Iterable[bytes | str]) -> None:
        assert self.transport is not None
        self.transport.write(b"".join(item for item in items if isinstance(item, bytes)))

    def close(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abortConnection()  # type: ignore[attr-defined]


class WebSocketDial:
    """ws or wss, in protobuf or JSON."""

    def __init__(self, url: str, endpoint: IStreamClientEndpoint, *, reactor: Any, json: bool) -> None:
        self._url = url
        self._endpoint = endpoint
        self._reactor = reactor
        self.json = json

    def __call__(self, receiver: Receiver) -> Deferred[Link]:
        opened: Deferred[Link] = Deferred(lambda _: connecting.cancel())
        factory: Any = _WEBSOCKET_FACTORY(
            self._url, protocols=[JSON if self.json else PROTO], reactor=self._reactor
        )
        factory.setProtocolOptions(
            maxFramePayloadSize=MAX_WEBSOCKET_MESSAGE_BYTES,
            maxMessagePayloadSize=MAX_WEBSOCKET_MESSAGE_BYTES,
            openHandshakeTimeout=CONNECT_TIMEOUT_S,
            closeHandshakeTimeout=1,
            tcpNoDelay=True,
        )
        factory.protocol = lambda: WebSocketLink(receiver, opened)
        connecting = self._endpoint.connect(factory)
        connecting.addErrback(_refused, opened)
        return opened.addErrback(_unreachable, self._url)


class WebSocketLink(WebSocketClientProtocol):
    """Frames in binary messages, or Envelopes in text messages."""

    def __init__(self, receiver: Receiver, opened: Deferred[Link]) -> None:
        super().__init__()
        self._send: Any = self.sendMessage
        self._receiver = receiver
        self._opened: Deferred[Link] | None = opened

    def onOpen(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.callback(self)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self._receiver.received(payload if isBinary else payload.decode("utf-8"))

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        opened, self._opened = self._opened, None
        text = str(reason or self.wasNotCleanReason or f"closed with {code}")
        if opened is not None:
            opened.errback(Unreachable(f"no WebSocket there: {text}"))
        else:
            self._receiver.lost(text)

    def write(self, items: Iterable[bytes | str]) -> None:
        if self.state != WebSocketClientProtocol.STATE_OPEN:
            # The end of the line is known here and on its way to us; what is written now is lost like
            # everything else that was under way.
            return
        frames: list[bytes] = []
        for item in items:
            if isinstance(item, str):
                self._send(item.encode(), isBinary=False)
            else:
                frames.append(item)
        if frames:
            self._send(b"".join(frames), isBinary=True)

    def close(self) -> None:
        self.sendClose(1000)

    def abort(self) -> None:
        self.dropConnection(abort=True)


def _refused(failure: Failure, opened: Deferred[Link]) -> None:
    if not opened.called:
        opened.errback(failure)


def _unreachable(failure: Failure, url: str) -> Failure:
    if failure.check(CancelledError):
        return failure
    if failure.check(ConnectionRefusedError):
        return Failure(Unreachable(f"nobody listens at {url}"))
    reason = failure.value.message if isinstance(failure.value, Unreachable) else failure.getErrorMessage()
    return Failure(Unreachable(f"{url}: {reason}"))
