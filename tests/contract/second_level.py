"""What all second levels of snapshots promise, as scenarios; an implementation brings ``make``, ``drive`` and ``pause``."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from itertools import permutations
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imd.core.directory import ADMIN, GROUP, MEMBER, OWNER, P2P, Membership
from imd.core.permission.second_level import Kept, SecondLevel
from tests.contract.bus import scenario

#: Much longer than a scenario takes.
LIFE_S = 30.0
#: Short, and long beside the hiccups of a busy machine.
SHORT_S = 0.4


def group(version: int, conversation_id: str = "g_1") -> Membership:
    return Membership(conversation_id, GROUP, version, {1: OWNER, 2: MEMBER, version: MEMBER})


class SecondLevelCase(SynchronousTestCase):
    """What the contract needs from the implementation under test."""

    def drive(self, work: Coroutine[Any, Any, None]) -> Any:
        """Run a scenario; the result is the test's."""
        raise NotImplementedError

    async def make(self) -> SecondLevel:
        """One in which nothing is kept."""
        raise NotImplementedError

    def pause(self, delay_s: float) -> Awaitable[None]:
        """Let time pass on its clock."""
        raise NotImplementedError


class SecondLevelContract(SecondLevelCase):
    """What is kept, and what is not."""

    async def kept(self, second: SecondLevel, conversation_id: str = "g_1") -> Membership | None:
        kept = await second.get(conversation_id)
        return None if kept is None else kept.membership

    @scenario
    async def test_kept(self) -> None:
        """What one node puts another gets, with all its rules, and with the time that is left."""
        second = await self.make()
        self.assertIsNone(await second.get("g_1"))
        full = Membership(
            conversation_id="g_1",
            kind=GROUP,
            version=7,
            roles={1: OWNER, 2: ADMIN, 3: MEMBER},
            group_kind=3,
            sensitive=True,
            rights=(4, 63, 127),
            all_muted_until_ms=1_800_000_000_000,
            muted_until_ms={3: 1_800_000_000_001},
            refused={2: "blocked"},
            visible_from={3: 12},
            policy_version=5,
        )
        second.put(full, LIFE_S)
        kept = await second.get("g_1")
        assert isinstance(kept, Kept)
        self.assertEqual(kept.membership, full)
        self.assertTrue(LIFE_S - 5 < kept.left_s <= LIFE_S, kept.left_s)
        second.put(Membership("p_1", P2P, 1, {1: MEMBER, 2: MEMBER}), LIFE_S)
        self.assertEqual(await self.kept(second, "p_1"), Membership("p_1", P2P, 1, {1: MEMBER, 2: MEMBER}))

    @scenario
    async def test_newest_wins(self) -> None:
        """In whichever order snapshots arrive, the newest stays; told again, it lives longer."""
        for order in permutations((1, 2, 3)):
            second = await self.make()
            for version in order:
                second.put(group(version), LIFE_S)
            self.assertEqual(await self.kept(second), group(3))
        second.put(group(3), 2 * LIFE_S)
        kept = await second.get("g_1")
        assert kept is not None
        self.assertGreater(kept.left_s, LIFE_S)

    @scenario
    async def test_outdated(self) -> None:
        """What is older than an invalidation is neither kept nor given, whichever arrives first."""
        for order in permutations(("old", "gone", "new")):
            second = await self.make()
            for what in order:
                if what == "gone":
                    second.outdate("g_1", 8)
                else:
                    second.put(group(7 if what == "old" else 8), LIFE_S)
            self.assertEqual(await self.kept(second), group(8))
        second.outdate("g_1", 8)
        self.assertEqual(await self.kept(second), group(8))
        second.outdate("g_1", 9)
        self.assertIsNone(await second.get("g_1"))
        second.put(group(8), LIFE_S)
        self.assertIsNone(await second.get("g_1"))

    @scenario
    async def test_versions_are_numbers(self) -> None:
        """Version 10 is newer than 9, and very large ones are told apart."""
        second = await self.make()
        for version in (9, 10, (1 << 62) + 1, (1 << 62) + 2):
            second.put(group(version), LIFE_S)
            self.assertEqual(await self.kept(second), group(version))
            second.put(group(version - 1), LIFE_S)
            self.assertEqual(await self.kept(second), group(version))

    @scenario
    async def test_changed_to_nobody_knows_what(self) -> None:
        """When it is not known how far it has changed, nothing is kept that may have been under way."""
        second = await self.make()
        second.put(group(3), LIFE_S)
        second.outdate("g_1", 0)
        self.assertIsNone(await second.get("g_1"))
        second.put(group(4), LIFE_S)
        self.assertIsNone(await second.get("g_1"))

    @scenario
    async def test_life(self) -> None:
        """After its time nothing is left of a snapshot."""
        second = await self.make()
        second.put(group(3), SHORT_S)
        await self.pause(2 * SHORT_S)
        self.assertIsNone(await second.get("g_1"))
        second.put(group(2), LIFE_S)
        self.assertEqual(await self.kept(second), group(2))

    @scenario
    async def test_apart(self) -> None:
        """One conversation is nothing to another."""
        second = await self.make()
        second.put(group(3), LIFE_S)
        second.put(group(2, "g_2"), LIFE_S)
        second.outdate("g_1", 4)
        self.assertIsNone(await second.get("g_1"))
        self.assertEqual(await self.kept(second, "g_2"), group(2, "g_2"))
