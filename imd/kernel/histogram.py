"""How often something took how long, counted where it happens: an index into a list, and no more."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence


class Histogram:
    """Values by the first bound that is not below them.

    :param bounds: ascending; what is above the last is counted beyond it.
    :ivar counts: one for each bound, and one for what is above all.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        #: Of all values.
        self.total = 0.0

    def observe(self, value: float) -> None:
        """It happened once."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)

    def add(self, other: Histogram) -> None:
        """Count what another one of the same bounds has counted."""
        self.counts = [ours + theirs for ours, theirs in zip(self.counts, other.counts, strict=True)]
        self.total += other.total

    def cumulative(self) -> Iterator[int]:
        """How many values are at most each bound, and last how many there are."""
        count = 0
        for here in self.counts:
            count += here
            yield count


class Calls:
    """Calls of one kind: how long they took, and how many failed."""

    __slots__ = ("failures", "seconds")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.seconds = Histogram(bounds)
        self.failures = 0

    def ended(self, took_s: float, *, failed: bool) -> None:
        """One has ended."""
        self.seconds.observe(took_s)
        self.failures += failed
