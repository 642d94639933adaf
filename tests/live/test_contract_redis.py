"""The contracts of registry, leases, routes, last seen, budgets, day counts and snapshots on a real Redis."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from imd.core.gateway.budgets import Spending
from imd.core.gateway.budgets_redis import RedisBudgets
from imd.core.gateway.quotas import Used
from imd.core.gateway.quotas_redis import RedisDayCounts
from imd.core.nodes.redis import RedisNodeRegistry, RedisShardLeases
from imd.core.permission.second_level_redis import MAX_BYTES, RedisSecondLevel
from imd.core.presence.redis import RedisLastSeen
from imd.core.presence.routes_redis import RedisRouteTable
from tests.contract import (
    budgets,
    day_counts,
    last_seen,
    node_registry,
    route_table,
    second_level,
    shard_leases,
)
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


class RedisDayCountsTests(OnRedis, day_counts.DayCountsContract):
    """RedisDayCounts keeps the contract."""

    async def make(self) -> RedisDayCounts:
        return RedisDayCounts(redis=await self.redis())

    async def test_forgotten(self) -> None:
        """What was counted is gone by itself when the day is over everywhere."""
        await (await self.make()).count([Used("a", 1, 0)])
        left_s = await self.store.call("TTL", "core:quota:a")
        self.assertTrue(24 * 3600 < left_s <= 48 * 3600, left_s)


class RedisSecondLevelTests(OnRedis, second_level.SecondLevelContract):
    """RedisSecondLevel keeps the contract."""

    async def make(self) -> RedisSecondLevel:
        second = RedisSecondLevel(redis=await self.redis())
        await second.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(second.stop()))
        return second

    async def test_flushed(self) -> None:
        """A Redis that has lost its memory keeps nothing, and keeps again what it is given."""
        second = await self.make()
        second.put(second_level.group(3), second_level.LIFE_S)
        self.assertIsNotNone(await second.get("g_1"))
        await self.store.call("FLUSHALL")
        self.assertIsNone(await second.get("g_1"))
        second.put(second_level.group(2), second_level.LIFE_S)
        self.assertIsNotNone(await second.get("g_1"))

    async def test_away(self) -> None:
        """Without Redis there is nothing, at once, and nobody is told of an error."""
        second = await self.make()
        await self.store.stop()
        second.put(second_level.group(3), second_level.LIFE_S)
        second.outdate("g_1", 4)
        self.assertIsNone(await second.get("g_1"))

    async def test_large(self) -> None:
        """What would hold Redis up is not kept there."""
        second = await self.make()
        many = {(1 << 60) + number: 0 for number in range(MAX_BYTES // 9)}
        second.put(second_level.group(3)._replace(roles=many), second_level.LIFE_S)
        self.assertIsNone(await second.get("g_1"))

    async def test_not_ours(self) -> None:
        """What somebody else wrote there is nothing, and is told in the log."""
        second = await self.make()
        await self.store.call("SET", "core:rules:g_1", "0" * 20 + "\xff\xff\xff")
        self.assertIsNone(await second.get("g_1"))
