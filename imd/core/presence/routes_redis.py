"""Routes in Redis: each method is one script for every few hundred routes, judged by the clock of Redis.

* ``core:routes`` is when this table was born, in microseconds; made by whoever finds none.
* ``core:route:<user>``: device id -> node, end, since, session and platform, in 22 bytes and the platform's name.
* ``core:at:<node>:<slot>``: the users with a route to that node. The slots keep each set so small that
  Redis stores it as an array of integers; a page of a node's routes is some slots.

Every key expires with its last route, also when a node dies and nobody removes anything. With one route a
user a route takes about 220 bytes of Redis.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Any

from imd.core.presence.routes import Found, Route, RoutePage
from imd.storage.redis import RedisStore, Script, spread

#: Of the routes of a node that are read at a time, about.
PAGE_ROUTES = 500
#: At 25,000 users a node about 100 in each; an array of integers is one up to 512.
SLOTS = 256
#: In one script, which holds up everybody else: about 2 ms.
_PUT_ROUTES = 200
_ASK_USERS = 500

#: Since and session; Redis puts node and end before it, the name of the platform comes behind.
_TAIL = Struct(">6sQ")
_ENTRY = Struct(">H6s6sQ")

_COMMON = """
local prefix = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local now_us = time[1] * 1000000 + time[2]

-- When the table was born, and whether that is long enough ago. A table of the future is from before
-- the clock was set back, and so are the ends of all that is in it.
local function life(settle_us)
    local born = redis.call('GET', prefix .. 'routes')
    if not born or tonumber(born) > now_us then
        born = string.format('%.0f', now_us)
        redis.call('SET', prefix .. 'routes', born)
    end
    return born, (now_us - tonumber(born) >= settle_us) and 1 or 0
end

local function node_and_end(entry)
    return struct.unpack('>I2I6', entry)
end

-- Is the session of one entry newer than that of another? Strings are compared by locale, numbers are not.
local function newer(one, other)
    local since, high, low = struct.unpack('>I6I4I4', one, 9)
    local since2, high2, low2 = struct.unpack('>I6I4I4', other, 9)
    if since ~= since2 then return since > since2 end
    if high ~= high2 then return high > high2 end
    return low > low2
end

-- No device of the user is at the node any more: the node's index is told.
local function leave(user, slot, node)
    for _, entry in ipairs(redis.call('HVALS', prefix .. 'route:' .. user)) do
        if node_and_end(entry) == node then return end
    end
    redis.call('SREM', prefix .. 'at:' .. node .. ':' .. slot, user)
end
"""

_PUT = Script(
    _COMMON
    + """
