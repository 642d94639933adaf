"""One connection to one mongod: what is asked on it, and what the server says of itself.

Of txmongo only the protocol is used. Its pool hides refused logins, hands out dead connections, waits for
ever for a server that is gone, and checks every host's certificate against one name.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from pymongo.errors import AutoReconnect
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from txmongo.protocol import MongoAuthenticationError, MongoDecoder, MongoProtocol, Msg

from imd.kernel.clocks import Clock
from imd.kernel.timeouts import TimeoutError, with_timeout

#: MongoDB 5.0: ``hello``, and reading what a majority has is always possible.
OLDEST_WIRE_VERSION = 13
#: A server's answers are at most 16 MiB of documents and a little around them.
MAX_REPLY_BYTES = 48_000_000
_HEADER_BYTES = 16
#: Wrong text and dates out of range in one document must not make a whole page unreadable.
_CODEC: CodecOptions[dict[str, Any]] = CodecOptions(
    unicode_decode_error_handler="replace", datetime_conversion=DatetimeConversion.DATETIME_MS
)
_CLIENT = {
    "application": {"name": "imd"},
    "driver": {"name": "txmongo", "version": version("txmongo")},
    "os": {"type": platform.system()},
}
_DONE = Failure(ConnectionDone())


class LinkFailed(Exception):
    """The connection broke, the answer did not come in time or made no sense: its fate is not known."""


class Host(NamedTuple):
    """Where a mongod listens."""

    name: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Host:
        """From ``name:port``, ``[v6]:port`` or ``name``.

        :raises ValueError: it is something else.
        """
        name, colon, port = text.rpartition(":")
        if not colon or name.count(":") > 1 > name.count("["):
            name, port = text, "27017"
        if not name or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
            raise ValueError(f"{text!r} is not HOST:PORT")
        return cls(name.strip("[]"), int(port))

    def __str__(self) -> str:
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"


class Login(NamedTuple):
    """Who we are; ``database`` is where the user is defined."""

    database: str
    user: str
    password: str

    def __repr__(self) -> str:
        return f"Login({self.database!r}, {self.user!r})"


class MongoLink(MongoProtocol):  # type: ignore[misc]
    """One connection. One call at a time: the server answers in order, so a second one would wait behind."""

    def __init__(self) -> None:
        super().__init__()
        self.alive = False
        self.on_lost: Callable[[], None] | None = None
        #: Set by whoever keeps it.
        self.idle_since_s = 0.0
        self._received = bytearray()
        self._loss = "the connection was lost"

    def connectionMade(self) -> None:
        self.alive = True
        super().connectionMade()

    def connectionLost(self, reason: Failure = _DONE) -> None:
        self.alive = False
        if not reason.check(ConnectionDone, ConnectionLost, ConnectionAborted):
            # Above all a certificate that is not what it should be.
            self._loss = f"the connection was lost: {reason.value!r}"
        super().connectionLost(reason)
        if self.on_lost is not None:
            self.on_lost()

    def dataReceived(self, data: bytes) -> None:
        """As txmongo's, which copies all that has come with each piece that comes."""
        received = self._received
        received += data
        while len(received) >= _HEADER_BYTES:
            length = int.from_bytes(received[:4], "little")
            if not _HEADER_BYTES <= length <= MAX_REPLY_BYTES:
                self.abort()
                return
            if len(received) < length:
                return
            message = bytes(received[:length])
            del received[:length]
            try:
                self.handle(MongoDecoder.decode(message))
            except Exception:
                # Whatever this is, it is not what was asked for; who waits for it hears that the link broke.
                self.abort()
                return

    def abort(self) -> None:
        """Close it at once: an answer that nobody waits for any more must not be taken for another's."""
        if self.alive:
            self.alive = False
            self.transport.abortConnection()

    async def call(
        self,
        body: Mapping[str, Any],
        *,
        timeout_s: float,
        clock: Clock,
        section: str = "",
        items: Sequence[bytes] = (),
    ) -> dict[str, Any]:
        """The server's answer, whatever it is; ``items`` are encoded documents for the field ``section``.

        After any failure, a cancelled wait too, the link is closed.

        :raises LinkFailed: there is no answer.
        """
        if not self.alive:
            raise LinkFailed(self._loss)
        message = Msg(body=bson.encode(body), payload={section: items} if section else {})
        try:
            waiting: Deferred[Msg] = self.send_query(message)
            answer = await with_timeout(waiting, timeout_s=timeout_s, clock=clock)
            return bson.decode(answer.body, _CODEC)
        except AutoReconnect:
            raise LinkFailed(self._loss) from None
        except TimeoutError:
            self.abort()
            raise LinkFailed(f"no answer within {timeout_s:g} s") from None
        except BSONError as error:
            self.abort()
            raise LinkFailed(f"an answer that cannot be read: {error}") from None
        except BaseException:
            self.abort()
            raise

    async def hello(self, *, login: Login | None, timeout_s: float, clock: Clock) -> dict[str, Any]:
        """What the server says of itself, and with ``login`` how this user may log in."""
        body: dict[str, Any] = {"hello": 1, "client": _CLIENT, "$db": "admin"}
        if login is not None:
            body["saslSupportedMechs"] = f"{login.database}.{login.user}"
        return await self.call(body, timeout_s=timeout_s, clock=clock)

    async def log_in(self, login: Login, *, timeout_s: float, clock: Clock) -> bool:
        """Whether the server takes this user and password; if not, the link is closed.

        :raises LinkFailed: there is no answer.
        """
        waiting: Deferred[object] = self.authenticate(*login, "SCRAM-SHA-1")
        try:
            await with_timeout(waiting, timeout_s=timeout_s, clock=clock)
        except (MongoAuthenticationError, KeyError):
            # KeyError: txmongo looks for the next step in an answer that is a refusal.
            self.abort()
            return False
        except BaseException as error:
            self.abort()
            if isinstance(error, AutoReconnect | TimeoutError):
                raise LinkFailed("no answer to the login") from None
            raise
        return True


class _Links(Factory):
    """Makes the link, and takes what txmongo tells its factory."""

    protocol = MongoLink
    noisy = False

    def setInstance(self, instance: object = None, reason: object = None) -> None:
        """Called when a link is lost; ``on_lost`` tells those who want to know."""


async def connect(endpoint: IStreamClientEndpoint, *, timeout_s: float, clock: Clock) -> MongoLink:
    """A link to whoever listens there.

    :raises LinkFailed: nobody does.
    """
    connecting: Deferred[MongoLink] = endpoint.connect(_Links())  # type: ignore[assignment]
    try:
        return await with_timeout(connecting, timeout_s=timeout_s, clock=clock)
    except TimeoutError:
        raise LinkFailed(f"no connection within {timeout_s:g} s") from None
    except Exception as error:
        raise LinkFailed(str(error).rstrip(".") or type(error).__name__) from None
