"""From readings to families."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from twisted.trial.unittest import SynchronousTestCase

from imd.kernel.histogram import Histogram
from imd.ops.metrics.buckets import LAG
from imd.ops.metrics.readings import Reading, Readings, Source, by_label, one_of


def page(*sources: Source) -> str:
    """What is scraped."""
    registry = CollectorRegistry()
    registry.register(Readings(sources))
    return generate_latest(registry).decode()


class ReadingsTests(SynchronousTestCase):
    """``Readings``."""

    def test_kinds(self) -> None:
        """Counters, gauges and histograms come with help, type, labels and buckets of the catalogue."""
        lag = Histogram(LAG.bounds)
        lag.observe(0.003)
        lag.observe(99)
        text = page(
            lambda: [
                Reading("imd_ready", 1),
                Reading("imd_reactor_lag_seconds", lag),
                Reading("imd_part_ready", 0, ("bus",)),
                Reading("imd_heartbeats_total", 7),
            ]
        )
        self.assertIn("# TYPE imd_ready gauge\nimd_ready 1.0\n", text)
        self.assertIn("# TYPE imd_heartbeats_total counter\nimd_heartbeats_total 7.0\n", text)
        self.assertIn('imd_part_ready{part="bus"} 0.0\n', text)
        self.assertIn('imd_reactor_lag_seconds_bucket{le="0.0025"} 0.0\n', text)
        self.assertIn('imd_reactor_lag_seconds_bucket{le="0.005"} 1.0\n', text)
        self.assertIn('imd_reactor_lag_seconds_bucket{le="+Inf"} 2.0\n', text)
        self.assertIn("imd_reactor_lag_seconds_sum 99.003\n", text)

    def test_several_add_up(self) -> None:
        """What two parts of a process count of the same is one series, and both stay what they are."""
        one, other = Histogram(LAG.bounds), Histogram(LAG.bounds)
        one.observe(0.003)
        other.observe(0.004)
        for _ in range(2):
            text = page(
                lambda: [Reading("imd_audit_lost_total", 2), Reading("imd_reactor_lag_seconds", one)],
                lambda: [Reading("imd_audit_lost_total", 3), Reading("imd_reactor_lag_seconds", other)],
            )
            self.assertIn("imd_audit_lost_total 5.0\n", text)
            self.assertIn("imd_reactor_lag_seconds_count 2.0\n", text)
        self.assertEqual(one.total, 0.003)

    def test_one_part_fails(self) -> None:
        """A part that raises, names what is not in the catalogue or has other labels is left out, counted, told once."""

        def raises() -> Iterator[Reading]:
            yield Reading("imd_ready", 1)
            raise RuntimeError("boom")

        registry = CollectorRegistry()
        readings = Readings(
            [
                raises,
                lambda: [Reading("imd_no_such", 1)],
                lambda: [Reading("imd_audit_lost_total", 1, ("x",))],
                lambda: [Reading("imd_reactor_lag_seconds", 1)],
                lambda: [Reading("imd_heartbeats_total", 1)],
            ]
        )
        registry.register(readings)
        generate_latest(registry)
        self.assertEqual(len(self.flushLoggedErrors()), 4)
        text = generate_latest(registry).decode()
        self.assertIn("imd_heartbeats_total 1.0\n", text)
        self.assertNotIn("imd_ready", text)
        self.assertIn("imd_metrics_failures_total 8.0\n", text)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_labels(self) -> None:
        """Counters kept by label, and states, become a series each."""
        self.assertEqual(
            list(by_label("imd_x_total", {"a": 1, "b": 2})),
            [Reading("imd_x_total", 1, ("a",)), Reading("imd_x_total", 2, ("b",))],
        )
        self.assertEqual(
            [reading.value for reading in one_of("imd_x", ("a", "b", "c"), "b")], [False, True, False]
        )
