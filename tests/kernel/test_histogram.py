"""Counting by upper bounds."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.kernel.histogram import Histogram


class Histograms(SynchronousTestCase):
    """``Histogram``."""

    def test_bounds(self) -> None:
        """A value counts for the first bound that is not below it; what is above all counts last."""
        counted = Histogram((1, 2, 5))
        for value in (0, 1, 1.5, 2, 5, 6):
            counted.observe(value)
        self.assertEqual(counted.counts, [2, 2, 1, 1])
        self.assertEqual(list(counted.cumulative()), [2, 4, 5, 6])
        self.assertEqual(counted.total, 15.5)

    def test_add(self) -> None:
        """Two add up to one; those of other bounds do not."""
        one, other = Histogram((1, 2)), Histogram((1, 2))
        one.observe(1)
        other.observe(3)
        one.add(other)
        self.assertEqual((one.counts, one.total), ([1, 0, 1], 4))
        self.assertRaises(ValueError, one.add, Histogram((1, 2, 3)))
