"""What took longest lately, for whoever looks for the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from imd.kernel.clocks import WallClock

#: What is remembered of a kind.
KEEP = 20
#: For so long.
SPAN_MS = 3_600_000


class Slow(NamedTuple):
    """One of them."""

    took_s: float
    ended_at_ms: int
    what: str
    about: str


class Slowest:
    """The ``keep`` slowest of each kind in the last hour. What is faster than these costs a look-up and a comparison.

    A kind is a place in the program, so there are few.
    """

    def __init__(self, *, wall_clock: WallClock, keep: int = KEEP) -> None:
        self._wall_clock = wall_clock
        self._keep = keep
        self._found: dict[str, list[Slow]] = {}
        #: What is not slower is not looked at.
        self._floors_s: dict[str, float] = {}

    def note(self, what: str, took_s: float, about: Callable[[], str] | None = None) -> None:
        """Something was done.

        :param what: the kind.
        :param about: says more of it; asked only if it is among the slowest.
        """
        if took_s <= self._floors_s.get(what, 0.0):
            return
        slow = Slow(took_s, self._wall_clock(), what, "" if about is None else about())
        self._found.setdefault(what, []).append(slow)
        self._forget(what)

    def entries(self, limit: int = KEEP) -> list[Slow]:
        """By kind, the slowest first, so many of each."""
        for what in self._found:
            self._forget(what)
        return [each for what in sorted(self._found) for each in self._found[what][:limit]]

    def _forget(self, what: str) -> None:
        oldest_ms = self._wall_clock() - SPAN_MS
        recent = [each for each in self._found[what] if each.ended_at_ms > oldest_ms]
        found = self._found[what] = sorted(recent, reverse=True)[: self._keep]
        # All are let in while there is room.
        self._floors_s[what] = found[-1].took_s if len(found) == self._keep else 0.0
