"""The bus contract on LocalBus, on simulated time."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from imd.bus.local import LocalBus
from imd.bus.port import Bus
from imd.kernel.timeouts import sleep
from tests.contract import bus
from tests.contract.driving import drive


class LocalBusTests(bus.BusContract):
    """LocalBus keeps the contract."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.made: list[Bus] = []

    def drive(self, work: Coroutine[Any, Any, None]) -> None:
        drive(self.clock, self._to_the_end(work))

    async def _to_the_end(self, work: Coroutine[Any, Any, None]) -> None:
        await work
        for made in self.made:
            await made.stop()

    async def make(self) -> Bus:
        made = LocalBus(clock=self.clock)
        await made.start()
        self.made.append(made)
        return made

    def pause(self, delay_s: float) -> Deferred[None]:
        return sleep(delay_s, clock=self.clock)
