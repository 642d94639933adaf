"""What all budgets promise, as scenarios; an implementation brings ``make``, ``drive`` and ``pause``."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.core.gateway.budgets import Budget, Budgets
from tests.contract.bus import scenario

#: A token each 500 ms, which no machine is too busy for.
BUDGET = Budget(rate_per_s=2.0, burst=5.0)


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
    """Who may go on."""

    @scenario
    async def test_burst_and_rate(self) -> None:
        """A burst is granted, then nothing until a token has come back, and that one once; the wait that is
        told is enough."""
        budgets = await self.make()
        granted = [(await budgets.take("a", BUDGET)).granted for _ in range(6)]
        self.assertEqual(granted, [True] * 5 + [False])
        refused = await budgets.take("a", BUDGET)
        self.assertTrue(0 < refused.retry_after_ms <= 501, refused)
        await self.pause(refused.retry_after_ms / 1000 + 0.005)
        again = [(await budgets.take("a", BUDGET)).granted for _ in range(2)]
        self.assertEqual(again, [True, False])

    @scenario
    async def test_apart(self) -> None:
        """One's budget is nothing to another."""
        budgets = await self.make()
        self.assertTrue((await budgets.take("a", BUDGET, cost=5)).granted)
        self.assertFalse((await budgets.take("a", BUDGET)).granted)
        self.assertTrue((await budgets.take("b", BUDGET, cost=5)).granted)

    @scenario
    async def test_cost(self) -> None:
        """What is dear waits longer, and a refusal costs nothing."""
        budgets = await self.make()
        await budgets.take("a", BUDGET, cost=3)
        for _ in range(20):
            dear = await budgets.take("a", BUDGET, cost=4)
            self.assertFalse(dear.granted)
            self.assertGreater(dear.retry_after_ms, 500)
        self.assertEqual(await budgets.take("a", BUDGET, cost=2), (True, 0))

    @scenario
    async def test_at_once(self) -> None:
        """Of many who ask at the same time as many are granted as there is room for."""
        budgets = await self.make()
        asked = [Deferred.fromCoroutine(budgets.take("a", BUDGET)) for _ in range(40)]
        granted = [(await one).granted for one in asked]
        self.assertEqual(granted.count(True), 5)
