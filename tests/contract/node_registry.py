"""What every node registry promises, as scenarios; an implementation brings ``make``, ``drive`` and ``pause``."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imd.core.nodes.model import Node
from imd.core.nodes.ports import NodeRegistry
from tests.contract.bus import scenario

ONE = Node(1, "one-a", True)
TWO = Node(2, "two-a", True)


class NodeRegistryCase(SynchronousTestCase):
    """What the contract needs from the implementation under test."""

    #: Between two heartbeats; three that are missed end a node.
    interval_s: float

    def drive(self, work: Coroutine[Any, Any, None]) -> Any:
        """Run a scenario; the result is the test's."""
        raise NotImplementedError

    async def make(self) -> NodeRegistry:
        """An empty registry that nobody else uses."""
        raise NotImplementedError

    def pause(self, delay_s: float) -> Awaitable[None]:
        """Let time pass on the registry's clock."""
        raise NotImplementedError


class NodeRegistryContract(NodeRegistryCase):
    """Who is alive."""

    @scenario
    async def test_all_alive(self) -> None:
        """Who beats sees all who are alive, itself among them, as they were at their last beat."""
        registry = await self.make()
        self.assertEqual(list(await registry.beat(TWO)), [TWO])
        self.assertEqual(list(await registry.beat(ONE)), [ONE, TWO])
        for said in (
            TWO._replace(ready=False),
            TWO._replace(ready=False, on_bus=False),
            TWO._replace(on_bus=False),
        ):
            self.assertEqual(list(await registry.beat(said)), [ONE, said])
            self.assertEqual(list(await registry.beat(ONE)), [ONE, said])

    @scenario
    async def test_missed(self) -> None:
        """A node is still there after two intervals without a beat of it, and is not after three."""
        registry = await self.make()
        await registry.beat(TWO)
        await self.pause(self.interval_s * 2)
        self.assertEqual(list(await registry.beat(ONE)), [ONE, TWO])
        await self.pause(self.interval_s * 1.2)
        self.assertEqual(list(await registry.beat(ONE)), [ONE])
        self.assertEqual(list(await registry.beat(TWO)), [ONE, TWO])

    @scenario
    async def test_leave(self) -> None:
        """Who leaves is gone at once; leaving twice does no harm."""
        registry = await self.make()
        await registry.beat(ONE)
        await registry.beat(TWO)
        await registry.leave(TWO)
        await registry.leave(TWO)
        self.assertEqual(list(await registry.beat(ONE)), [ONE])

    @scenario
    async def test_newer_incarnation(self) -> None:
        """A node that starts anew replaces itself; the older process sees that it is no more, and cannot
        come back or take the newer one along when it leaves."""
        registry = await self.make()
        reborn = ONE._replace(incarnation="a-later-one")
        await registry.beat(ONE)
        self.assertEqual(list(await registry.beat(reborn)), [reborn])
        self.assertEqual(list(await registry.beat(ONE)), [reborn])
        await registry.leave(ONE)
        self.assertEqual(list(await registry.beat(TWO)), [reborn, TWO])

    @scenario
    async def test_same_incarnation_back(self) -> None:
        """A node that was missed, such as one that was paused, comes back as soon as it beats again."""
        registry = await self.make()
        await registry.beat(ONE)
        await self.pause(self.interval_s * 3.2)
        self.assertEqual(list(await registry.beat(TWO)), [TWO])
        self.assertEqual(list(await registry.beat(ONE)), [ONE, TWO])
        await registry.leave(ONE)
        self.assertEqual(list(await registry.beat(ONE)), [ONE, TWO])
