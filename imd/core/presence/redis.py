"""Last seen, in Redis: losing it costs a convenience.

``core:seen:<slot>``: user -> milliseconds since 1970. Some thousand small hashes, so that a user takes 30
bytes instead of the 100 of a key of its own (up to some million users; from then on 70).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from imd.storage.redis import RedisStore, Script, spread

SLOTS = 16_384
#: In one script, which holds up everybody else: about 1 ms.
_BATCH_USERS = 500

_RECORD = Script("""
for i = 1, #ARGV, 3 do
    local key = KEYS[1] .. ARGV[i]
    local seen = redis.call('HGET', key, ARGV[i + 1])
    if not seen or tonumber(seen) < tonumber(ARGV[i + 2]) then
        redis.call('HSET', key, ARGV[i + 1], ARGV[i + 2])
    end
end
""")

_OF_USERS = Script("""
local reply = {}
for i = 1, #ARGV, 2 do
    reply[#reply + 1] = redis.call('HGET', KEYS[1] .. ARGV[i], ARGV[i + 1])
end
return reply
""")


class RedisLastSeen:
    """The port on Redis."""

    def __init__(self, *, redis: RedisStore, prefix: str = "core:") -> None:
        self._redis = redis
        self._keys = (f"{prefix}seen:",)

    async def record(self, seen: Mapping[int, int]) -> None:
        rows = list(seen.items())
        for start in range(0, len(rows), _BATCH_USERS):
            arguments: list[int] = []
            for user_id, seen_ms in rows[start : start + _BATCH_USERS]:
                arguments += (spread(user_id, SLOTS), user_id, seen_ms)
            await self._redis.run(_RECORD, self._keys, arguments)

    async def of_users(self, user_ids: Sequence[int]) -> Mapping[int, int]:
        found: dict[int, int] = {}
        for start in range(0, len(user_ids), _BATCH_USERS):
            batch = user_ids[start : start + _BATCH_USERS]
            arguments = [number for user_id in batch for number in (spread(user_id, SLOTS), user_id)]
            reply = await self._redis.run(_OF_USERS, self._keys, arguments)
            found.update(
                (user_id, int(seen)) for user_id, seen in zip(batch, reply, strict=True) if seen is not None
            )
        return found
