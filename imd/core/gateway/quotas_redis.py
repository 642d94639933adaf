"""Daily quotas in Redis: one number for each user, kind and day."""

from __future__ import annotations

from collections.abc import Sequence

from imd.core.gateway.quotas import Used
from imd.storage.redis import RedisStore, Script

#: In one script, which holds up everybody else: about 2 ms.
_BATCH = 200
#: The day itself, and clocks that are apart.
_KEPT_S = 2 * 24 * 3600

_COUNT = Script("""
local totals = {}
for i, key in ipairs(KEYS) do
    local held = math.max(tonumber(redis.call('GET', key) or 0), tonumber(ARGV[2 * i]))
    totals[i] = math.max(held + tonumber(ARGV[2 * i + 1]), 0)
    redis.call('SET', key, totals[i], 'EX', ARGV[1])
end
return totals
""")


class RedisDayCounts:
    """``DayCounts`` of all nodes that share a Redis."""

    def __init__(self, *, redis: RedisStore, prefix: str = "core:") -> None:
        self._redis = redis
        self._prefix = f"{prefix}quota:"

    async def count(self, used: Sequence[Used]) -> Sequence[int]:
        totals: list[int] = []
        for start in range(0, len(used), _BATCH):
            batch = used[start : start + _BATCH]
            arguments = [_KEPT_S]
            for each in batch:
                arguments += (each.known, each.spent)
            totals += await self._redis.run(_COUNT, [self._prefix + each.key for each in batch], arguments)
        return totals