local ttl = tonumber(ARGV[2])
local users, slots = {}, {}
for i = 3, #ARGV, 5 do
    local user, slot, device, node, tail = unpack(ARGV, i, i + 4)
    local key = prefix .. 'route:' .. user
    local entry = struct.pack('>I2I6', node, now + ttl) .. tail
    local old = redis.call('HGET', key, device)
    local old_node, old_end
    if old then old_node, old_end = node_and_end(old) end
    if not old or old_end <= now or not newer(old, entry) then
        redis.call('HSET', key, device, entry)
        redis.call('PEXPIRE', key, ttl)
        local at = prefix .. 'at:' .. node .. ':' .. slot
        redis.call('SADD', at, user)
        redis.call('PEXPIRE', at, ttl)
        if old and old_node ~= tonumber(node) then leave(user, slot, old_node) end
    end
    if not slots[user] then
        users[#users + 1] = user
        slots[user] = slot
    end
end
local _, complete = life(tonumber(ARGV[1]))
local reply = {complete}
for _, user in ipairs(users) do
    local key = prefix .. 'route:' .. user
    local devices, routes = redis.call('HGETALL', key), {user}
    for i = 1, #devices, 2 do
        local node, end_ = node_and_end(devices[i + 1])
        if end_ > now then
            routes[#routes + 1] = devices[i]
            routes[#routes + 1] = devices[i + 1]
        else
            redis.call('HDEL', key, devices[i])
            leave(user, slots[user], node)
        end
    end
    reply[#reply + 1] = routes
end
return reply
"""
)

_REMOVE = Script(
    _COMMON
    + """
for i = 1, #ARGV, 4 do
    local user, slot, device, session = unpack(ARGV, i, i + 3)
    local key = prefix .. 'route:' .. user
    local entry = redis.call('HGET', key, device)
    if entry and string.sub(entry, 15, 22) == session then
        redis.call('HDEL', key, device)
        leave(user, slot, (node_and_end(entry)))
    end
end
"""
)

_OF_USERS = Script(
    _COMMON
    + """
local _, complete = life(tonumber(ARGV[1]))
local reply = {complete}
for i = 2, #ARGV do
    local devices, routes = redis.call('HGETALL', prefix .. 'route:' .. ARGV[i]), {ARGV[i]}
    for j = 1, #devices, 2 do
        local _, end_ = node_and_end(devices[j + 1])
        if end_ > now then
            routes[#routes + 1] = devices[j]
            routes[#routes + 1] = devices[j + 1]
        end
    end
    if #routes > 1 then reply[#reply + 1] = routes end
end
return reply
"""
)

_OF_NODE = Script(
    _COMMON
    + """
local node, slot, slots, enough = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local reply, count = {0}, 0
while slot < slots and count < enough do
    local at = prefix .. 'at:' .. node .. ':' .. slot
    for _, user in ipairs(redis.call('SMEMBERS', at)) do
        local devices, routes = redis.call('HGETALL', prefix .. 'route:' .. user), {user}
        for i = 1, #devices, 2 do
            local its_node, end_ = node_and_end(devices[i + 1])
            if its_node == node and end_ > now then
                routes[#routes + 1] = devices[i]
                routes[#routes + 1] = devices[i + 1]
                count = count + 1
            end
        end
        if #routes > 1 then
            reply[#reply + 1] = routes
        else
            redis.call('SREM', at, user)
        end
    end
    slot = slot + 1
end
reply[1] = slot
return reply
"""
)

_GENERATION = Script(_COMMON + "return (life(0))")


class RedisRouteTable:
    """``RouteTable`` in Redis."""

    def __init__(
        self,
        *,
        redis: RedisStore,
        route_ttl_s: float = 120.0,
        settle_s: float = 10.0,
        prefix: str = "core:",
    ) -> None:
        self._redis = redis
        self._ttl_ms = int(route_ttl_s * 1000)
        self._settle_us = int(settle_s * 1_000_000)
        self._keys = (prefix,)

    async def put(self, routes: Sequence[Route]) -> Found:
        found: dict[int, Sequence[Route]] = {}
        complete = True
        for start in range(0, max(1, len(routes)), _PUT_ROUTES):
            arguments: list[str | bytes | int] = [self._settle_us, self._ttl_ms]
            for route in routes[start : start + _PUT_ROUTES]:
                tail = _TAIL.pack(route.since_ms.to_bytes(6, "big"), route.session_id)
                arguments += (route.user_id, spread(route.user_id, SLOTS), route.device_id, route.node_id)
                arguments.append(tail + route.platform.encode())
            reply = await self._redis.run(_PUT, self._keys, arguments)
            complete = complete and reply[0] == 1
            found.update(_read(reply))
        return Found(found, complete)

    async def remove(self, routes: Sequence[Route]) -> None:
        for start in range(0, len(routes), _PUT_ROUTES):
            arguments: list[str | bytes | int] = []
            for route in routes[start : start + _PUT_ROUTES]:
                arguments += (route.user_id, spread(route.user_id, SLOTS), route.device_id)
                arguments.append(route.session_id.to_bytes(8, "big"))
            await self._redis.run(_REMOVE, self._keys, arguments)

    async def of_users(self, user_ids: Sequence[int]) -> Found:
        found: dict[int, Sequence[Route]] = {}
        complete = True
        for start in range(0, max(1, len(user_ids)), _ASK_USERS):
            arguments = (self._settle_us, *user_ids[start : start + _ASK_USERS])
            reply = await self._redis.run(_OF_USERS, self._keys, arguments)
            complete = complete and reply[0] == 1
            found.update(_read(reply))
        return Found(found, complete)

    async def of_node(self, node_id: int, after: str = "") -> RoutePage:
        arguments = (node_id, after or 0, SLOTS, PAGE_ROUTES)
        reply = await self._redis.run(_OF_NODE, self._keys, arguments)
        next_slot = int(reply[0])
        routes = [route for _, of_user in _read(reply) for route in of_user]
        return RoutePage(routes, str(next_slot) if next_slot < SLOTS else "")

    async def generation(self) -> str:
        born: bytes = await self._redis.run(_GENERATION, self._keys, ())
        return born.decode()


def _read(reply: Sequence[Any]) -> Iterator[tuple[int, list[Route]]]:
    """Each user's routes, from [.., [user, device, entry, device, entry ..], ..]."""
    for user, *devices in reply[1:]:
        user_id = int(user)
        routes = []
        for device, entry in zip(devices[::2], devices[1::2], strict=True):
            node_id, _, since, session_id = _ENTRY.unpack_from(entry)
            platform = entry[_ENTRY.size :].decode()
            routes.append(
                Route(user_id, device.decode(), node_id, session_id, platform, int.from_bytes(since, "big"))
            )
        yield user_id, routes
