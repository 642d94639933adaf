"""The HTTP port's manners, towards peers that have none."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from imd.ops import site
from imd.ops.health import Probe
from imd.ops.site import LINGER_S, SteadySite

TIMEOUT_S = 30
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@implementer(ILogObserver)
class Log(list[Any]):
    """What was logged."""

    def __call__(self, event: Any) -> None:
        self.append(event)


class Connection:
    """A peer, and what became of it."""

    def __init__(self, served_by: SteadySite) -> None:
        self.transport = StringTransport()
        self.channel: Any = served_by.buildProtocol(None)
        self.channel.makeConnection(self.transport)

    @property
    def gone(self) -> bool:
        return self.transport.disconnecting or self.transport.disconnected

    @property
    def answers(self) -> int:
        return int(self.transport.value().count(b"HTTP/1.1 200 OK"))


class Manners(SynchronousTestCase):
    """Time, number and silence."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.site = SteadySite(Probe(lambda: True), timeout=TIMEOUT_S, reactor=self.clock)

    def test_dripping(self) -> None:
        """A request that comes byte by byte has no more time than any other, and is then cut off."""
        peer = Connection(self.site)
        slow = REQUEST[:-2] + b"X: " + b"x" * TIMEOUT_S
        for at in range(TIMEOUT_S - 1):
            peer.channel.dataReceived(slow[at : at + 1])
            self.clock.advance(1)
        self.assertFalse(peer.gone)
        self.clock.advance(1)
        self.assertTrue(peer.transport.disconnecting)
        self.clock.advance(LINGER_S)
        self.assertTrue(peer.transport.disconnected)

    def test_one_after_another(self) -> None:
        """Each request has its own time."""
        peer = Connection(self.site)
        for count in range(1, 5):
            self.clock.advance(TIMEOUT_S - 1)
            peer.channel.dataReceived(REQUEST)
            self.assertEqual((peer.answers, peer.gone), (count, False))

    def test_silence(self) -> None:
        """Neither requests nor slow peers leave a line in the log."""
        log = Log()
        globalLogPublisher.addObserver(log)
        self.addCleanup(globalLogPublisher.removeObserver, log)
        peer = Connection(self.site)
        peer.channel.dataReceived(REQUEST)
        self.clock.advance(TIMEOUT_S)
        self.clock.advance(LINGER_S)
        self.assertTrue(peer.gone)
        self.assertEqual(log, [])

    def test_too_many(self) -> None:
        """Above the bound a connection is closed at once; when another has left there is room again."""
        self.patch(site, "MAX_CONNECTIONS", 3)
        peers = [Connection(self.site) for _ in range(4)]
        self.assertEqual([peer.gone for peer in peers], [False, False, False, True])
        peers[0].channel.connectionLost()
        again = [Connection(self.site) for _ in range(2)]
        self.assertEqual([peer.gone for peer in again], [False, True])

    def test_taken_over(self) -> None:
        """A connection that became a WebSocket does not count, nor is its channel kept."""
        self.patch(site, "MAX_CONNECTIONS", 250)
        for _ in range(1_000):
            peer = Connection(self.site)
            self.assertFalse(peer.gone)
            # As the WebSocket resource does it.
            peer.channel.transport = None
        self.assertLess(len(self.site._open), 250)
