"""What changes between two scrapes."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.ctl.top.samples import Change, Samples, parsed, quantile


def scrape(text: str, at_s: float = 0.0) -> Samples:
    return parsed(text, at_s=at_s)


class Sums(SynchronousTestCase):
    """Over series."""

    def setUp(self) -> None:
        self.samples = scrape('a{x="1",y="p"} 1\na{x="2",y="p"} 2\na{x="2",y="q"} 4\nb{path="a\\"b"} 1\n')

    def test_sum(self) -> None:
        """All series of a name with the labels that were given; None where there are none, which is not 0."""
        self.assertEqual(self.samples.sum("a"), 7.0)
        self.assertEqual(self.samples.sum("a", x="2"), 6.0)
        self.assertEqual(self.samples.count("a", x="2", y="q"), 4)
        self.assertIsNone(self.samples.sum("a", x="3"))
        self.assertIsNone(self.samples.count("c"))

    def test_labels(self) -> None:
        """Sums by a label, and the value of one."""
        self.assertEqual(self.samples.by("a", "y"), {"p": 3.0, "q": 4.0})
        self.assertEqual(self.samples.label("b", "path"), 'a"b')
        self.assertEqual(self.samples.label("b", "none"), "")

    def test_what_is_no_number_is_not_counted(self) -> None:
        """NaN and infinity, which a broken gauge may say, are no counts."""
        self.assertIsNone(scrape("a NaN\n").count("a"))
        self.assertIsNone(scrape("a +Inf\n").count("a"))

    def test_other_text(self) -> None:
        """What is not Prometheus' format is a ValueError, whatever it is."""
        for text in ("<html><body>hello there</body></html>", "a{", 'a{x="1} 2', "a one\n", "{} 1"):
            self.assertRaises(ValueError, scrape, text)


class Rates(SynchronousTestCase):
    """Of counters."""

    def test_rate(self) -> None:
        """What was added, a second."""
        change = Change(scrape("a_total 10\n", 100.0), scrape("a_total 16\n", 102.0))
        self.assertEqual(change.rate("a_total"), 3.0)
        self.assertIsNone(change.rate("b_total"))

    def test_restart(self) -> None:
        """A counter that fell has begun anew, at 0."""
        change = Change(scrape("a_total 1000\n", 100.0), scrape("a_total 8\n", 102.0))
        self.assertEqual(change.rate("a_total"), 4.0)

    def test_no_time(self) -> None:
        """Two scrapes at one moment give no rate."""
        self.assertIsNone(Change(scrape("a_total 1\n", 5.0), scrape("a_total 2\n", 5.0)).rate("a_total"))


class Quantiles(SynchronousTestCase):
    """Of histograms."""

    def test_as_prometheus_has_it(self) -> None:
        """Evenly spread within a bucket; above the last finite bound, that bound."""
        buckets = {0.1: 50.0, 0.2: 90.0, math.inf: 100.0}
        for share, value in ((0.25, 0.05), (0.5, 0.1), (0.7, 0.15), (0.9, 0.2), (0.99, 0.2)):
            self.assertAlmostEqual(quantile(share, buckets) or -1, value)

    def test_nothing_observed(self) -> None:
        """No observations, or no buckets: None, which is not 0."""
        for buckets in ({}, {math.inf: 5.0}, {0.1: 0.0, math.inf: 0.0}, {0.1: 1.0, 0.2: 1.0}):
            self.assertIsNone(quantile(0.99, buckets))

    def test_only_what_is_new(self) -> None:
        """What was observed before the first scrape does not count."""
        text = 'h_bucket{{le="0.1"}} {0}\nh_bucket{{le="1"}} {1}\nh_bucket{{le="+Inf"}} {1}\n'
        slow_now = Change(scrape(text.format(1000, 1000), 0.0), scrape(text.format(1000, 1010), 1.0))
        self.assertAlmostEqual(slow_now.quantile(0.5, "h") or -1, 0.55)
        quiet = Change(scrape(text.format(9, 9), 0.0), scrape(text.format(9, 9), 1.0))
        self.assertIsNone(quiet.quantile(0.5, "h"))
        restarted = Change(scrape(text.format(0, 1000), 0.0), scrape(text.format(4, 4), 1.0))
        self.assertAlmostEqual(restarted.quantile(0.5, "h") or -1, 0.05)

    @given(
        st.lists(st.integers(0, 1000), min_size=2, max_size=12).filter(any),
        st.floats(0.0, 1.0),
        st.floats(0.0, 1.0),
    )
    def test_order(self, counts: list[int], one: float, other: float) -> None:
        """A larger share never has a smaller quantile, and all lie within the bounds."""
        bounds = [0.001 * 2**index for index in range(len(counts) - 1)]
        totals = [float(sum(counts[: index + 1])) for index in range(len(counts))]
        buckets = dict(zip([*bounds, math.inf], totals, strict=True))
        low, high = (quantile(share, buckets) for share in sorted((one, other)))
        assert low is not None
        assert high is not None
        assert 0.0 <= low <= high + 1e-12
        assert high <= bounds[-1]
