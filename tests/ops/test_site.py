"""The HTTP port's manners."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.static import Data

from imd.config.address import parse_network
from imd.ops import site
from imd.ops.site import LINGER_S, SMALL_BODY_BYTES, SmallRequest, SteadySite
from imd.wire.trusted_proxies import TrustedProxies

TIMEOUT_S = 30


class Transport(StringTransport):
    """Remembers whether it was cut off."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class Whereabouts(Resource):
    """Answers with where the client is."""

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        return str(request.getClientAddress().host).encode()


class ProxiedTests(SynchronousTestCase):
    """Where clients are."""

    def asked(self, network: str, *headers: bytes) -> bytes:
        make: Any = SteadySite
        proxies = TrustedProxies([parse_network(network)])
        site = make(Whereabouts(), timeout=TIMEOUT_S, reactor=Clock(), proxies=proxies)
        channel = site.buildProtocol(None)
        transport = Transport()
        channel.makeConnection(transport)
        channel.dataReceived(b"\r\n".join([b"GET / HTTP/1.1", b"Host: h", *headers, b"", b""]))
        answer: bytes = transport.value()
        return answer.rpartition(b"\r\n")[2]

    def test_trusted(self) -> None:
        """A proxy of ours is believed, also with a header a hop, and a client of IPv6."""
        ours = "192.168.1.1"
        self.assertEqual(self.asked(ours, b"X-Forwarded-For: 203.0.113.7"), b"203.0.113.7")
        self.assertEqual(
            self.asked(ours, b"X-Forwarded-For: 1.1.1.1", b"x-forwarded-for: 2001:db8::7"), b"2001:db8::7"
        )
        self.assertEqual(self.asked(ours, b"Forwarded: for=203.0.113.7"), b"192.168.1.1")

    def test_spoofed(self) -> None:
        """Anybody else is not."""
        self.assertEqual(self.asked("10.0.0.0/8", b"X-Forwarded-For: 203.0.113.7"), b"192.168.1.1")


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

    def answer(self, request_line: bytes) -> bytes:
        self.transport.clear()
        self.channel.dataReceived(request_line + b" HTTP/1.1\r\nHost: h\r\n\r\n")
        return bytes(self.transport.value())

    def test_canonical(self) -> None:
        """A path that a proxy could have read as another one is refused by any method, and what is wrong is told."""
        for path in (b"/%78", b"x", b"//x", b"/./x", b"/y/../x", b"/x%2f", b"http://h/x"):
            answer = self.answer(b"GET " + path)
            self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), answer)
        head, _, body = self.answer(b"PUT /%78?token=secret").partition(b"\r\n\r\n")
        self.assertIn(b"Content-Type: application/json", head)
        error = json.loads(body)["error"]
        self.assertEqual((error["code"], error["name"]), (1007, "PAYLOAD_INVALID"))
        self.assertTrue(error["message"].endswith("it holds %78, which has to be written x"), error)
        self.assertTrue(self.answer(b"GET /x?a=//..%78").endswith(b"\r\n\r\nhere"), "a query is not a path")

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


class Crowd(SynchronousTestCase):
    """How many may speak HTTP at a time."""

    def setUp(self) -> None:
        make: Any = SteadySite
        self.site: Any = make(Resource(), timeout=TIMEOUT_S, reactor=Clock())

    def connect(self) -> tuple[Any, bool]:
        """The channel of a new peer, and whether it was let in."""
        channel, transport = self.site.buildProtocol(None), Transport()
        channel.makeConnection(transport)
        return channel, not transport.aborted

    def test_too_many(self) -> None:
        """Above the bound a connection is closed at once; when another has left there is room again."""
        self.patch(site, "MAX_CONNECTIONS", 3)
        peers = [self.connect() for _ in range(4)]
        self.assertEqual([let_in for _, let_in in peers], [True, True, True, False])
        peers[0][0].connectionLost()
        self.assertEqual([self.connect()[1] for _ in range(2)], [True, False])

    def test_taken_over(self) -> None:
        """A connection that became a WebSocket does not count, nor is its channel kept."""
        self.patch(site, "MAX_CONNECTIONS", 250)
        for _ in range(1_000):
            channel, let_in = self.connect()
            self.assertTrue(let_in)
            # As the WebSocket resource does it.
            channel.transport = None
        self.assertLess(len(self.site._open), 250)


class SmallRequestTests(SynchronousTestCase):
    """Bodies that are kept."""

    def answer(self, head: bytes, body: bytes) -> bytes:
        root = Resource()
        root.putChild(b"x", Data(b"here", "text/plain"))
        make: Any = SteadySite
        channel: Any = make(root, requestFactory=SmallRequest, reactor=Clock()).buildProtocol(None)
        transport = Transport()
        channel.makeConnection(transport)
        channel.dataReceived(b"GET /x HTTP/1.1\r\nHost: h\r\n" + head + b"\r\n\r\n" + body)
        self.closed = transport.disconnecting
        return bytes(transport.value().split(b"\r\n")[0])

    def test_small(self) -> None:
        """A body that is short, or none, is taken."""
        self.assertEqual(self.answer(b"Content-Length: 2", b"{}"), b"HTTP/1.1 200 OK")
        self.assertEqual(self.answer(b"Accept: */*", b""), b"HTTP/1.1 200 OK")

    def test_large(self) -> None:
        """A body that is long, or does not say how long, is not waited for."""
        length = b"Content-Length: %d" % (SMALL_BODY_BYTES + 1)
        self.assertEqual(self.answer(length, b""), b"HTTP/1.1 413 Content Too Large")
        self.assertTrue(self.closed)
        self.assertEqual(
            self.answer(b"Transfer-Encoding: chunked", b"5\r\nhello\r\n"), b"HTTP/1.1 411 Length Required"
        )
        self.assertTrue(self.closed)
