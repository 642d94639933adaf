"""What every store of last seen promises, as scenarios; an implementation brings ``make`` and ``drive``."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imd.core.presence.ports import LastSeen
from tests.contract.bus import scenario

ANN, BOB, STRANGER = 101, 2**62 + 1, 103
NOW_MS = 1_763_000_000_000


class LastSeenCase(SynchronousTestCase):
    """What the contract needs from the implementation under test."""

    def drive(self, work: Coroutine[Any, Any, None]) -> Any:
        """Run a scenario; the result is the test's."""
        raise NotImplementedError

    async def make(self) -> LastSeen:
        """An empty store that nobody else uses; closed after the test."""
        raise NotImplementedError


class LastSeenContract(LastSeenCase):
    """Times rise and never fall."""

    @scenario
    async def test_record(self) -> None:
        """Times are as they were recorded; who was never seen is left out."""
        store = await self.make()
        await store.record({ANN: NOW_MS, BOB: NOW_MS + 1})
        found = await store.of_users([STRANGER, BOB, ANN])
        self.assertEqual(found, {ANN: NOW_MS, BOB: NOW_MS + 1})

    @scenario
    async def test_never_back(self) -> None:
        """An earlier time changes nothing, a later one does, each user for itself."""
        store = await self.make()
        await store.record({ANN: NOW_MS, BOB: NOW_MS})
        await store.record({ANN: NOW_MS - 1, BOB: NOW_MS + 1})
        self.assertEqual(await store.of_users([ANN, BOB]), {ANN: NOW_MS, BOB: NOW_MS + 1})

    @scenario
    async def test_many_at_once(self) -> None:
        """One call may hold thousands; none at all is fine too."""
        store = await self.make()
        await store.record({})
        self.assertEqual(await store.of_users([]), {})
        seen = {2**61 + n * 4096: NOW_MS + n for n in range(3000)}
        await store.record(seen)
        self.assertEqual(await store.of_users(list(seen)), seen)
