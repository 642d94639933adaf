"""The four ways to a server, and a wire that can be cut, be deaf, and tell what came over it."""

from __future__ import annotations

from collections import Counter
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from imd.client.transport import Dial, Link, Receiver, dialer
from imd.pb.envelope_pb2 import Envelope
from imd.wire.codec import decode_json
from imd.wire.framing import FrameDecoder

_ANY_FRAME_BYTES = 4 * 1024 * 1024


class Reachable(Protocol):
    """Where clients connect."""

    @property
    def tcp_port(self) -> int: ...

    @property
    def tls_port(self) -> int: ...

    @property
    def certificate_file(self) -> Path: ...

    @property
    def ws_url(self) -> str: ...


class Transport(Enum):
    """How a device talks to the server."""

    TCP = "TCP"
    TLS = "TLS"
    WEBSOCKET = "WebSocket"
    WEBSOCKET_JSON = "WebSocket with JSON"

    @property
    def other(self) -> Transport:
        """One that speaks the other encoding."""
        return Transport.TCP if self is Transport.WEBSOCKET_JSON else Transport.WEBSOCKET_JSON

    def dial(self, server: Reachable, reactor: Any) -> Dial:
        """How the client library reaches the server this way."""
        if self is Transport.TCP:
            return dialer(f"tcp://127.0.0.1:{server.tcp_port}", reactor=reactor)
        if self is Transport.TLS:
            url = f"tls://127.0.0.1:{server.tls_port}"
            return dialer(url, reactor=reactor, trust=server.certificate_file)
        return dialer(
            server.ws_url, reactor=reactor, codec="json" if self is Transport.WEBSOCKET_JSON else "proto"
        )


class Wire:
    """A ``Dial`` whose connections are in the test's hand.

    ``heard`` counts the frames that came, by payload, over all connections.
    """

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._open: set[_Tap] = set()
        self._all_closed: Deferred[None] | None = None
        self.json = dial.json
        self.heard: Counter[str] = Counter()
        self.deaf = False

    def __call__(self, receiver: Receiver) -> Deferred[Link]:
        tap = _Tap(self, receiver)
        return self._dial(tap).addCallback(self._opened, tap)

    def _opened(self, link: Link, tap: _Tap) -> Link:
        tap.link = link
        self._open.add(tap)
        return link

    def closed(self, tap: _Tap) -> None:
        """A connection is gone."""
        self._open.discard(tap)
        if self._all_closed is not None and not self._open:
            self._all_closed.callback(None)
            self._all_closed = None

    async def all_closed(self) -> None:
        """Returns when no connection is open any more."""
        if self._open:
            self._all_closed = Deferred()
            await self._all_closed

    def goes_deaf(self) -> None:
        """What comes from now on is lost on the way; what is sent arrives. Until the cut."""
        self.deaf = True

    def cut(self) -> None:
        """The connection breaks, without a goodbye; the next one hears again."""
        self.deaf = False
        for tap in list(self._open):
            if tap.link is not None:
                tap.link.abort()


class _Tap:
    """Between one connection and the client."""

    def __init__(self, wire: Wire, receiver: Receiver) -> None:
        self.link: Link | None = None
        self._wire = wire
        self._receiver = receiver
        self._frames = FrameDecoder(limit_bytes=_ANY_FRAME_BYTES)

    def received(self, data: bytes | str) -> None:
        if self._wire.deaf:
            return
        if isinstance(data, str):
            envelopes = [decode_json(data)]
        else:
            envelopes = [Envelope.FromString(frame) for frame in self._frames.feed(data)]
        self._wire.heard.update(str(envelope.WhichOneof("payload")) for envelope in envelopes)
        self._receiver.received(data)

    def lost(self, reason: str) -> None:
        self._wire.closed(self)
        self._receiver.lost(reason)
