"""Native clients over TCP and TLS."""

from __future__ import annotations

import errno
import socket
from typing import Any

from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.internet.tcp import Port, Server
from twisted.logger import ILogObserver, LogEvent, Logger, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from imd.core.gateway.gateway import Gateway
from imd.core.gateway.session import Session
from imd.kernel.clocks import Clock
from imd.kernel.token_bucket import TokenBucket
from imd.wire.outbound import Outbound

#: A peer that does not take the last frames in so long is cut off.
CLOSE_TIMEOUT_S = 5.0
#: Of each kind that a port has to say.
MAX_LINES_PER_MINUTE = 10
_WOULD_BLOCK = (errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS)


class DirectServer(Server):
    """A TCP transport whose ``write`` tries the socket at once while its buffer is empty.

    Twisted's own waits a reactor turn and registers for writability each time, which costs more
    than the write itself. What the socket does not take goes the usual way.
    """

    def write(self, data: bytes) -> None:
        if self._tempDataBuffer or self.offset < len(self.dataBuffer) or not self.connected:
            super().write(data)  # type: ignore[no-untyped-call]
            return
        if self._writeDisconnected or self.disconnecting:
            return
        try:
            sent = self.socket.send(data)
        except OSError as error:
            if error.args[0] not in _WOULD_BLOCK:
                # Not by the reactor: libuv has closed its handle of a socket that was reset.
                self.abortConnection()  # type: ignore[no-untyped-call]
                return
            sent = 0
        if sent < len(data):
            super().write(data[sent:])  # type: ignore[no-untyped-call]


@implementer(ILogObserver)
class _Few:
    """Passes each kind of event on a few times a minute, by the events' own time."""

    def __init__(self) -> None:
        self._buckets: dict[str, TokenBucket] = {}

    def __call__(self, event: LogEvent) -> None:
        kind, now_s = str(event.get("log_format")), float(event["log_time"])
        tokens = self._buckets.get(kind)
        if tokens is None:
            burst = MAX_LINES_PER_MINUTE
            tokens = self._buckets[kind] = TokenBucket(rate_per_s=burst / 60, burst=burst, now_s=now_s)
        if tokens.take(now_s):
            globalLogPublisher(event)


class SparingPort(Port):
    """A listening TCP port; out of file descriptors, it does not log three lines for every connection refused."""

    _logger = Logger(observer=_Few())
    #: Set before it listens: other processes listen here, too, and the kernel deals out connections.
    shared = False

    def createInternetSocket(self) -> socket.socket:
        created: socket.socket = super().createInternetSocket()  # type: ignore[no-untyped-call]
        if self.shared:
            created.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        return created


class DirectPort(SparingPort):
    """A listening TCP port whose connections are ``DirectServer``."""

    transport = DirectServer


class TcpLink(Protocol):
    """One TCP or TLS connection."""

    _session: Session | None = None
    _closing: IDelayedCall | None = None

    def __init__(self, *, gateway: Gateway, clock: Clock, address: str) -> None:
        self._gateway = gateway
        self._clock = clock
        self.address = address

    # From Twisted

    def connectionMade(self) -> None:
        session = self._gateway.open(self)
        if session is None:
            self.abort()
            return
        self._session = session
        transport: Any = self.transport
        transport.registerProducer(self, True)
        set_no_delay = getattr(transport, "setTcpNoDelay", None)
        if set_no_delay is not None:
            set_no_delay(True)

    def dataReceived(self, data: bytes) -> None:
        session = self._session
        if session is not None:
            session.connection.feed_stream(data)
            self._gateway.received(session)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._closing is not None and self._closing.active():
            self._closing.cancel()
        session, self._session = self._session, None
        if session is not None:
            self._gateway.lost(session)

    def pauseProducing(self) -> None:
        """The transport's buffer is full."""
        session = self._session
        if session is not None:
            session.blocked(self._clock.seconds())

    def resumeProducing(self) -> None:
        """The transport's buffer is empty again."""
        session = self._session
        if session is not None:
            session.unblocked()

    def stopProducing(self) -> None:
        """The transport is gone; connectionLost follows."""

    # Link

    def send(self, batch: list[Outbound]) -> None:
        transport: Any = self.transport
        if len(batch) == 1:
            transport.write(batch[0].frames)
        else:
            transport.write(b"".join([outbound.frames for outbound in batch]))

    def pause_reading(self) -> None:
        transport: Any = self.transport
        transport.pauseProducing()

    def resume_reading(self) -> None:
        transport: Any = self.transport
        if not transport.disconnecting:
            transport.resumeProducing()

    def close(self) -> None:
        transport: Any = self.transport
        if self._closing is None:
            self._closing = self._clock.callLater(CLOSE_TIMEOUT_S, self.abort)
            # A producer that is still registered would keep the connection open.
            transport.unregisterProducer()
            transport.loseConnection()

    def abort(self) -> None:
        transport: Any = self.transport
        transport.abortConnection()


class TcpFactory(ServerFactory):
    """Builds a link for each connection."""

    noisy = False

    def __init__(self, *, gateway: Gateway, clock: Clock) -> None:
        self._gateway = gateway
        self._clock = clock

    def buildProtocol(self, addr: IAddress | None) -> TcpLink:
        return TcpLink(gateway=self._gateway, clock=self._clock, address=getattr(addr, "host", "local"))
