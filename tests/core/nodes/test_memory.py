"""The contracts of registry, leases, routes and budgets in memory, on simulated time."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.core.gateway.budgets import MemoryBudgets
from imd.core.nodes.memory import MemoryNodeRegistry, MemoryShardLeases
from imd.core.presence.routes_memory import MemoryRouteTable
from imd.kernel.timeouts import sleep
from tests.contract import budgets, node_registry, route_table, shard_leases
from tests.contract.driving import drive
from tests.contract.route_table import PHONE


class InMemory(SynchronousTestCase):
    """Time passes when the test says so."""

    interval_s = 5.0

    def setUp(self) -> None:
        self.clock = Clock()

    def drive(self, work: Coroutine[Any, Any, None]) -> None:
        drive(self.clock, work)

    def pause(self, delay_s: float) -> Deferred[None]:
        return sleep(delay_s, clock=self.clock)


class MemoryNodeRegistryTests(InMemory, node_registry.NodeRegistryContract):
    """MemoryNodeRegistry keeps the contract."""

    async def make(self) -> MemoryNodeRegistry:
        return MemoryNodeRegistry(clock=self.clock)


class MemoryShardLeasesTests(InMemory, shard_leases.ShardLeasesContract):
    """MemoryShardLeases keeps the contract."""

    async def make(self) -> MemoryShardLeases:
        return MemoryShardLeases(clock=self.clock)


class MemoryRouteTableTests(InMemory, route_table.RouteTableContract):
    """MemoryRouteTable keeps the contract."""

    ttl_s = 120.0
    settle_s = 10.0

    async def make(self) -> MemoryRouteTable:
        self.table = MemoryRouteTable(clock=self.clock)
        return self.table

    async def lose_memory(self) -> None:
        self.table.clear()

    def test_alone(self) -> None:
        """The table of the only node is complete from the start."""
        table = MemoryRouteTable(clock=self.clock, settle_s=0)
        found = self.successResultOf(Deferred.fromCoroutine(table.put([PHONE])))
        self.assertTrue(found.complete)

    def test_nothing_left(self) -> None:
        """Routes that were removed, or have expired and were asked for, leave nothing behind."""
        table = MemoryRouteTable(clock=self.clock)

        async def work() -> None:
            await table.put([PHONE])
            await table.remove([PHONE])
            await table.put([PHONE])
            await self.pause(121)
            await table.of_node(PHONE.node_id)

        self.drive(work())
        self.assertEqual((table._routes, table._of_node, table._nodes_of), ({}, {}, {}))


class MemoryBudgetsTests(InMemory, budgets.BudgetsContract):
    """MemoryBudgets keeps the contract."""

    async def make(self) -> MemoryBudgets:
        return MemoryBudgets(clock=self.clock)
