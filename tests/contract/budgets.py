"""What all budgets promise, as scenarios; an implementation brings ``make``, ``drive`` and ``pause``."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.core.gateway.budgets import MAX_OWED_BURSTS, Budgets, Spending
from tests.contract.bus import scenario

#: A token each 500 ms, which no machine is too busy for.
RATE_PER_S = 2.0
BURST = 5.0


def used(key: str, spent: float, *, left: float = BURST) -> Spending:
    """By a node that knows of nothing else, if not said otherwise."""
    return Spending(key, RATE_PER_S, BURST, spent, left)


class BudgetsCase(SynchronousTestCase):
    """What the contract needs from the implementation under test."""

    def drive(self, work: Coroutine[Any, Any, None]) -> Any:
        """Run a scenario; the result is the test's."""
        raise NotImplementedError

    async def make(self) -> Budgets:
        """Budgets that nobody has used."""
        raise NotImplementedError

    def pause(self, delay_s: float) -> Awaitable[None]:
        """Let time pass on the budgets' clock."""
        raise NotImplementedError


class BudgetsContract(BudgetsCase):
    """What is left."""

    async def assert_left(self, budgets: Budgets, spending: Spending, expected: float) -> None:
        """And what may have come back on a busy machine."""
        (left,) = await budgets.spend([spending])
        self.assertTrue(expected - 0.001 <= left < expected + 0.9, f"{left} is not {expected}")

    @scenario
    async def test_together(self) -> None:
        """What the nodes use counts together, comes back at the rate, and is never more than a burst."""
        budgets = await self.make()
        await self.assert_left(budgets, used("a", 0), 5)
        await self.assert_left(budgets, used("a", 3), 2)
        await self.assert_left(budgets, used("a", 2), 0)
        await self.pause(1.0)
        await self.assert_left(budgets, used("a", 0), 2)
        await self.pause(2.5)
        self.assertEqual(await budgets.spend([used("a", 0)]), [5])

    @scenario
    async def test_apart(self) -> None:
        """One's budget is nothing to another; answers come in the order of the questions, also of very many."""
        budgets = await self.make()
        await budgets.spend([used("b", 4)])
        left = await budgets.spend([used("a", 1), used("b", 0), used("c", 5), used("d", 0)])
        for found, expected in zip(left, (4, 1, 0, 5), strict=True):
            self.assertTrue(expected - 0.001 <= found < expected + 0.9, f"{found} is not {expected}")
        many = await budgets.spend([used(f"{n}", n % 5) for n in range(1_200)])
        self.assertEqual([round(5 - each) for each in many], [n % 5 for n in range(1_200)])
        self.assertEqual(await budgets.spend([]), [])

    @scenario
    async def test_owed(self) -> None:
        """What was used without being there is owed, and paid back first; beyond nine bursts it is let off."""
        budgets = await self.make()
        await self.assert_left(budgets, used("a", 8), -3)
        await self.pause(1.0)
        await self.assert_left(budgets, used("a", 0), -1)
        await self.assert_left(budgets, used("a", 1000), -MAX_OWED_BURSTS * BURST)

    @scenario
    async def test_node_knows_better(self) -> None:
        """A budget that was forgotten is what a node says is left; told twice it is the same."""
        budgets = await self.make()
        for _ in range(3):
            await self.assert_left(budgets, used("a", 0, left=1), 1)
        await self.assert_left(budgets, used("a", 1, left=3), 0)

    @scenario
    async def test_at_once(self) -> None:
        """Of what many say at the same time nothing is lost."""
        budgets = await self.make()
        for asked in [Deferred.fromCoroutine(budgets.spend([used("a", 1)])) for _ in range(20)]:
            await asked
        await self.assert_left(budgets, used("a", 0), -15)
