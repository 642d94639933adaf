"""Shared budgets in Redis: one number for each, the time at which it is full again (GCRA)."""

from __future__ import annotations

from collections.abc import Sequence

from imd.core.gateway.budgets import MAX_OWED_BURSTS, Spending
from imd.storage.redis import RedisStore, Script

#: In one script, which holds up everybody else: about 2 ms.
_BATCH = 200

# Times in microseconds, for each key: of what was spent, until it is full as far as the node knows, and at most.
_SPEND = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local empty = {}
for i, key in ipairs(KEYS) do
    local spent, known, most = unpack(ARGV, 3 * i - 2, 3 * i)
    local full = math.max(tonumber(redis.call('GET', key) or now), now) + spent
    local missing = math.min(math.max(full - now, tonumber(known)), tonumber(most))
    if missing > 0 then
        redis.call('SET', key, string.format('%.0f', now + missing), 'PX', math.ceil(missing / 1000))
    end
    empty[i] = missing
end
return empty
""")


class RedisBudgets:
    """``Budgets`` of all nodes that share a Redis."""

    def __init__(self, *, redis: RedisStore, prefix: str = "core:") -> None:
        self._redis = redis
        self._prefix = f"{prefix}budget:"

    async def spend(self, spendings: Sequence[Spending]) -> Sequence[float]:
        left: list[float] = []
        for start in range(0, len(spendings), _BATCH):
            batch = spendings[start : start + _BATCH]
            keys: list[str] = []
            arguments: list[int] = []
            for key, rate_per_s, burst, spent, at_most in batch:
                keys.append(self._prefix + key)
                unit_us = 1_000_000 / rate_per_s
                most = (1 + MAX_OWED_BURSTS) * burst
                arguments += (
                    round(spent * unit_us),
                    round((burst - at_most) * unit_us),
                    round(most * unit_us),
                )
            reply = await self._redis.run(_SPEND, keys, arguments)
            left += (
                each.burst - missing_us * each.rate_per_s / 1_000_000
                for each, missing_us in zip(batch, reply, strict=True)
            )
        return left
