"""Native clients: the transport that writes at once, and the link on it."""

from __future__ import annotations

import errno
import socket
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from imd.core.gateway.tcp import CLOSE_TIMEOUT_S, DirectServer, TcpFactory, TcpLink
from imd.pb.connection_pb2 import Heartbeat
from imd.pb.envelope_pb2 import Envelope
from imd.wire.codec import encode
from imd.wire.outbound import Priority, deliver
from tests.core.gateway.world import World, connect


class FdSet(Clock):
    """Remembers who waits for what; the test turns the crank."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[object] = set()
        self.writers: set[object] = set()

    def addReader(self, reader: object) -> None:
        self.readers.add(reader)

    def addWriter(self, writer: object) -> None:
        self.writers.add(writer)

    def removeReader(self, reader: object) -> None:
        self.readers.discard(reader)

    def removeWriter(self, writer: object) -> None:
        self.writers.discard(writer)


class Producer:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


class StubbornSocket:
    """A socket that takes so many bytes at a time, or fails."""

    def __init__(self, real: socket.socket, *, takes: int = 1 << 30, error: int = 0) -> None:
        self._real = real
        self.takes = takes
        self.error = error
        self.calls = 0

    def send(self, data: bytes | memoryview) -> int:
        self.calls += 1
        if self.error:
            raise OSError(self.error, "as the test wants")
        return self._real.send(data[: self.takes])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class DirectServerTests(SynchronousTestCase):
    """``write`` on a real socket pair."""

    def setUp(self) -> None:
        ours, self.peer = socket.socketpair()
        for each in (ours, self.peer):
            each.setblocking(False)
            self.addCleanup(each.close)
        self.socket = StubbornSocket(ours)
        self.reactor = FdSet()
        self.protocol = Protocol()
        make: Any = DirectServer
        self.transport = make(self.socket, self.protocol, ("127.0.0.1", 1), None, 1, self.reactor)
        self.protocol.makeConnection(self.transport)

    def came(self) -> bytes:
        data = b""
        while True:
            try:
                some = self.peer.recv(1 << 20)
            except BlockingIOError:
                return data
            if not some:
                return data
            data += some

    def test_at_once(self) -> None:
        """What the socket takes is out when write returns, and nobody waits for writability."""
        self.transport.write(b"hello")
        self.assertEqual((self.came(), self.reactor.writers), (b"hello", set()))

    def test_short_write(self) -> None:
        """The rest goes the usual way, behind what is out, and what follows goes behind that."""
        self.socket.takes = 3
        self.transport.write(b"abcdef")
        self.transport.write(b"ghi")
        self.assertEqual((self.socket.calls, self.came()), (1, b"abc"))
        self.assertEqual(self.reactor.writers, {self.transport})
        self.socket.takes = 1 << 30
        self.transport.doWrite()
        self.transport.write(b"jkl")
        self.assertEqual(self.came(), b"defghijkl")
        self.assertEqual(self.reactor.writers, set())

    def test_full(self) -> None:
        """A socket that takes nothing costs no byte."""
        for code in (errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS):
            self.socket.error = code
            self.transport.write(b"x")
            self.socket.error = 0
            self.transport.doWrite()
            self.assertEqual(self.came(), b"x")

    def test_error(self) -> None:
        """A broken connection ends in a turn of its own, not inside the caller of write."""
        lost: list[Failure] = []
        self.protocol.connectionLost = lost.append  # type: ignore[method-assign, assignment]
        self.socket.error = errno.EPIPE
        self.transport.write(b"x")
        self.transport.write(b"y")
        self.assertEqual((lost, self.reactor.writers), ([], set()))
        self.reactor.advance(0)
        self.assertEqual(len(lost), 1)

    def test_producer(self) -> None:
        """The producer is paused when the buffer is full and resumed when it is empty again."""
        producer = Producer()
        self.transport.registerProducer(producer, True)
        self.socket.takes = 10
        self.transport.write(b"x" * 200_000)
        self.assertEqual(producer.told, ["pause"])
        self.socket.takes = 1 << 30
        data = self.came()
        while self.transport in self.reactor.writers:
            self.transport.doWrite()
            data += self.came()
        self.assertEqual((producer.told, len(data)), (["pause", "resume"], 200_000))

    def test_after_close(self) -> None:
        """After loseConnection and after the end nothing is written."""
        self.transport.loseConnection()
        self.transport.write(b"late")
        self.assertEqual(self.came(), b"")
        self.transport.connectionLost(Failure(ConnectionDone()))
        self.transport.write(b"later")
        self.assertEqual(self.came(), b"")


class LinkTransport(StringTransport):
    """What a link asks of a transport."""

    disconnecting = False
    aborted = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.no_delay = enabled

    def abortConnection(self) -> None:
        self.aborted = True
        self.disconnected = True


class TcpLinkTests(SynchronousTestCase):
    """A connection from accept to close."""

    def setUp(self) -> None:
        self.world = World(max_connections=1)
        clock: Any = self.world.clock
        self.factory = TcpFactory(gateway=self.world.gateway, clock=clock)
        self.link, self.transport = self.reach()

    def reach(self) -> tuple[TcpLink, LinkTransport]:
        link = self.factory.buildProtocol(None)
        transport = LinkTransport()
        link.makeConnection(transport)
        return link, transport

    def test_dialogue(self) -> None:
        """Frames in, frames out, one write for what belongs together."""
        self.link.dataReceived(encode(connect()))
        self.world.turn()
        self.assertIn(b"core-0", self.transport.value())
        self.transport.clear()
        session = self.world.registry.of_user(1)[0]
        for _ in range(2):
            session.push(deliver(b"", Priority.NORMAL))
        self.world.turn()
        self.assertEqual(self.transport.value(), deliver(b"", Priority.NORMAL).frames * 2)

    def test_refused(self) -> None:
        """One connection too many is cut at once and leaves nothing behind."""
        link, transport = self.reach()
        self.assertTrue(transport.aborted)
        link.dataReceived(b"x")
        link.connectionLost()
        self.assertEqual(len(self.world.registry), 1)

    def test_back_pressure(self) -> None:
        """While the transport is full nothing is read or written; then both go on."""
        self.link.dataReceived(encode(connect()))
        self.world.turn()
        self.transport.clear()
        self.link.pauseProducing()
        self.world.registry.of_user(1)[0].push(deliver(b"", Priority.NORMAL))
        self.world.turn()
        self.assertEqual((self.transport.value(), self.transport.producerState), (b"", "paused"))
        self.link.resumeProducing()
        self.assertEqual(self.transport.value(), deliver(b"", Priority.NORMAL).frames)
        self.assertEqual(self.transport.producerState, "producing")

    def test_close(self) -> None:
        """A closed link takes its leave; who does not let it go is cut off after 5 s."""
        self.link.dataReceived(b"\xff" * 9)
        self.assertTrue(self.transport.disconnecting)
        self.assertIsNone(self.transport.producer)
        self.world.clock.advance(CLOSE_TIMEOUT_S)
        self.assertTrue(self.transport.aborted)

    def test_nothing_is_left(self) -> None:
        """After the end no timer, no session and no count remains."""
        self.link.dataReceived(b"\xff" * 9)
        self.link.connectionLost()
        self.world.turn()
        self.assertEqual(self.world.clock.getDelayedCalls(), [])
        self.assertEqual((len(self.world.registry), self.world.registry.stranger_count), (0, 0))

    def test_late_callbacks(self) -> None:
        """What a transport may still call after the end does nothing."""
        self.link.connectionLost()
        self.link.pauseProducing()
        self.link.resumeProducing()
        self.link.stopProducing()
        self.link.dataReceived(encode(Envelope(hb=Heartbeat())))
        self.assertEqual(len(self.world.registry), 0)
