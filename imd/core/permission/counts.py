"""How questions ended in the last seconds, in memory that does not grow with their number."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

#: A count is exact but for one slot: what leaves, leaves a tenth of the span at a time.
_SLOTS = 10


class Totals(NamedTuple):
    """Questions put, how many of them failed, and how long all took together."""

    asked: int = 0
    failed: int = 0
    took_s: float = 0.0

    @property
    def share(self) -> float:
        """Of those that failed; 0 of none."""
        return self.failed / self.asked if self.asked else 0.0

    @property
    def mean_s(self) -> float:
        return self.took_s / self.asked if self.asked else 0.0


class RecentCounts:
    """Totals of the last ``span_s`` seconds; time comes from the caller and never goes back."""

    def __init__(self, *, span_s: float) -> None:
        self._slot_s = span_s / _SLOTS
        self._slots: deque[tuple[int, Totals]] = deque()

    def add(self, now_s: float, *, took_s: float, failed: bool) -> None:
        """One question has ended."""
        slot = int(now_s / self._slot_s)
        here = self._slots.pop()[1] if self._slots and self._slots[-1][0] == slot else Totals()
        self._slots.append((slot, Totals(here.asked + 1, here.failed + failed, here.took_s + took_s)))
        self._forget(slot)

    def totals(self, now_s: float) -> Totals:
        self._forget(int(now_s / self._slot_s))
        asked = failed = 0
        took_s = 0.0
        for _, slot in self._slots:
            asked += slot.asked
            failed += slot.failed
            took_s += slot.took_s
        return Totals(asked, failed, took_s)

    def clear(self) -> None:
        self._slots.clear()

    def _forget(self, now_slot: int) -> None:
        while self._slots and self._slots[0][0] <= now_slot - _SLOTS:
            self._slots.popleft()


class Since:
    """Since when something has been so without a break."""

    def __init__(self) -> None:
        self._since_s: float | None = None

    def note(self, now_s: float, so: bool) -> None:
        if not so:
            self._since_s = None
        elif self._since_s is None:
            self._since_s = now_s

    def held_s(self, now_s: float) -> float:
        """How long; 0 if it is not so now."""
        return 0.0 if self._since_s is None else now_s - self._since_s
