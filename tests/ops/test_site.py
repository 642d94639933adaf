"""The HTTP port's manners."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.static import Data

from imd.ops.site import LINGER_S, SteadySite

TIMEOUT_S = 30


class Transport(StringTransport):
    """Remembers whether it was cut off."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class SteadySiteTests(SynchronousTestCase):
    """Slow clients and what is written down about all of them."""

    def setUp(self) -> None:
        self.clock = Clock()
        root = Resource()
        root.putChild(b"x", Data(b"here", "text/plain"))
        make: Any = SteadySite
        site = make(root, timeout=TIMEOUT_S, reactor=self.clock)
        self.channel: Any = site.buildProtocol(None)
        self.transport = Transport()
        self.channel.makeConnection(self.transport)

    def test_request(self) -> None:
        """Requests are answered, one after the other on a connection."""
        for _ in range(2):
            self.channel.dataReceived(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
            self.assertTrue(self.transport.value().endswith(b"\r\n\r\nhere"))
            self.clock.advance(TIMEOUT_S - 1)
        self.assertFalse(self.transport.disconnecting)

    def test_dribble(self) -> None:
        """A byte now and then does not keep a request open for longer."""
        for byte in b"GET /x HTTP/1.1\r\nHost: h"[: TIMEOUT_S // 2]:
            self.assertFalse(self.transport.disconnecting)
            self.channel.dataReceived(bytes([byte]))
            self.clock.advance(2)
        self.assertTrue(self.transport.disconnecting)
        self.clock.advance(LINGER_S)
        self.assertTrue(self.transport.aborted)

    def test_no_line_a_request(self) -> None:
        """Neither requests nor slow clients are logged: a path can hold what is nobody's business."""
        said: list[LogEvent] = []
        observer: Any = said.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.channel.dataReceived(b"GET /x?token=secret HTTP/1.1\r\nHost: h\r\n\r\n")
        self.clock.advance(TIMEOUT_S + LINGER_S)
        self.assertEqual(said, [])
