"""/metrics: the page that Prometheus scrapes, in its text format or as OpenMetrics, whichever is asked for."""

from __future__ import annotations

from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, exposition
from prometheus_client.openmetrics import exposition as openmetrics
from twisted.web import http
from twisted.web.resource import Resource
from twisted.web.server import Request

from imd.kernel.clocks import Clock
from imd.ops.site import SmallRequest, SteadyChannel, SteadySite

#: Whoever asks more often gets the same page again: making it keeps the reactor for some milliseconds.
MAKE_INTERVAL_S = 0.2
#: A request must be complete by then, and its answer read.
REQUEST_TIMEOUT_S = 10
#: A Prometheus or two, a person, and some that hang. Each can keep one page (100 KB) waiting, and no more.
MAX_SCRAPERS = 20

_OPENMETRICS = b"application/openmetrics-text"


class _Made(NamedTuple):
    at_s: float
    body: bytes


class MetricsPage(Resource):
    """Everything that the registry collects."""

    isLeaf = True

    def __init__(self, *, registry: CollectorRegistry, clock: Clock) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._registry = registry
        self._clock = clock
        self._made: dict[bool, _Made] = {}
        #: How often it was made.
        self.scrapes = 0

    def render_GET(self, request: Request) -> bytes:
        # What prometheus_client would choose echoes what the asker wrote of versions.
        is_open = _OPENMETRICS in (request.getHeader(b"accept") or b"")
        request.setHeader(
            b"content-type",
            (openmetrics.CONTENT_TYPE_LATEST if is_open else exposition.CONTENT_TYPE_PLAIN_0_0_4).encode(),
        )
        request.setHeader(b"cache-control", b"no-store")
        # Requests sent behind this one would each bring a page that nobody reads.
        channel: Any = request.channel
        channel.persistent = False
        request.setHeader(b"connection", b"close")
        return self._page(is_open)

    def _page(self, is_open: bool) -> bytes:
        now_s = self._clock.seconds()
        made = self._made.get(is_open)
        if made is None or now_s - made.at_s >= MAKE_INTERVAL_S:
            self.scrapes += 1
            write = openmetrics.generate_latest if is_open else exposition.generate_latest
            made = self._made[is_open] = _Made(now_s, write(self._registry))
        return made.body


class MetricsSite(SteadySite):
    """The page at /metrics, and nothing else. Whoever comes gets in: connections that only stand there make room."""

    def __init__(self, page: MetricsPage, *, reactor: Any) -> None:
        root = Resource()
        root.putChild(b"metrics", page)
        super().__init__(root, timeout=REQUEST_TIMEOUT_S, reactor=reactor, requestFactory=SmallRequest)
        #: Whether each has sent a whole request, the oldest first.
        self._scrapers: dict[SteadyChannel, bool] = {}

    def admit(self, channel: SteadyChannel) -> bool:
        if len(self._scrapers) >= MAX_SCRAPERS:
            # A scrape asks at once and takes some milliseconds, so it is hardly ever one that goes.
            silent = (each for each, has_asked in self._scrapers.items() if not has_asked)
            oldest = next(silent, None) or next(iter(self._scrapers))
            self.left(oldest)
            oldest.forceAbortClient()
        self._scrapers[channel] = False
        return super().admit(channel)

    def getResourceFor(self, request: http.Request) -> Any:
        """See ``SteadySite``; the request is complete."""
        channel: Any = request.channel
        if channel in self._scrapers:
            self._scrapers[channel] = True
        return super().getResourceFor(request)

    def left(self, channel: SteadyChannel) -> None:
        self._scrapers.pop(channel, None)
        super().left(channel)
