"""Nodes and leases in Redis: each method is one script, judged by the clock of Redis alone.

``core:nodes``: node id -> "end state incarnation older...". ``core:shards``: shard -> node id, and
``core:holders``: node id -> "end incarnation older...": a node renews all its leases by one write.
Times are in milliseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from imd.core.nodes.memory import MAX_REPLACED
from imd.core.nodes.model import Node
from imd.storage.redis import RedisStore, Script

# An end that is further away than any can be was written before the clock of Redis was set back.
_COMMON = f"""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function words(text)
    local found = {{}}
    for word in string.gmatch(text, '%S+') do found[#found + 1] = word end
    return found
end

local function living(key, ttl)
    local all, found = redis.call('HGETALL', key), {{}}
    for i = 1, #all, 2 do
        local entry = words(all[i + 1])
        if tonumber(entry[1]) > now + ttl then
            entry[1] = now + ttl
            redis.call('HSET', key, all[i], table.concat(entry, ' '))
        end
        if tonumber(entry[1]) > now then
            found[all[i]] = entry
        else
            redis.call('HDEL', key, all[i])
        end
    end
    return found
end

-- Whether `me` is the one that came last of those in `entry` (from `first` on); if it is new, it is.
local function admit(entry, first, me)
    for i = first, #entry do
        if entry[i] == me then return i == first end
    end
    table.insert(entry, first, me)
    entry[first + {MAX_REPLACED + 1}] = nil
    return true
end
"""

_BEAT = Script(
    _COMMON
    + """
local id, me, state, ttl = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local nodes = living(KEYS[1], ttl)
local mine = nodes[id] or {}
if admit(mine, 3, me) then
    mine[1], mine[2] = now + ttl, state
    redis.call('HSET', KEYS[1], id, table.concat(mine, ' '))
    nodes[id] = mine
end
local reply = {}
for node, entry in pairs(nodes) do
    reply[#reply + 1] = node
    reply[#reply + 1] = entry[2]
    reply[#reply + 1] = entry[3]
end
return reply
"""
)

_LEAVE = Script(
    _COMMON
    + """
local entry = words(redis.call('HGET', KEYS[1], ARGV[1]) or '')
if entry[3] == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
"""
)

_CLAIM = Script(
    _COMMON
    + """
local id, me, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3])
local holders = living(KEYS[2], ttl)
local mine = holders[id] or {}
local present = admit(mine, 2, me)
local wanted = {}
if present then
    mine[1] = now + ttl
    redis.call('HSET', KEYS[2], id, table.concat(mine, ' '))
    for i = 4, #ARGV do wanted[ARGV[i]] = true end
end
local reply = {}
local shards = redis.call('HGETALL', KEYS[1])
for i = 1, #shards, 2 do
    local shard, owner = shards[i], shards[i + 1]
    if owner ~= id and holders[owner] then
        wanted[shard] = nil
        reply[#reply + 1] = shard
        reply[#reply + 1] = owner
    elseif owner == id and wanted[shard] then
        wanted[shard] = nil
        reply[#reply + 1] = shard
        reply[#reply + 1] = id
    elseif (present or owner ~= id) and not wanted[shard] then
        redis.call('HDEL', KEYS[1], shard)
    end
end
for shard in pairs(wanted) do
    redis.call('HSET', KEYS[1], shard, id)
    reply[#reply + 1] = shard
    reply[#reply + 1] = id
end
return reply
"""
)


#: (ready, on the bus), as it is written.
_STATES = {(False, True): "0", (True, True): "1", (False, False): "2", (True, False): "3"}
_SAID = {state: said for said, state in _STATES.items()}


class RedisNodeRegistry:
    """``NodeRegistry`` in Redis."""

    def __init__(
        self, *, redis: RedisStore, interval_s: float = 5.0, missed: int = 3, prefix: str = "core:"
    ) -> None:
        self._redis = redis
        self._ttl_ms = int(interval_s * missed * 1000)
        self._key = f"{prefix}nodes"

    async def beat(self, me: Node) -> Sequence[Node]:
        state = _STATES[me.ready, me.on_bus]
        arguments = (me.node_id, me.incarnation, state, self._ttl_ms)
        reply = await self._redis.run(_BEAT, [self._key], arguments)
        return sorted(
            Node(int(node_id), incarnation.decode(), *_SAID.get(state.decode(), (False, True)))
            for node_id, state, incarnation in zip(reply[::3], reply[1::3], reply[2::3], strict=True)
        )

    async def leave(self, me: Node) -> None:
        await self._redis.run(_LEAVE, [self._key], (me.node_id, me.incarnation))


class RedisShardLeases:
    """``ShardLeases`` in Redis."""

    def __init__(
        self, *, redis: RedisStore, interval_s: float = 5.0, missed: int = 3, prefix: str = "core:"
    ) -> None:
        self._redis = redis
        self._ttl_ms = int(interval_s * missed * 1000)
        self._keys = (f"{prefix}shards", f"{prefix}holders")

    async def claim(self, me: Node, wanted: Collection[int]) -> Mapping[int, int]:
        arguments: list[str | int] = [me.node_id, me.incarnation, self._ttl_ms, *wanted]
        reply = await self._redis.run(_CLAIM, self._keys, arguments)
        return dict(zip(map(int, reply[::2]), map(int, reply[1::2]), strict=True))
