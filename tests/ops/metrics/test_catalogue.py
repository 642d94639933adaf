"""The catalogue itself: names, labels, bounds."""

from __future__ import annotations

import re

from twisted.trial.unittest import TestCase

from imd.ops.metrics.catalogue import CATALOGUE, SECTIONS
from imd.ops.metrics.model import EVERY_ROLE, Kind

#: Lines that one process may have in all: of a thousand processes they are a small Prometheus's.
MAX_SERIES = 1_000
MAX_SERIES_A_METRIC = 60
_NAME = re.compile(r"imd_[a-z]+(_[a-z]+)*")
#: Abbreviated or not-base units, in the words of promlint.
_UNITS = re.compile(r"_(ms|milliseconds|minutes|hours|kb|mb|kilobytes|percent)(_|$)")


class CatalogueTest(TestCase):
    def test_names_follow_the_rules_of_the_field(self) -> None:
        """Each name has the prefix, base units, and the ending of its kind; and there is one of each."""
        names = [metric.name for metrics in SECTIONS.values() for metric in metrics]
        self.assertEqual(len(set(names)), len(names))
        for name, metric in CATALOGUE.items():
            self.assertRegex(name, f"^{_NAME.pattern}$")
            self.assertIsNone(_UNITS.search(name), name)
            self.assertEqual(name.endswith("_total"), metric.kind is Kind.COUNTER, name)
            self.assertNotRegex(name, r"_(count|sum|bucket)$")
            self.assertRegex(metric.help, r"^(1|[A-Z]|[a-z]+_[a-z_]+ of \[).*\.$")

    def test_no_process_has_many_series(self) -> None:
        """Labels have few values, all of them known, so that what a process exports is bounded."""
        for role in EVERY_ROLE:
            self.assertLess(
                sum(metric.series for metric in CATALOGUE.values() if role in metric.roles), MAX_SERIES
            )
        for metric in CATALOGUE.values():
            self.assertLessEqual(metric.series, MAX_SERIES_A_METRIC, metric.name)
            for label in metric.labels:
                self.assertGreater(label.cardinality, 0, metric.name)
                self.assertRegex(label.name, r"^[a-z_]+$")
                self.assertEqual(len(set(label.values)), len(label.values))

    def test_histograms_have_ascending_buckets_with_a_reason(self) -> None:
        """A histogram has buckets, others have none."""
        for metric in CATALOGUE.values():
            self.assertEqual(metric.buckets is not None, metric.kind is Kind.HISTOGRAM, metric.name)
            if metric.buckets is not None:
                bounds = metric.buckets.bounds
                self.assertEqual(list(bounds), sorted(set(bounds)), metric.name)
                self.assertTrue(metric.buckets.reason)
