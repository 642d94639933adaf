"""What every store of cursors promises, as scenarios; an implementation brings ``make`` and ``drive``."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imd.core.message.model import CursorRow
from imd.core.message.ports import Cursors
from tests.contract.bus import scenario

ANN, BOB = 101, 102


class CursorsCase(SynchronousTestCase):
    """What the contract needs from the implementation under test."""

    def drive(self, work: Coroutine[Any, Any, None]) -> Any:
        """Run a scenario; the result is the test's."""
        raise NotImplementedError

    async def make(self) -> Cursors:
        """An empty store that nobody else uses; closed after the test."""
        raise NotImplementedError


class CursorsContract(CursorsCase):
    """Cursors rise and never fall."""

    @scenario
    async def test_advance(self) -> None:
        """A cursor is where it was put."""
        cursors = await self.make()
        row = CursorRow("c1", ANN, 5, 3)
        await cursors.advance([row])
        self.assertEqual(await cursors.of_user(ANN, ["c1"]), {"c1": row})
        self.assertEqual(await cursors.of_conversation("c1", 10), [row])

    @scenario
    async def test_never_back(self) -> None:
        """Lower values change nothing; each of the two numbers rises by itself."""
        cursors = await self.make()
        await cursors.advance([CursorRow("c1", ANN, 5, 3)])
        await cursors.advance([CursorRow("c1", ANN, 4, 2)])
        self.assertEqual(await cursors.of_user(ANN, ["c1"]), {"c1": CursorRow("c1", ANN, 5, 3)})
        await cursors.advance([CursorRow("c1", ANN, 9, 1)])
        await cursors.advance([CursorRow("c1", ANN, 1, 4)])
        self.assertEqual(await cursors.of_user(ANN, ["c1"]), {"c1": CursorRow("c1", ANN, 9, 4)})

    @scenario
    async def test_same_pair_twice(self) -> None:
        """One call may name a pair more than once; the highest counts."""
        cursors = await self.make()
        await cursors.advance([CursorRow("c1", ANN, n, n) for n in (3, 7, 5)])
        self.assertEqual(await cursors.of_user(ANN, ["c1"]), {"c1": CursorRow("c1", ANN, 7, 7)})

    @scenario
    async def test_of_user(self) -> None:
        """Only this user's, only of these conversations; those without one are left out."""
        cursors = await self.make()
        rows = [CursorRow(f"c{n}", user, n, 0) for n in range(500) for user in (ANN, BOB)]
        await cursors.advance(rows)
        wanted = [f"c{n}" for n in range(250, 750)]
        found = await cursors.of_user(BOB, wanted)
        self.assertEqual(found, {f"c{n}": CursorRow(f"c{n}", BOB, n, 0) for n in range(250, 500)})
        self.assertEqual(await cursors.of_user(BOB, []), {})

    @scenario
    async def test_of_conversation(self) -> None:
        """The members' cursors of one conversation, at most so many."""
        cursors = await self.make()
        await cursors.advance([CursorRow(c, user, user, 0) for user in range(1, 51) for c in ("c1", "c2")])
        found = await cursors.of_conversation("c1", 100)
        self.assertEqual(sorted(found), [CursorRow("c1", user, user, 0) for user in range(1, 51)])
        self.assertEqual(len(await cursors.of_conversation("c1", 20)), 20)
        self.assertEqual(await cursors.of_conversation("absent", 20), [])

    @scenario
    async def test_many_at_once(self) -> None:
        """A call may hold the cursors of a whole large group; none at all is fine too."""
        cursors = await self.make()
        await cursors.advance([])
        await cursors.advance([CursorRow("c1", user, 1, 1) for user in range(10_000)])
        self.assertEqual(len(await cursors.of_conversation("c1", 20_000)), 10_000)
