"""Budgets that all nodes share: who uses two nodes has no more than who uses one (spec 18.5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from imd.kernel.clocks import Clock
from imd.kernel.eviction import forget_oldest

#: About 250 B each; who is forgotten has as much as the nodes say is left.
MAX_KEYS = 100_000
#: More than that nobody owes: a device each at ten nodes, all of which spent a burst before they heard of one
#: another. It also bounds for how long a clock that was set back may keep somebody out.
MAX_OWED_BURSTS = 9


class Spending(NamedTuple):
    """What a node has let somebody use of a budget: ``burst`` at once, refilled at ``rate_per_s``, both above 0."""

    key: str
    rate_per_s: float
    burst: float
    spent: float
    #: As far as this node knows, after that: what is left is never more.
    left: float


class Budgets(Protocol):
    """What the nodes have used together."""

    async def spend(self, spendings: Sequence[Spending]) -> Sequence[float]:
        """Charge each, whether it was there or not; what is left of it now, below 0 if it is owed.

        :raises ServerBusy: they cannot be asked in time; what was spent may have been charged or not.
        """
        ...


class MemoryBudgets:
    """``Budgets`` within one process; several nodes in it share one object."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        #: When each is full again.
        self._full_s: dict[str, float] = {}

    async def spend(self, spendings: Sequence[Spending]) -> Sequence[float]:
        now_s = self._clock.seconds()
        left = []
        for key, rate_per_s, burst, spent, at_most in spendings:
            # At the end again: who was here last is forgotten last.
            full_s = max(self._full_s.pop(key, now_s), now_s) + spent / rate_per_s
            full_s = max(full_s, now_s + (burst - at_most) / rate_per_s)
            full_s = min(full_s, now_s + (1 + MAX_OWED_BURSTS) * burst / rate_per_s)
            self._full_s[key] = full_s
            left.append(burst - (full_s - now_s) * rate_per_s)
        forget_oldest(self._full_s, MAX_KEYS)
        return left
