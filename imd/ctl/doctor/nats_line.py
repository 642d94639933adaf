"""A connection to a NATS server that is asked one thing at a time, and tells every refusal.

nats-py tells refusals later, if at all, and to somebody else; here they are what is asked for.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from imd.config.engines import Nats
from imd.config.secret import read_secret
from imd.ctl.doctor.engine_tls import ends_of

#: Connect, and each answer.
CALL_TIMEOUT_S = 3.0
#: A server's INFO and -ERR are lines; 1 MiB and 16 KiB are the largest message (etc/nats.conf).
_LINE_BYTES = 64 * 1024
_MESSAGE_BYTES = 2 * 1024 * 1024
#: Between a question and its answer; a few messages of others may come in between.
_MOST_LINES = 10_000
#: A message with this header is taken by no stream, whatever its subject: there is none of that name.
_TAKEN_BY_NOBODY = b"NATS/1.0\r\nNats-Expected-Stream: imd-doctor\r\n\r\n"


class LoginRefused(Exception):
    """The server does not let this user in."""


class Line:
    """Logged in, if ``log_in`` was called and did not raise.

    :param inbox: where this account may hear answers.
    """

    def __init__(self, sock: socket.socket, lines: BinaryIO, info: Mapping[str, Any], *, inbox: str) -> None:
        self._socket = sock
        self.ends = ends_of(sock)
        self._lines = lines
        self.info = info
        self._inbox = inbox
        self._numbers = count(1)

    def log_in(self, user: str, password: str) -> None:
        """:raises LoginRefused: with what the server said."""
        login: dict[str, Any] = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True,
                                 "name": "imctl-doctor"}  # fmt: skip
        if user:
            login |= {"user": user, "pass": password}
        try:
            # In one piece: whatever comes after its refusal makes the server's hanging up a reset, which can swallow it.
            refused = self.refusals(f"CONNECT {json.dumps(login)}\r\n".encode())
        except EOFError as error:
            raise LoginRefused(str(error)) from None
        if refused:
            raise LoginRefused(refused[0])

    def may_publish(self, subject: str) -> bool:
        """Whether this account may; what is sent to find out reaches no stream.

        Only for subjects that nobody subscribes to but streams.
        """
        head = f"HPUB {subject} {len(_TAKEN_BY_NOBODY)} {len(_TAKEN_BY_NOBODY)}\r\n"
        return not self.refusals(head.encode() + _TAKEN_BY_NOBODY + b"\r\n")

    def may_hear(self, subject: str) -> bool:
        """Whether this account may subscribe; it does so for no time at all."""
        number = next(self._numbers)
        return not self.refusals(f"SUB {subject} {number}\r\nUNSUB {number}\r\n".encode())

    def refusals(self, commands: bytes = b"") -> list[str]:
        """What the server refused of these."""
        self._send(commands + b"PING\r\n")
        said = []
        for line in self._until_pong():
            if line.startswith("-ERR"):
                said.append(line.removeprefix("-ERR").strip(" '"))
            elif line.startswith(("MSG", "HMSG")):
                self._payload(line)
        return said

    def ask(self, subject: str, request: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """The JSON that somebody answers with; None if this account may not ask, or nobody answers."""
        number = next(self._numbers)
        inbox = f"{self._inbox}.{number}"
        payload = json.dumps(request).encode() if request is not None else b""
        self._send(
            f"SUB {inbox} {number}\r\nUNSUB {number} 1\r\nPUB {subject} {inbox} {len(payload)}\r\n".encode()
            + payload
            + b"\r\nPING\r\n"
        )
        refused = False
        for _ in range(_MOST_LINES):
            line = self._line()
            if line.startswith("-ERR"):
                refused = True
            elif line == "PONG" and refused:
                return None
            elif line.startswith(("MSG", "HMSG")):
                body = self._payload(line)
                return json.loads(body) if body else None
        raise ValueError("what it says has no end")

    def _until_pong(self) -> Iterator[str]:
        """Lines up to the answer to our PING."""
        for _ in range(_MOST_LINES):
            line = self._line()
            if line == "PONG":
                return
            yield line
        raise ValueError("what it says has no end")

    def _payload(self, line: str) -> bytes:
        """Of a message; without its headers."""
        words = line.split()
        size = int(words[-1])
        header = int(words[-2]) if words[0] == "HMSG" else 0
        if not 0 <= header <= size <= _MESSAGE_BYTES:
            raise ValueError(f"a message of {size} bytes")
        data = self._lines.read(size + 2)
        if len(data) < size + 2:
            raise EOFError("it hung up")
        return data[header:size]

    def _line(self) -> str:
        while True:
            line = self._lines.readline(_LINE_BYTES)
            if not line.endswith(b"\n"):
                raise EOFError("it hung up")
            text = line.decode("utf-8", "replace").strip()
            if text == "PING":
                self._send(b"PONG\r\n")
            elif text:
                return text

    def _send(self, data: bytes) -> None:
        self._socket.sendall(data)


@contextmanager
def line_to(server: str, config: Nats, *, inbox: str) -> Iterator[Line]:
    """A connection to ``nats://HOST:PORT``, over TLS if [nats] or the server asks for it; not logged in.

    :raises OSError: there is none. EOFError, ValueError: what answers is no NATS server.
    """
    url = urlsplit(server)
    host, port = url.hostname or "", url.port or 4222
    with ExitStack() as stack:
        sock: socket.socket = stack.enter_context(socket.create_connection((host, port), CALL_TIMEOUT_S))
        info = _info(sock)
        wanted = bool(config.ca_file) or any(each.startswith("tls://") for each in config.servers)
        if wanted or info.get("tls_required"):
            sock = stack.enter_context(_tls(config).wrap_socket(sock, server_hostname=host))
        lines = stack.enter_context(sock.makefile("rb"))
        yield Line(sock, lines, info, inbox=inbox)


def password_of(config: Nats) -> str:
    """:raises ValueError: it cannot be read."""
    return read_secret(config.password_file) if config.password_file else ""


def _info(sock: socket.socket) -> dict[str, Any]:
    """The first line, byte for byte: what follows it may be TLS."""
    line = b""
    while not line.endswith(b"\n") and len(line) < _LINE_BYTES:
        byte = sock.recv(1)
        if not byte:
            raise EOFError("it hung up")
        line += byte
    if not line.startswith(b"INFO "):
        raise EOFError("it is no NATS server")
    found = json.loads(line[5:])
    return dict(found)


def _tls(config: Nats) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=config.ca_file or None)
    if config.certificate_file:
        context.load_cert_chain(config.certificate_file, config.private_key_file or None)
    return context
