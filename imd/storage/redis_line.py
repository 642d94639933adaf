"""One connection to one Redis, made and checked; when it is lost it stays lost, and its owner makes another.

Of txredisapi only its protocols are used. Its pool keeps a connection whose call was given up, waits for
ever while the server is down, and takes the global reactor; its parser without hiredis takes a turn of that
for every value.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from cryptography.x509 import load_pem_x509_certificates
from hiredis import pack_command
from OpenSSL.crypto import X509
from OpenSSL.SSL import Error as TlsError
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.python.failure import Failure
from txredisapi import ConnectionError as LineLost
from txredisapi import RedisProtocol, ResponseError

from imd.kernel.clocks import Clock
from imd.kernel.errors import StartupError
from imd.kernel.timeouts import TimeoutError, with_timeout

__all__ = ["Line", "LineLost", "Login", "ResponseError", "Unusable", "open_line"]

#: To connect, do TLS, log in and read INFO; long for that, short for whoever waits for the start.
OPEN_TIMEOUT_S = 1.0
#: ACL users; older ones are out of support.
OLDEST_MAJOR = 6


class Login(NamedTuple):
    """Who we are to the server, and where our keys are. No password: no authentication."""

    user: str = ""
    password: str = ""
    database: int = 0

    def __repr__(self) -> str:
        return f"Login({self.user!r}, {self.database})"


class Unusable(Exception):
    """This server cannot be used now; the message says why."""


def redis_endpoint(
    reactor: Any, host: str, port: int, *, ca_file: Path | None = None
) -> IStreamClientEndpoint:
    """Where the server is. With ``ca_file`` over TLS, and nobody else's signature is trusted.

    :raises StartupError: the file cannot be read.
    """
    endpoint = HostnameEndpoint(reactor, host.encode(), port, timeout=OPEN_TIMEOUT_S)
    if ca_file is None:
        return endpoint
    try:
        trusted = [X509.from_cryptography(each) for each in load_pem_x509_certificates(ca_file.read_bytes())]
    except (OSError, ValueError) as error:
        raise StartupError(f"[redis] ca_file {ca_file} cannot be read as PEM: {error}") from error
    roots = trustRootFromCertificates([Certificate(each) for each in trusted])
    return wrapClientTLS(optionsForClientTLS(host, trustRoot=roots), endpoint)


class _Once(Factory):
    """Carries the one protocol there is to the endpoint."""

    noisy = False

    def __init__(self, line: Line) -> None:
        self._line = line

    def buildProtocol(self, _: object) -> Any:
        return self._line


class Line(RedisProtocol):  # type: ignore[misc]
    """A connection for calls, whose end one can wait for. They share it; replies come in the order of the calls."""

    transport: Any
    replyQueue: Any

    def __init__(self) -> None:
        # Numbers and text stay what they are in Redis: bytes.
        super().__init__(charset=None, convertNumbers=False)
        self.lost: Deferred[None] = Deferred()
        self._why: Failure | None = None
        self._retired = False

    def _build_command(self, *command: str | bytes | int) -> bytes:
        # Its types know commands of one word only.
        packed: bytes = pack_command(command)  # type: ignore[arg-type]
        return packed

    def connectionLost(self, why: Failure) -> None:
        self._why = why
        super().connectionLost(why)
        self._end()

    def replyReceived(self, reply: object) -> None:
        super().replyReceived(reply)
        if self._retired and not self.replyQueue.waiting:
            self.abort()

    def ask(self, *command: str | bytes | int) -> Deferred[Any]:
        """The reply, or ``LineLost``, or ``ResponseError`` for what Redis refuses."""
        return self.execute_command(*command)  # type: ignore[no-any-return]

    def abort(self) -> None:
        """Hang up at once; whoever waits for a reply gets ``LineLost`` on the next turn."""
        self._end()
        if self.transport is not None:
            self.transport.abortConnection()

    def retire(self) -> None:
        """Take no more calls, answer those under way, and hang up then. For the owner it is lost now."""
        self._retired = True
        self._end()
        if not self.replyQueue.waiting:
            self.abort()

    def reason(self) -> str:
        if self._why is None:
            return "no reason is known"
        if self._why.check(TlsError):
            return f"TLS: {self._why.value}"
        return self._why.getErrorMessage()

    def _end(self) -> None:
        if not self.lost.called:
            self.lost.callback(None)


async def open_line(
    line: Line, *, endpoint: IStreamClientEndpoint, login: Login, clock: Clock
) -> tuple[Line, str]:
    """Connect, log in, and look whether this Redis will do; also what the operator should be warned of.

    :raises StartupError: it never will, before somebody changes the configuration.
    :raises Unusable: not now. Endpoints say so even when they are cancelled.
    """
    try:
        await with_timeout(
            endpoint.connect(_Once(line)),
            timeout_s=OPEN_TIMEOUT_S,
            clock=clock,
        )
    except TimeoutError:
        raise Unusable(f"no connection within {OPEN_TIMEOUT_S:g} s") from None
    except (ConnectError, ConnectingCancelledError, OSError) as error:
        raise Unusable(str(error)) from error
    try:
        warning = await with_timeout(_enter(line, login), timeout_s=OPEN_TIMEOUT_S, clock=clock)
    except BaseException as error:
        line.abort()
        if isinstance(error, TimeoutError):
            raise Unusable(
                f"it accepts connections, but does not answer within {OPEN_TIMEOUT_S:g} s"
            ) from None
        if isinstance(error, LineLost):
            raise Unusable(f"it hung up ({line.reason()}); is TLS on at only one of both sides?") from None
        raise
    return line, warning


async def _enter(line: Line, login: Login) -> str:
    if login.password:
        user = [login.user] if login.user else []
        await _allowed(line.ask("AUTH", *user, login.password))
    if login.database:
        await _allowed(line.ask("SELECT", login.database))
    try:
        info = await _allowed(line.ask("INFO"))
    except Unusable as error:
        return f"cannot be checked, since it does not let us ask INFO ({error})"
    return _judge(dict(part.split(":", 1) for part in info.decode().split("\r\n") if ":" in part))


async def _allowed(reply: Deferred[Any]) -> Any:
    try:
        return await reply
    except ResponseError as error:
        text = str(error)
    kind = text.split(" ", 1)[0]
    if kind in ("WRONGPASS", "NOAUTH") or "AUTH" in text:
        raise StartupError(f"it does not let us in: {text}; check [redis] user and password_file")
    if "DB index" in text:
        raise StartupError(f"{text}; check [redis] database")
    raise Unusable(text)


def _judge(info: dict[str, str]) -> str:
    version = info.get("redis_version", "0")
    if int(version.split(".")[0]) < OLDEST_MAJOR:
        raise StartupError(f"it is Redis {version}; {OLDEST_MAJOR}.0 or newer is needed")
    if info.get("cluster_enabled") == "1":
        raise StartupError("it is a Redis Cluster; give the address of a Redis that is none")
    if info.get("role", "master") != "master":
        raise Unusable("it is a replica, which cannot be written to; give the address of the primary")
    if info.get("loading") == "1":
        raise Unusable("it is still loading its data")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        return (
            f"may forget leases and routes unnoticed, as its maxmemory-policy is {policy}; "
            "set maxmemory-policy noeviction in redis.conf"
        )
    return ""
