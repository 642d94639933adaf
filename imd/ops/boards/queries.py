"""The PromQL that boards have in common; ``$instance`` and ``$__rate_interval`` are Grafana's."""

from __future__ import annotations

from imd.ops.boards.model import Panel, Query


def rate(name: str, *, by: str = "instance", having: str = "") -> str:
    """PromQL: how much a counter grows a second at the chosen nodes, by a label."""
    return f"sum by ({by}) (rate({chosen(name, having)}[$__rate_interval]))"


def quantile(share: float, name: str, *, by: str = "instance", having: str = "") -> str:
    """PromQL: of what a histogram observed at the chosen nodes, by a label."""
    buckets = f"sum by (le, {by}) (rate({chosen(f'{name}_bucket', having)}[$__rate_interval]))"
    return f"histogram_quantile({share}, {buckets})"


def mean(name: str) -> str:
    """PromQL: the mean of what a histogram observed at the chosen nodes."""
    return f"{rate(f'{name}_sum')} / {rate(f'{name}_count')}"


def chosen(name: str, having: str = "") -> str:
    """PromQL: the series of the nodes that were chosen at the top of the board."""
    matchers = ['instance=~"$instance"', *([having] if having else [])]
    return f"{name}{{{', '.join(matchers)}}}"


def latency(name: str, title: str, description: str, *, having: str = "") -> Panel:
    """Median and 99th percentile of a histogram in seconds, for each node."""
    queries = (
        Query(quantile(0.5, name, having=having), "{{instance}} p50"),
        Query(quantile(0.99, name, having=having), "{{instance}} p99"),
    )
    return Panel(title, description, "s", queries)
