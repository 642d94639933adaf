"""What all online sets promise, as scenarios; an implementation brings ``make``, ``drive`` and ``pause``."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imd.core.presence.online_sets import BUCKETS, OnlineSets, bucket_of
from tests.contract.bus import scenario

ANN, BOB, CY = 101, 2**62 + 1, 103


class OnlineSetsCase(SynchronousTestCase):
    """What the contract needs from the implementation under test."""

    #: How long what a node said holds.
    ttl_s: float

    def drive(self, work: Coroutine[Any, Any, None]) -> Any:
        """Run a scenario; the result is the test's."""
        raise NotImplementedError

    async def make(self) -> OnlineSets:
        """Empty sets that nobody else uses."""
        raise NotImplementedError

    def pause(self, delay_s: float) -> Awaitable[None]:
        """Let time pass on the sets' clock."""
        raise NotImplementedError

    async def all_of(self, sets: OnlineSets, conversation_id: str) -> set[int]:
        parts = [await sets.members(conversation_id, bucket) for bucket in range(BUCKETS)]
        return set().union(*parts)


class OnlineSetsContract(OnlineSetsCase):
    """Who of a conversation is online."""

    @scenario
    async def test_add_and_remove(self) -> None:
        """Who was added is there, in the bucket of that user; who was removed is not; others are not touched."""
        sets = await self.make()
        await sets.add("c1", [ANN, BOB], 1)
        await sets.add("c2", [CY], 1)
        self.assertEqual(await self.all_of(sets, "c1"), {ANN, BOB})
        self.assertIn(BOB, await sets.members("c1", bucket_of(BOB)))
        self.assertEqual(await sets.count("c1"), 2)
        await sets.remove("c1", [ANN, CY], 1)
        self.assertEqual((await sets.count("c1"), await sets.count("c2")), (1, 1))
        self.assertEqual(await self.all_of(sets, "c1"), {BOB})
        self.assertEqual((await sets.count("none"), await self.all_of(sets, "none")), (0, set()))

    @scenario
    async def test_two_nodes(self) -> None:
        """A user at two nodes counts once, and is online until both have let go."""
        sets = await self.make()
        await sets.add("c1", [ANN, BOB], 1)
        await sets.add("c1", [ANN, CY], 2)
        self.assertEqual(await sets.count("c1"), 3)
        await sets.remove("c1", [ANN], 1)
        self.assertEqual(await self.all_of(sets, "c1"), {ANN, BOB, CY})
        await sets.remove("c1", [ANN], 2)
        self.assertEqual(await self.all_of(sets, "c1"), {BOB, CY})

    @scenario
    async def test_dead_node(self) -> None:
        """What a node does not say again is forgotten; what another says stays."""
        sets = await self.make()
        await sets.add("c1", [ANN, BOB], 1)
        await sets.add("c1", [CY], 2)
        await self.pause(self.ttl_s * 0.6)
        await sets.add("c1", [CY], 2)
        self.assertEqual(await sets.count("c1"), 3)
        await self.pause(self.ttl_s * 0.6)
        self.assertEqual(await sets.count("c1"), 1)
        self.assertEqual(await self.all_of(sets, "c1"), {CY})
        await sets.add("c1", [ANN], 1)
        self.assertEqual(await self.all_of(sets, "c1"), {ANN, CY})

    @scenario
    async def test_large(self) -> None:
        """Ten thousand members fit, no part of them has more than a thousand; nobody at all is fine too."""
        sets = await self.make()
        await sets.add("c1", [], 1)
        await sets.remove("c1", [], 1)
        self.assertEqual(await sets.count("c1"), 0)
        users = {2**61 + n * 4096 for n in range(10_000)}
        await sets.add("c1", users, 1)
        self.assertEqual(await sets.count("c1"), 10_000)
        parts = [await sets.members("c1", bucket) for bucket in range(BUCKETS)]
        self.assertLess(max(map(len, parts)), 1_000)
        self.assertEqual(set().union(*parts), users)
        await sets.remove("c1", users, 1)
        self.assertEqual(await sets.count("c1"), 0)
