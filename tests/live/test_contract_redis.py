"""The contracts of registry, leases, routes and last seen on a real Redis."""

from __future__ import annotations

from imd.core.nodes.redis import RedisNodeRegistry, RedisShardLeases
from imd.core.presence.redis import RedisLastSeen
from imd.core.presence.routes_redis import RedisRouteTable
from tests.contract import last_seen, node_registry, route_table, shard_leases
from tests.live.redis_stage import OnRedis

#: Short, since Redis has its own clock; long beside the hiccups of a busy machine.
INTERVAL_S = 0.3


class RedisNodeRegistryTests(OnRedis, node_registry.NodeRegistryContract):
    """RedisNodeRegistry keeps the contract."""

    interval_s = INTERVAL_S

    async def make(self) -> RedisNodeRegistry:
        return RedisNodeRegistry(redis=await self.redis(), interval_s=self.interval_s)


class RedisShardLeasesTests(OnRedis, shard_leases.ShardLeasesContract):
    """RedisShardLeases keeps the contract."""

    interval_s = INTERVAL_S

    async def make(self) -> RedisShardLeases:
        return RedisShardLeases(redis=await self.redis(), interval_s=self.interval_s)


class RedisRouteTableTests(OnRedis, route_table.RouteTableContract):
    """RedisRouteTable keeps the contract."""

    ttl_s = 2.0
    settle_s = 0.5

    async def make(self) -> RedisRouteTable:
        return RedisRouteTable(redis=await self.redis(), route_ttl_s=self.ttl_s, settle_s=self.settle_s)

    async def lose_memory(self) -> None:
        await self.store.call("FLUSHALL")


class RedisLastSeenTests(OnRedis, last_seen.LastSeenContract):
    """RedisLastSeen keeps the contract."""

    async def make(self) -> RedisLastSeen:
        return RedisLastSeen(redis=await self.redis())
