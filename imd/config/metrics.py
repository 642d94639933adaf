"""Where the metrics of a process can be read."""

from __future__ import annotations

from imd.config.section import Section


class Metrics(Section, frozen=True):
    """What Prometheus scrapes: /metrics, over HTTP and in the clear (docs/metrics.rst)."""

    listen: str = "127.0.0.1:9464"
    """Empty: not at all; it is counted all the same. A port that is taken is told in the log, and stops nobody."""
    allow_public: bool = False
    """Permit an address that others can reach: they learn how busy the node is, not who says what to whom."""


class CoreMetrics(Metrics, frozen=True):
    """What Prometheus scrapes: /metrics, over HTTP and in the clear (docs/metrics.rst)."""

    listen: str = "127.0.0.1:9470"
    """Empty: not at all; it is counted all the same. A port that is taken is told in the log, and stops nobody. Of
    `--workers N` the first has this port, each further one the next."""


class BusinessMetrics(Metrics, frozen=True):
    """What Prometheus scrapes: /metrics, over HTTP and in the clear (docs/metrics.rst)."""

    listen: str = "127.0.0.1:9465"
    """Empty: not at all; it is counted all the same. A port that is taken is told in the log, and stops nobody."""


class AdminMetrics(Metrics, frozen=True):
    """What Prometheus scrapes: /metrics, over HTTP and in the clear (docs/metrics.rst)."""

    listen: str = "127.0.0.1:9466"
    """Empty: not at all; it is counted all the same. A port that is taken is told in the log, and stops nobody."""
