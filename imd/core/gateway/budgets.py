"""Budgets that all nodes share: who uses two nodes has no more than who uses one (spec 18.5)."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from imd.kernel.clocks import Clock
from imd.kernel.eviction import forget_oldest
from imd.kernel.token_bucket import TokenBucket

#: About 250 B each; who is forgotten has a full budget again.
MAX_KEYS = 100_000


class Budget(NamedTuple):
    """``burst`` at once, refilled at ``rate_per_s``; both above 0."""

    rate_per_s: float
    burst: float


class Verdict(NamedTuple):
    """``retry_after_ms`` is 0 if it was granted."""

    granted: bool
    retry_after_ms: int


class Budgets(Protocol):
    """What may still be used of each budget. Never fails: a limit is no reason to refuse everybody."""

    async def take(self, key: str, budget: Budget, cost: float = 1.0) -> Verdict:
        """Use ``cost`` of it, if that is there; a refusal costs nothing. More than ``burst`` never is."""
        ...


class MemoryBudgets:
    """``Budgets`` of one process."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[tuple[str, Budget], TokenBucket] = {}

    async def take(self, key: str, budget: Budget, cost: float = 1.0) -> Verdict:
        now_s = self._clock.seconds()
        bucket = self._buckets.pop((key, budget), None)
        if bucket is None:
            bucket = TokenBucket(rate_per_s=budget.rate_per_s, burst=budget.burst, now_s=now_s)
        # At the end again: who was here last is forgotten last.
        self._buckets[key, budget] = bucket
        forget_oldest(self._buckets, MAX_KEYS)
        if bucket.take(now_s, cost):
            return Verdict(granted=True, retry_after_ms=0)
        return Verdict(granted=False, retry_after_ms=bucket.retry_after_ms(cost))
