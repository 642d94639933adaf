"""What every process has: its port for metrics, and what it says of itself."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, GCCollector
from twisted.internet.interfaces import IListeningPort

from imd.config.address import parse_address
from imd.core.gateway.tcp import SparingPort
from imd.kernel.clocks import Clock, system_wall_clock
from imd.kernel.lifecycle import Stage
from imd.ops.health import Readiness
from imd.ops.metrics.lag import ReactorLag
from imd.ops.metrics.page import MetricsPage, MetricsSite
from imd.ops.metrics.port import MetricsPort
from imd.ops.metrics.proc import ProcessFamilies
from imd.ops.metrics.readings import Reading, Readings, Source
from imd.ops.version import version
from imd.roles.metrics.certificate import certificate_source

#: Scrapers that the kernel keeps waiting.
_BACKLOG = 20


class Identity(NamedTuple):
    """Which process this is.

    :param role: as twistd names it.
    :param node: as the logs of others name it, such as ``core-7``.
    """

    role: str
    node: str


def metrics_stages(
    listen: str,
    sources: Iterable[Source],
    *,
    identity: Identity,
    readiness: Readiness,
    certificate_file: str,
    reactor: Any,
) -> list[tuple[str, Stage]]:
    """Come first, so that one sees a node that cannot start, or does not end.

    :param certificate_file: what TLS is served with; empty: it is not.
    """
    lag = ReactorLag(clock=reactor)
    own: list[Source] = [partial(_process, identity, readiness, lag)]
    if certificate_file:
        own.append(certificate_source(certificate_file))
    page = metrics_page([*sources, *own], clock=reactor)
    stages: list[tuple[str, Stage]] = [("reactor lag", lag)]
    if listen:
        opened = partial(_open, listen, MetricsSite(page, reactor=reactor), reactor)
        stages.append(("metrics", MetricsPort(listen, listen=opened, clock=reactor)))
    return stages


def metrics_page(sources: Iterable[Source], *, clock: Clock) -> MetricsPage:
    """All that these say, and what the operating system and Python know of the process."""
    registry = CollectorRegistry()
    readings = Readings(sources)
    registry.register(readings)
    registry.register(ProcessFamilies(seconds=clock.seconds, wall_clock=system_wall_clock))
    GCCollector(registry=registry)
    page = MetricsPage(registry=registry, clock=clock)
    readings.add(lambda: [Reading("imd_metrics_scrapes_total", page.scrapes)])
    return page


def _open(listen: str, site: MetricsSite, reactor: Any) -> IListeningPort:
    host, number = parse_address(listen)
    port = SparingPort(number, site, _BACKLOG, host, reactor)
    port.startListening()
    return port


def _process(identity: Identity, readiness: Readiness, lag: ReactorLag) -> Iterator[Reading]:
    yield Reading("imd_build_info", 1, (identity.node, identity.role, version(), platform.python_version()))
    yield Reading("imd_reactor_lag_seconds", lag.lag)
    yield Reading("imd_ready", readiness.is_ready())
    for part, is_well in readiness.parts():
        yield Reading("imd_part_ready", is_well, (part,))
