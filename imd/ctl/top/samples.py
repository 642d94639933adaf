"""What one node said at one moment, and what changed between two of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from prometheus_client.parser import text_string_to_metric_families

_INFINITY = math.inf


class Samples:
    """All series of one scrape.

    :param at_s: monotonic time at which they were asked for.
    """

    def __init__(self, series: Iterable[tuple[str, Mapping[str, str], float]], *, at_s: float) -> None:
        self.at_s = at_s
        self._series: dict[str, list[tuple[Mapping[str, str], float]]] = {}
        for name, labels, value in series:
            self._series.setdefault(name, []).append((labels, value))

    def sum(self, name: str, **labels: str) -> float | None:
        """Of all series of that name with these labels; None if there are none."""
        values = [value for known, value in self._series.get(name, ()) if labels.items() <= known.items()]
        return math.fsum(values) if values else None

    def count(self, name: str, **labels: str) -> int | None:
        """The same, of what comes in whole numbers."""
        value = self.sum(name, **labels)
        return None if value is None or not math.isfinite(value) else int(value)

    def by(self, name: str, label: str) -> dict[str, float]:
        """Sums by the values of one label."""
        sums: dict[str, float] = {}
        for known, value in self._series.get(name, ()):
            key = known.get(label, "")
            sums[key] = sums.get(key, 0.0) + value
        return sums

    def label(self, name: str, label: str) -> str:
        """The label's value in the first series of that name, or ""."""
        for known, _ in self._series.get(name, ()):
            return known.get(label, "")
        return ""

    def buckets(self, name: str, **labels: str) -> dict[float, float]:
        """Upper bound -> observations up to it, of a histogram, over all its other labels."""
        sums: dict[float, float] = {}
        for known, value in self._series.get(f"{name}_bucket", ()):
            bound = _bound(known.get("le", ""))
            if bound is not None and labels.items() <= known.items():
                sums[bound] = sums.get(bound, 0.0) + value
        return sums


def parsed(text: str, *, at_s: float) -> Samples:
    """From Prometheus' text format.

    :raises ValueError: it is something else.
    """
    try:
        families = list(text_string_to_metric_families(text))
    except Exception as error:
        # The parser has no error of its own: what is not the format breaks it in many ways.
        raise ValueError(f"not Prometheus' text format: {error!r}") from error
    if not families:
        raise ValueError("no metric at all")
    return Samples(
        ((sample.name, sample.labels, sample.value) for family in families for sample in family.samples),
        at_s=at_s,
    )


class Change:
    """Between two scrapes of one node. A counter that fell belongs to a node that started anew: it counts from 0."""

    def __init__(self, before: Samples, now: Samples) -> None:
        self._before = before
        self._now = now
        self._elapsed_s = now.at_s - before.at_s

    def rate(self, name: str, **labels: str) -> float | None:
        """Of a counter, a second; None if there is none."""
        now = self._now.sum(name, **labels)
        if now is None or self._elapsed_s <= 0:
            return None
        return _grown(self._before.sum(name, **labels) or 0.0, now) / self._elapsed_s

    def quantile(self, share: float, name: str, **labels: str) -> float | None:
        """Of what a histogram observed in between, as PromQL's ``histogram_quantile`` has it; None: of nothing."""
        before = self._before.buckets(name, **labels)
        now = self._now.buckets(name, **labels)
        if now.get(_INFINITY, 0.0) < before.get(_INFINITY, 0.0):
            before = {}
        return quantile(share, {bound: count - before.get(bound, 0.0) for bound, count in now.items()})


def quantile(share: float, buckets: Mapping[float, float]) -> float | None:
    """The value below which ``share`` of the observations lie, evenly spread within a bucket.

    :param buckets: upper bound -> observations up to it, with infinity.
    :returns: the highest finite bound for what lies above it; None without observations.
    """
    bounds = sorted(buckets)
    if len(bounds) < 2 or bounds[-1] != _INFINITY or not buckets[_INFINITY] > 0:
        return None
    rank = share * buckets[_INFINITY]
    lower, below = 0.0, 0.0
    for bound in bounds:
        count = buckets[bound]
        if count >= rank:
            if bound == _INFINITY:
                return bounds[-2]
            inside = count - below
            return bound if inside <= 0 else lower + (bound - lower) * (rank - below) / inside
        lower, below = bound, count
    return bounds[-2]


def _bound(text: str) -> float | None:
    """Of a bucket; None: it is none of a histogram."""
    try:
        bound = float(text)
    except ValueError:
        return None
    return None if math.isnan(bound) else bound


def _grown(before: float, now: float) -> float:
    return now - before if now >= before else now
