"""How a client that knows only protocol/ reaches a server: frames over TCP or TLS, or WebSocket messages."""

from __future__ import annotations

import json
import select
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.live.standalone_proto import Contract, Json, read_varint, varint

CONTRACT = Contract()
CONNECT_TIMEOUT_S = 20.0
#: A socket that another thread closed is noticed after so long.
TURN_S = 0.5
MAX_FRAME_BYTES = 4 * 1024 * 1024


class ConnectionLost(Exception):
    """There is no connection any more."""


class Wire(Protocol):
    """A connection that carries Envelopes in the JSON mapping, whatever travels below."""

    def send(self, envelope: Json) -> None: ...

    def send_raw(self, data: bytes) -> None:
        """Bytes as they are: of the stream, or as one message."""
        ...

    def receive(self, timeout_s: float) -> Json | None:
        """The next Envelope; None if none came in time. ConnectionLost at the end."""
        ...

    def close(self) -> None: ...


def _frame(envelope: Json) -> bytes:
    body = CONTRACT.encode("Envelope", envelope)
    return varint(len(body)) + body


class Frames:
    """Cuts what came into Envelopes."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[Json]:
        """The Envelopes that are complete now."""
        buffer = self._buffer + data
        envelopes: list[Json] = []
        at = 0
        while at < len(buffer):
            head = buffer[at : at + 5]
            if all(byte >= 0x80 for byte in head):
                break
            length, size = read_varint(head, 0)
            if length > MAX_FRAME_BYTES:
                raise ConnectionLost(f"the server sent a frame of {length} bytes")
            if at + size + length > len(buffer):
                break
            if length:
                body = buffer[at + size : at + size + length]
                envelopes.append(CONTRACT.decode("Envelope", body))
            at += size + length
        self._buffer = buffer[at:]
        return envelopes


class TcpWire:
    """Frames over a socket, with TLS if a trusted certificate is given."""

    def __init__(
        self, host: str, port: int, *, certificate_file: Path | None = None, source: str = ""
    ) -> None:
        self._socket = _reach(host, port, source)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if certificate_file is not None:
            context = ssl.create_default_context(cafile=certificate_file)
            self._socket = context.wrap_socket(self._socket, server_hostname=host)
        self._frames = Frames()
        self._envelopes: list[Json] = []

    def send(self, envelope: Json) -> None:
        self.send_raw(_frame(envelope))

    def send_raw(self, data: bytes) -> None:
        try:
            self._socket.settimeout(CONNECT_TIMEOUT_S)
            self._socket.sendall(data)
        except OSError as error:
            raise ConnectionLost(str(error)) from None

    def receive(self, timeout_s: float) -> Json | None:
        deadline_s = time.monotonic() + timeout_s
        while not self._envelopes:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return None
            self._socket.settimeout(left_s)
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                return None
            except OSError as error:
                raise ConnectionLost(str(error)) from None
            if not data:
                raise ConnectionLost("closed")
            self._envelopes += self._frames.feed(data)
        return self._envelopes.pop(0)

    def close(self) -> None:
        self._socket.close()


def _reach(host: str, port: int, source: str) -> socket.socket:
    """``source`` is one of this machine's addresses to come from; empty: any."""
    try:
        return socket.create_connection((host, port), CONNECT_TIMEOUT_S, (source, 0) if source else None)
    except OSError as error:
        raise ConnectionLost(str(error)) from None


class TakingTurns:
    """A TLS socket that one thread may read while another writes.

    OpenSSL allows one call at a time, and before 3.13 Python's ``ssl`` lets two in: one in some hundred handshakes
    of the library, which reads in a thread of its own, was never answered.
    """

    def __init__(self, secured: ssl.SSLSocket) -> None:
        secured.setblocking(False)
        self._secured = secured
        self._turn = threading.Lock()

    def recv(self, size_bytes: int) -> bytes:
        while True:
            with self._turn, suppress(ssl.SSLWantReadError):
                return self._secured.recv(size_bytes)
            select.select([self._secured], [], [], TURN_S)

    def sendall(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            with self._turn, suppress(ssl.SSLWantWriteError):
                left = left[self._secured.send(left) :]
                continue
            select.select([], [self._secured], [], TURN_S)

    def settimeout(self, value: float | None) -> None:
        """It never blocks; the library has its own deadlines."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._secured, name)


def _connected(url: str, certificate_file: Path | None, source: str) -> Any:
    """A connection to where the URL points, with TLS if there is a certificate to trust."""
    address = urlsplit(url)
    host, port = address.hostname or "", address.port or 443
    reached = _reach(host, port, source)
    if certificate_file is None:
        return reached
    context = ssl.create_default_context(cafile=certificate_file)
    return TakingTurns(context.wrap_socket(reached, server_hostname=host))


class WebSocketWire:
    """Envelopes as JSON texts, or as frames in binary messages."""

    def __init__(
        self,
        url: str,
        *,
        subprotocol: str,
        certificate_file: Path | None = None,
        source: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._json = subprotocol == "im.v1.json"
        self._frames = Frames()
        self._envelopes: list[Json] = []
        try:
            self._connection: ClientConnection = connect(
                # What is secured below needs no securing by the library.
                url.replace("wss://", "ws://"),
                sock=_connected(url, certificate_file, source),
                additional_headers=headers,
                subprotocols=[Subprotocol(subprotocol)],
                open_timeout=CONNECT_TIMEOUT_S,
                close_timeout=1,
                max_size=2 * MAX_FRAME_BYTES,
                compression=None,
                proxy=None,
            )
        except OSError as error:
            raise ConnectionLost(str(error)) from None

    def send(self, envelope: Json) -> None:
        self._send(json.dumps(envelope, ensure_ascii=False) if self._json else _frame(envelope))

    def send_raw(self, data: bytes) -> None:
        self._send(data.decode() if self._json else data)

    def _send(self, message: str | bytes) -> None:
        try:
            self._connection.send(message)
        except ConnectionClosed as error:
            raise ConnectionLost(str(error)) from None

    def receive(self, timeout_s: float) -> Json | None:
        deadline_s = time.monotonic() + timeout_s
        while not self._envelopes:
            try:
                message = self._connection.recv(timeout=max(0.0, deadline_s - time.monotonic()))
            except TimeoutError:
                return None
            except ConnectionClosed as error:
                raise ConnectionLost(str(error)) from None
            if isinstance(message, str):
                self._envelopes.append(json.loads(message))
            else:
                self._envelopes += self._frames.feed(message)
        return self._envelopes.pop(0)

    def close(self) -> None:
        self._connection.close()
