"""The bus contract on LocalBus, on simulated time."""

from __future__ import annotations

import shutil
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.bus.durable import RETRY_DELAY_S
from imd.bus.journal import Journal
from imd.bus.local import LocalBus
from imd.bus.port import Bus
from imd.kernel.timeouts import sleep
from tests.contract import bus
from tests.contract.driving import drive


class LocalBusCase(bus.BusCase, SynchronousTestCase):
    """Jumps from timer to timer; nothing takes real time but the disk."""

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
        return await self._started(LocalBus(clock=self.clock))

    async def _started(self, made: Bus) -> Bus:
        await made.start()
        self.made.append(made)
        return made

    def pause(self, delay_s: float) -> Deferred[None]:
        return sleep(delay_s, clock=self.clock)


class LocalBusTests(LocalBusCase, bus.BusContract):
    """LocalBus keeps the contract."""


class DurableLocalBusTests(LocalBusCase, bus.DurableBusContract):
    """LocalBus on a journal file keeps the durable half."""

    retry_delay_s = RETRY_DELAY_S + 1

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    async def make(self) -> Bus:
        journal = Journal(self.folder / "bus.db", wall_clock=lambda: int(self.clock.seconds() * 1000))
        return await self._started(LocalBus(clock=self.clock, journal=journal))

    async def crash(self, _: Bus, *, away_s: float = 0.0) -> Bus:
        """What another process would find: the files as they are now, without a goodbye."""
        self.made.clear()
        grave = self.folder
        self.folder = Path(self.mktemp())
        shutil.copytree(grave, self.folder)
        await self.pause(away_s)
        return await self.make()
