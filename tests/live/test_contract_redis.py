"""The contracts of registry, leases, routes, last seen and budgets on a real Redis."""

from __future__ import annotations

from imd.core.gateway.budgets import Spending
from imd.core.gateway.budgets_redis import RedisBudgets
from imd.core.nodes.redis import RedisNodeRegistry, RedisShardLeases
from imd.core.presence.redis import RedisLastSeen
from imd.core.presence.routes_redis import RedisRouteTable
from tests.contract import budgets, last_seen, node_registry, route_table, shard_leases
from tests.contract.route_table import PHONE, TABLET
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

    async def test_nothing_left(self) -> None:
        """Routes that moved, were removed or have expired leave no key behind; nobody needs to ask for them."""
        table = await self.make()
        await table.generation()
        await table.put([PHONE, TABLET])
        moved = PHONE._replace(node_id=9, since_ms=PHONE.since_ms + 1)
        await table.put([moved])
        self.assertEqual(len(await self.store.call("KEYS", "core:at:7:*")), 1)
        await table.remove([moved, TABLET])
        self.assertEqual(await self.store.call("KEYS", "*"), [b"core:routes"])
        await table.put([PHONE, TABLET])
        await self.pause(self.ttl_s * 1.1)
        self.assertEqual(await self.store.call("KEYS", "*"), [b"core:routes"])


class RedisLastSeenTests(OnRedis, last_seen.LastSeenContract):
    """RedisLastSeen keeps the contract."""

    async def make(self) -> RedisLastSeen:
        return RedisLastSeen(redis=await self.redis())


class RedisBudgetsTests(OnRedis, budgets.BudgetsContract):
    """RedisBudgets keeps the contract."""

    async def make(self) -> RedisBudgets:
        return RedisBudgets(redis=await self.redis())

    async def test_nothing_left(self) -> None:
        """A budget that is full again leaves no key behind, nor does one that was never used."""
        shared = await self.make()
        await shared.spend([Spending("a", 20, 4, 3, 1), Spending("b", 20, 4, 0, 4)])
        self.assertEqual(await self.store.call("KEYS", "*"), [b"core:budget:a"])
        await self.pause(0.3)
        self.assertEqual(await self.store.call("KEYS", "*"), [])
