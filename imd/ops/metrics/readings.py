"""From the counters of a process to what Prometheus reads: looked at when it is asked for, and not before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from prometheus_client import Metric as Family
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from twisted.logger import Logger

from imd.kernel.histogram import Histogram
from imd.ops.metrics.catalogue import CATALOGUE
from imd.ops.metrics.model import Kind, Metric

Value = float | Histogram


class Reading(NamedTuple):
    """What something stands at now.

    :param name: of the catalogue.
    :param labels: their values, in the order of the catalogue.
    """

    name: str
    value: Value
    labels: tuple[str, ...] = ()


#: Reads the counters of one part; cheap, for it holds up everything else.
Source = Callable[[], Iterable[Reading]]


def by_label(name: str, counts: Mapping[str, float]) -> Iterator[Reading]:
    """Of counters that are kept by the value of the one label there is."""
    for label, value in counts.items():
        yield Reading(name, value, (label,))


def one_of(name: str, states: Iterable[str], current: str) -> Iterator[Reading]:
    """A state: 1 for the one that holds, 0 for the others."""
    for state in states:
        yield Reading(name, state == current, (state,))


class Readings(Collector):
    """All parts of one process. What several parts have of the same, adds up.

    A part that cannot be read is left out, counted and told in the log: the others are what one wants to see then.
    """

    _log = Logger()

    def __init__(self, sources: Iterable[Source] = ()) -> None:
        self._sources = list(sources)
        self._failing: set[Source] = set()
        self.failures = 0

    def add(self, *sources: Source) -> None:
        """Read these, too, from now on."""
        self._sources += sources

    def collect(self) -> Iterator[Family]:
        """See ``prometheus_client.registry.Collector``."""
        found: dict[str, dict[tuple[str, ...], Value]] = {}
        for source in list(self._sources):
            for name, value, labels in self._read(source):
                series = found.setdefault(name, {})
                known = series.get(labels)
                series[labels] = value if known is None else _sum(known, value)
        # After all that may fail.
        found.setdefault("imd_metrics_failures_total", {})[()] = self.failures
        for name, metric in CATALOGUE.items():
            if name in found:
                yield _family(metric, found[name])

    def _read(self, source: Source) -> list[Reading]:
        try:
            readings = list(source())
            for reading in readings:
                _check(reading)
        except Exception:
            self.failures += 1
            if source not in self._failing:
                self._failing.add(source)
                self._log.failure(
                    "the metrics of {part} cannot be read, and are missing; told once until they can",
                    part=getattr(source, "__qualname__", source),
                )
            return []
        self._failing.discard(source)
        return readings


def _check(reading: Reading) -> None:
    metric = CATALOGUE[reading.name]
    if len(reading.labels) != len(metric.labels):
        raise ValueError(f"{reading.name} has other labels")
    if isinstance(reading.value, Histogram) != (metric.kind is Kind.HISTOGRAM):
        raise TypeError(f"{reading.name} is a {metric.kind.value}")


def _sum(one: Value, other: Value) -> Value:
    if isinstance(one, Histogram) and isinstance(other, Histogram):
        both = Histogram(one.bounds)
        both.add(one)
        both.add(other)
        return both
    assert not isinstance(one, Histogram) and not isinstance(other, Histogram)
    return one + other


def _family(metric: Metric, series: Mapping[tuple[str, ...], Value]) -> Family:
    labels = [label.name for label in metric.labels]
    family: CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
    if metric.kind is Kind.HISTOGRAM:
        family = HistogramMetricFamily(metric.name, metric.help, labels=labels)
        for values, histogram in series.items():
            assert isinstance(histogram, Histogram)
            family.add_metric(values, _buckets(histogram), histogram.total)
        return family
    kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=labels)
    for values, value in series.items():
        assert not isinstance(value, Histogram)
        family.add_metric(values, value)
    return family


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    bounds = [*(f"{bound:g}" for bound in histogram.bounds), "+Inf"]
    return list(zip(bounds, histogram.cumulative(), strict=True))
