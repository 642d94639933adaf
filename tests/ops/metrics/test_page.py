"""What is answered at the metrics port, and what its callers can do to it."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parsed_open
from prometheus_client.parser import text_string_to_metric_families as parsed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from imd.ops.metrics.page import MAKE_INTERVAL_S, MAX_SCRAPERS, REQUEST_TIMEOUT_S, MetricsPage, MetricsSite
from imd.ops.metrics.readings import Reading, Readings
from imd.ops.site import LINGER_S


class Transport(StringTransport):
    """Remembers whether it was cut off."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class PageTests(SynchronousTestCase):
    """``MetricsPage`` behind ``MetricsSite``."""

    def setUp(self) -> None:
        self.clock = Clock()
        registry = CollectorRegistry()
        self.value = 0
        registry.register(Readings([lambda: [Reading("imd_heartbeats_total", self.value)]]))
        self.page = MetricsPage(registry=registry, clock=self.clock)
        make: Any = MetricsSite
        self.site = make(self.page, reactor=self.clock)

    def connect(self) -> tuple[Any, Transport]:
        channel: Any = self.site.buildProtocol(None)
        transport = Transport()
        channel.makeConnection(transport)
        return channel, transport

    def get(self, headers: bytes = b"", *, path: bytes = b"/metrics", method: bytes = b"GET") -> bytes:
        channel, transport = self.connect()
        channel.dataReceived(b"%b %b HTTP/1.1\r\nHost: h\r\n%b\r\n" % (method, path, headers))
        channel.connectionLost()
        answer: bytes = transport.value()
        return answer

    def test_text(self) -> None:
        """Prometheus's text format, for whoever asks for nothing else; each answer ends its connection."""
        head, _, body = self.get().partition(b"\r\n\r\n")
        self.assertIn(b" 200 ", head)
        self.assertIn(b"text/plain; version=0.0.4", head)
        self.assertIn(b"connection: close", head.lower())
        names = [family.name for family in parsed(body.decode())]
        self.assertIn("imd_heartbeats", names)

    def test_openmetrics(self) -> None:
        """OpenMetrics, for whoever asks for it, however strangely."""
        for accept in (
            b"application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.3",
            b"application/openmetrics-text; version=bogus; escaping=\x7f",
        ):
            head, _, body = self.get(b"Accept: %b\r\n" % accept).partition(b"\r\n\r\n")
            self.assertIn(b"application/openmetrics-text; version=1.0.0", head)
            self.assertTrue(list(parsed_open(body.decode())))
            self.clock.advance(1)

    def test_nothing_else(self) -> None:
        """No other path is there, no other method is done, and no long body is kept."""
        self.assertIn(b" 404 ", self.get(path=b"/"))
        self.assertIn(b" 404 ", self.get(path=b"/healthz"))
        self.assertIn(b" 405 ", self.get(method=b"POST", headers=b"Content-Length: 0\r\n"))
        self.assertIn(b" 413 ", self.get(method=b"POST", headers=b"Content-Length: 99999999\r\n"))

    def test_eager(self) -> None:
        """Who asks without a pause gets the page that was made already."""
        self.get()
        self.value = 5
        self.assertNotIn(b"imd_heartbeats_total 5.0", self.get())
        self.assertEqual(self.page.scrapes, 1)
        self.clock.advance(MAKE_INTERVAL_S)
        self.assertIn(b"imd_heartbeats_total 5.0", self.get())

    def test_pipelined(self) -> None:
        """A thousand requests in one go bring one page."""
        channel, transport = self.connect()
        channel.dataReceived(b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n" * 1000)
        self.assertEqual(transport.value().count(b"HTTP/1.1 200"), 1)
        self.assertTrue(transport.disconnecting)

    def test_half_a_request(self) -> None:
        """Who does not finish a request, or does not read the answer, is cut off."""
        channel, transport = self.connect()
        channel.dataReceived(b"GET /metrics HT")
        self.clock.advance(REQUEST_TIMEOUT_S)
        self.assertTrue(transport.disconnecting)
        self.clock.advance(LINGER_S)
        self.assertTrue(transport.aborted)

    def test_too_many(self) -> None:
        """Connections that stand there without a whole request keep nobody out: the oldest of them makes room."""
        asking, read_slowly = self.connect()
        asking.dataReceived(b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n")
        idle = [self.connect() for _ in range(MAX_SCRAPERS - 1)]
        idle[1][0].dataReceived(b"GET /metrics HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n")
        self.assertIn(b" 200 ", self.get())
        self.assertIn(b" 200 ", self.get())
        newer = self.connect()
        self.assertFalse(newer[1].aborted or read_slowly.aborted)
        self.assertEqual([transport.aborted for _, transport in idle], [True, False] + [False] * 17)
        self.connect()
        self.assertEqual([transport.aborted for _, transport in idle], [True, True] + [False] * 17)
        self.assertEqual(self.site.open_count, MAX_SCRAPERS)

    def test_none_reads(self) -> None:
        """Not even so many that have asked, and do not read, keep one more out."""
        slow = [self.connect() for _ in range(MAX_SCRAPERS)]
        for channel, _ in slow:
            channel.dataReceived(b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n")
        self.assertIn(b" 200 ", self.get())
        self.assertEqual([transport.aborted for _, transport in slow], [True] + [False] * 19)
        slow[5][0].connectionLost()
        self.assertFalse(any(self.connect()[1].aborted for _ in range(2)))
        self.assertEqual(sum(transport.aborted for _, transport in slow), 1)
