"""The contract of second levels, in memory."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from imd.core.permission.second_level import MAX_KEPT, MemorySecondLevel
from imd.kernel.timeouts import sleep
from tests.contract import second_level
from tests.contract.driving import drive


class MemorySecondLevelTests(second_level.SecondLevelContract):
    """MemorySecondLevel keeps the contract."""

    def setUp(self) -> None:
        self.clock = Clock()

    def drive(self, work: Coroutine[Any, Any, None]) -> None:
        drive(self.clock, work)

    async def make(self) -> MemorySecondLevel:
        return MemorySecondLevel(clock=self.clock)

    def pause(self, delay_s: float) -> Deferred[None]:
        return sleep(delay_s, clock=self.clock)

    def test_bounded(self) -> None:
        """What was put longest ago goes when there is no room."""
        second = MemorySecondLevel(clock=self.clock)
        for number in range(MAX_KEPT + MAX_KEPT // 8 + 1):
            second.put(second_level.group(1, f"g_{number}"), second_level.LIFE_S)
        self.assertIsNone(drive(self.clock, second.get("g_0")))
        self.assertIsNotNone(drive(self.clock, second.get(f"g_{MAX_KEPT}")))
