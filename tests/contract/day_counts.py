"""What all counts of a day promise, as scenarios; an implementation brings ``make`` and ``drive``."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.core.gateway.quotas import DayCounts, Used
from tests.contract.bus import scenario


class DayCountsCase(SynchronousTestCase):
    """What the contract needs from the implementation under test."""

    def drive(self, work: Coroutine[Any, Any, None]) -> Any:
        """Run a scenario; the result is the test's."""
        raise NotImplementedError

    async def make(self) -> DayCounts:
        """Counts of nothing."""
        raise NotImplementedError


class DayCountsContract(DayCountsCase):
    """What the nodes count together."""

    @scenario
    async def test_together(self) -> None:
        """What each says is added up; what was not used after all is taken off again."""
        counts = await self.make()
        self.assertEqual(await counts.count([Used("a", 3, 0)]), [3])
        self.assertEqual(await counts.count([Used("a", 2, 0)]), [5])
        self.assertEqual(await counts.count([Used("a", -1, 5)]), [4])
        self.assertEqual(await counts.count([Used("a", 0, 0)]), [4])
        self.assertEqual(await counts.count([Used("a", -9, 0)]), [0])

    @scenario
    async def test_apart(self) -> None:
        """One count is nothing to another; answers come in the order of the questions, also of very many."""
        counts = await self.make()
        self.assertEqual(await counts.count([Used("a", 3, 0), Used("b", 4, 0), Used("a", 1, 0)]), [3, 4, 4])
        many = await counts.count([Used(f"n{number}", number % 7, 0) for number in range(1_200)])
        self.assertEqual(list(many), [number % 7 for number in range(1_200)])
        self.assertEqual(await counts.count([]), [])

    @scenario
    async def test_node_knows_better(self) -> None:
        """Counts that were lost begin with what a node knows; one that knows less takes nothing away."""
        counts = await self.make()
        self.assertEqual(await counts.count([Used("a", 1, 40)]), [41])
        self.assertEqual(await counts.count([Used("a", 1, 7)]), [42])

    @scenario
    async def test_at_once(self) -> None:
        """Of what many say at the same time nothing is lost."""
        counts = await self.make()
        for asked in [Deferred.fromCoroutine(counts.count([Used("a", 1, 0)])) for _ in range(20)]:
            await asked
        self.assertEqual(await counts.count([Used("a", 0, 0)]), [20])
