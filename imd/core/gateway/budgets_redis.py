"""Shared budgets in Redis: one number for each, the time at which it is full again (GCRA).

While Redis is away each node grants half by itself: two nodes together then grant what they should, and
nobody is refused for nothing.
"""

from __future__ import annotations

from imd.core.gateway.budgets import Budget, MemoryBudgets, Verdict
from imd.kernel.clocks import Clock
from imd.kernel.errors import ServerBusy
from imd.storage.redis import RedisStore, Script

# Times in microseconds. A time further away than an empty budget needs is from before the clock was set back.
_TAKE = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local cost, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local full = tonumber(redis.call('GET', KEYS[1]) or now)
full = math.min(math.max(full, now), now + burst) + cost
local early = full - burst - now
if early > 0 then return math.ceil(early / 1000) end
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000) + 1)
return 0
""")


class RedisBudgets:
    """``Budgets`` of all nodes that share a Redis."""

    def __init__(self, *, redis: RedisStore, clock: Clock, prefix: str = "core:") -> None:
        self._redis = redis
        self._alone = MemoryBudgets(clock=clock)
        self._prefix = f"{prefix}budget:"

    async def take(self, key: str, budget: Budget, cost: float = 1.0) -> Verdict:
        unit_us = 1_000_000 / budget.rate_per_s
        arguments = (round(cost * unit_us), round(budget.burst * unit_us))
        try:
            wait_ms = await self._redis.run(_TAKE, [self._prefix + key], arguments)
        except ServerBusy:
            # One alone may take all that a single request needs, or it could never be granted.
            half = Budget(budget.rate_per_s / 2, max(budget.burst / 2, min(cost, budget.burst)))
            return await self._alone.take(key, half, cost)
        return Verdict(granted=wait_ms == 0, retry_after_ms=wait_ms)
