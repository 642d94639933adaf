"""What took longest lately, for whoever looks for the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from imd.kernel.clocks import WallClock

#: What is remembered.
KEEP = 40
#: For so long.
SPAN_MS = 3_600_000


class Slow(NamedTuple):
    """One of them."""

    took_s: float
    ended_at_ms: int
    what: str
    about: str


class Slowest:
    """The ``keep`` slowest of the last hour. What is faster than all of them costs a comparison."""

    def __init__(self, *, wall_clock: WallClock, keep: int = KEEP) -> None:
        self._wall_clock = wall_clock
        self._keep = keep
        self._found: list[Slow] = []
        self._floor_s = 0.0

    def note(self, what: str, took_s: float, about: Callable[[], str] | None = None) -> None:
        """Something was done.

        :param about: says more of it; asked only if it is among the slowest.
        """
        if took_s <= self._floor_s:
            return
        self._found.append(Slow(took_s, self._wall_clock(), what, "" if about is None else about()))
        self._forget()

    def entries(self) -> list[Slow]:
        """The slowest first."""
        self._forget()
        return list(self._found)

    def _forget(self) -> None:
        oldest_ms = self._wall_clock() - SPAN_MS
        recent = [each for each in self._found if each.ended_at_ms > oldest_ms]
        self._found = sorted(recent, reverse=True)[: self._keep]
        # Those that are remembered grow old: what is slower than the fastest of them is let in, and all if there is room.
        self._floor_s = self._found[-1].took_s if len(self._found) == self._keep else 0.0
