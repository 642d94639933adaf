"""What all shard leases promise, as scenarios; an implementation brings ``make``, ``drive`` and ``pause``."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import SynchronousTestCase

from imd.core.nodes.model import Node
from imd.core.nodes.ports import ShardLeases
from imd.kernel.ids import SHARD_COUNT
from tests.contract.bus import scenario

ONE = Node(1, "one-a", True)
TWO = Node(2, "two-a", True)
ALL = range(SHARD_COUNT)


class ShardLeasesCase(SynchronousTestCase):
    """What the contract needs from the implementation under test."""

    #: Between two renewals; three that are missed end a lease.
    interval_s: float

    def drive(self, work: Coroutine[Any, Any, None]) -> Any:
        """Run a scenario; the result is the test's."""
        raise NotImplementedError

    async def make(self) -> ShardLeases:
        """Leases that nobody else uses, none taken."""
        raise NotImplementedError

    def pause(self, delay_s: float) -> Awaitable[None]:
        """Let time pass on the leases' clock."""
        raise NotImplementedError


class ShardLeasesContract(ShardLeasesCase):
    """Who owns what."""

    @scenario
    async def test_take_and_give_back(self) -> None:
        """A node gets what is free, keeps what it still wants, and gives back what it does not."""
        leases = await self.make()
        self.assertEqual(await leases.claim(ONE, {3, 4, 255}), {3: 1, 4: 1, 255: 1})
        self.assertEqual(await leases.claim(ONE, {4, 5}), {4: 1, 5: 1})
        self.assertEqual(await leases.claim(ONE, ()), {})

    @scenario
    async def test_held_by_another(self) -> None:
        """What another holds is not taken, and its holder is told; once it is given back it can be."""
        leases = await self.make()
        await leases.claim(ONE, {0, 1, 2})
        self.assertEqual(await leases.claim(TWO, {2, 3}), {0: 1, 1: 1, 2: 1, 3: 2})
        self.assertEqual(await leases.claim(ONE, {0, 1}), {0: 1, 1: 1, 3: 2})
        self.assertEqual(await leases.claim(TWO, {2, 3}), {0: 1, 1: 1, 2: 2, 3: 2})

    @scenario
    async def test_never_shared(self) -> None:
        """Many nodes that claim everything at the same time: each shard goes to one of them, all agree."""
        leases = await self.make()
        nodes = [Node(node_id, "x", True) for node_id in range(8)]
        claims = [Deferred.fromCoroutine(leases.claim(node, list(ALL))) for node in nodes]
        answers = await gatherResults(claims)
        self.assertEqual(len(answers[0]), SHARD_COUNT)
        for answer in answers[1:]:
            self.assertEqual(answer, answers[0])
        again = [Deferred.fromCoroutine(leases.claim(node, list(ALL)[node.node_id :: 8])) for node in nodes]
        owned: dict[int, int] = {}
        for node, answer in zip(nodes, await gatherResults(again), strict=True):
            for shard in [shard for shard, owner in answer.items() if owner == node.node_id]:
                self.assertNotIn(shard, owned)
                owned[shard] = node.node_id

    @scenario
    async def test_runs_out(self) -> None:
        """A lease that is renewed stays; one that is not is free after three intervals, and not before."""
        leases = await self.make()
        await leases.claim(ONE, {1})
        await leases.claim(TWO, {2})
        await self.pause(self.interval_s * 2)
        self.assertEqual(await leases.claim(TWO, {1, 2}), {1: 1, 2: 2})
        await self.pause(self.interval_s * 1.2)
        self.assertEqual(await leases.claim(TWO, {1, 2}), {1: 2, 2: 2})
        self.assertEqual(await leases.claim(ONE, {1}), {1: 2, 2: 2})

    @scenario
    async def test_newer_incarnation(self) -> None:
        """A node that starts anew has what it had if it wants it. The process before it gets nothing any
        more, and is not told of what is held in its name."""
        leases = await self.make()
        reborn = ONE._replace(incarnation="a-later-one")
        await leases.claim(TWO, {9})
        await leases.claim(ONE, {1, 2, 3})
        self.assertEqual(await leases.claim(reborn, {1, 2, 9}), {1: 1, 2: 1, 9: 2})
        self.assertEqual(await leases.claim(ONE, {1, 2, 3}), {9: 2})
        self.assertEqual(await leases.claim(TWO, {9}), {1: 1, 2: 1, 9: 2})

    @scenario
    async def test_all_at_once(self) -> None:
        """One node may hold all shards."""
        leases = await self.make()
        self.assertEqual(await leases.claim(TWO, ALL), dict.fromkeys(ALL, 2))
        self.assertEqual(await leases.claim(TWO, ALL), dict.fromkeys(ALL, 2))
