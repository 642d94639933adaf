"""Connections over one's own proxies."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from imd.config.address import parse_network
from imd.core.gateway.proxied import HEADER_TIMEOUT_S, ProxiedFactory
from imd.wire.trusted_proxies import TrustedProxies

HEADER = b"PROXY TCP4 203.0.113.7 10.0.0.9 4711 7700\r\n"


class Transport(StringTransport):
    """Hands on to whatever protocol it has, as a socket does."""

    protocol: Protocol
    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True
        self.protocol.connectionLost(Failure(ConnectionDone()))


class Client(Protocol):
    """What the port is for."""

    def __init__(self, address: Any) -> None:
        self.host: str = address.host
        self.got = b""
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.lost = True


class Arriving(SynchronousTestCase):
    """A port with one trusted network."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clients: list[Client] = []
        wrapped = Factory()
        wrapped.buildProtocol = self.build  # type: ignore[method-assign, assignment]
        proxies = TrustedProxies([parse_network("10.0.0.0/24")])
        self.factory = ProxiedFactory(wrapped, proxies=proxies, clock=self.clock)

    def build(self, address: Any) -> Client:
        self.clients.append(Client(address))
        return self.clients[-1]

    def connect(self, host: str) -> Transport:
        transport = Transport()
        transport.protocol = self.factory.buildProtocol(IPv4Address("TCP", host, 1234))
        transport.protocol.makeConnection(transport)
        return transport

    def test_announced(self) -> None:
        """The client is where the header says, and gets what follows it; then nothing stands between."""
        transport = self.connect("10.0.0.1")
        for byte in HEADER[:-1]:
            transport.protocol.dataReceived(bytes([byte]))
        self.assertEqual(self.clients, [])
        transport.protocol.dataReceived(HEADER[-1:] + b"first")
        (client,) = self.clients
        self.assertIs(transport.protocol, client)
        self.assertIs(client.transport, transport)
        transport.protocol.dataReceived(b" second")
        self.assertEqual((client.host, client.got), ("203.0.113.7", b"first second"))
        self.clock.advance(HEADER_TIMEOUT_S)
        self.assertFalse(transport.aborted)
        transport.abortConnection()
        self.assertTrue(client.lost)

    def test_health_check(self) -> None:
        """A proxy that speaks for itself is the client."""
        self.connect("10.0.0.1").protocol.dataReceived(b"PROXY UNKNOWN\r\n")
        self.assertEqual([client.host for client in self.clients], ["10.0.0.1"])

    def test_attacker(self) -> None:
        """Somebody else's header is not one: they are where they are, and it is what they sent."""
        transport = self.connect("198.51.100.6")
        transport.protocol.dataReceived(HEADER)
        (client,) = self.clients
        self.assertEqual((client.host, client.got), ("198.51.100.6", HEADER))

    def test_twice(self) -> None:
        """A second header is what the client sent: it cannot say again where it is."""
        self.connect("10.0.0.1").protocol.dataReceived(HEADER + b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n")
        (client,) = self.clients
        self.assertEqual(client.host, "203.0.113.7")
        self.assertTrue(client.got.startswith(b"PROXY TCP4 1.1.1.1"))

    def test_no_header(self) -> None:
        """A proxy that sends none is cut off at the first wrong byte, nobody is let in under its address, and it is told."""
        transport = self.connect("10.0.0.1")
        transport.protocol.dataReceived(b"\x05hello")
        self.assertTrue(transport.aborted)
        self.assertEqual(self.clients, [])

    def test_silent(self) -> None:
        """One that sends nothing, or half, does not stay."""
        for begun in (b"", HEADER[:9]):
            transport = self.connect("10.0.0.1")
            transport.protocol.dataReceived(begun)
            self.clock.advance(HEADER_TIMEOUT_S)
            self.assertTrue(transport.aborted)
        self.assertEqual(self.clients, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_gone(self) -> None:
        """A connection that ends before leaves no timer behind."""
        transport = self.connect("10.0.0.1")
        transport.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.clock.getDelayedCalls(), [])
