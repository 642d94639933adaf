"""What a run found, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imd.client.load.plan import Report
from imd.client.load.tally import percentile_ms


@dataclass(kw_only=True)
class Result:
    """One finished run. Everything was counted from what clients saw."""

    scenario: str
    connections: int
    counts: Mapping[str, int] = field(default_factory=dict)
    lost: int = 0
    unsettled: int = 0
    #: Over the time of full load, without the wait for stragglers.
    rate_per_s: float = 0.0
    deliveries_per_s: float = 0.0
    latency_ms: Mapping[str, float | None] = field(default_factory=dict)
    ack_latency_ms: Mapping[str, float | None] = field(default_factory=dict)
    #: Part of both: how late the load generator itself was, with --rate.
    load_late_ms: Mapping[str, float | None] = field(default_factory=dict)
    server_cpu_us_per_message: float | None = None
    load_cpu_us_per_message: float | None = None
    server_rss_bytes: int | None = None
    rss_bytes_per_connection: float | None = None
    findings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    #: What only this scenario measures.
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def wrong(self) -> list[str]:
        """Why this run is a failure, in words; empty when it is none."""
        named = {
            "lost": self.lost,
            "duplicated": self.counts.get("duplicated", 0),
            "reordered": self.counts.get("reordered", 0),
            "sends never settled": self.unsettled,
        }
        reasons = [f"{count} {name}" for name, count in named.items() if count]
        if self.counts.get("sent") and not self.counts.get("stored"):
            reasons.append("nothing was stored")
        return reasons

    def as_dict(self) -> dict[str, Any]:
        """The object of --json."""
        counts = self.counts
        main = {
            "scenario": self.scenario,
            "connections": self.connections,
            "sent": counts.get("sent", 0),
            "stored": counts.get("stored", 0),
            "delivered": counts.get("delivered", 0),
            "lost": self.lost,
            "duplicated": counts.get("duplicated", 0),
            "reordered": counts.get("reordered", 0),
            "rate_per_s": round(self.rate_per_s, 1),
            "deliveries_per_s": round(self.deliveries_per_s, 1),
            "latency_ms": dict(self.latency_ms),
            "ack_latency_ms": dict(self.ack_latency_ms),
            "load_late_ms": dict(self.load_late_ms),
            "server_cpu_us_per_message": self.server_cpu_us_per_message,
            "load_cpu_us_per_message": self.load_cpu_us_per_message,
            "server_rss_bytes": self.server_rss_bytes,
            "rss_bytes_per_connection": self.rss_bytes_per_connection,
            "unsettled": self.unsettled,
        }
        rest = {name: count for name, count in counts.items() if name not in main and name != "connected"}
        return main | rest | self.extra | {"findings": self.findings, "first_errors": self.errors}

    def as_json(self) -> str:
        return json.dumps(self.as_dict())

    def as_table(self) -> str:
        """Name and value a line; zeros of the side counts are left out."""
        lines = []
        for name, value in self.as_dict().items():
            if isinstance(value, dict):
                value = "  ".join(f"{key} {_shown(part)}" for key, part in value.items())
            elif isinstance(value, list):
                value = "\n".join(str(part) for part in value).replace("\n", "\n" + " " * 28)
            optional = name not in ("lost", "duplicated", "reordered")
            if value in (None, "", 0) and optional:
                continue
            lines.append(f"{name:<28}{_shown(value)}")
        return "\n".join(lines)


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def latency(reports: Sequence[Report], which: str, longest: str) -> dict[str, float | None]:
    """p50, p99 and max of all workers together; ``which`` and ``longest`` are fields of a report."""
    pairs = [pair for report in reports for pair in getattr(report, which)]
    return _quantiles(pairs, max((getattr(report, longest) for report in reports), default=0))


def _quantiles(pairs: Sequence[tuple[int, int]], longest_ns: int) -> dict[str, float | None]:
    return {
        "p50": percentile_ms(pairs, 0.5),
        "p99": percentile_ms(pairs, 0.99),
        "max": round(longest_ns / 1e6, 2) if pairs else None,
    }
