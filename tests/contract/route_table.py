"""What every route table promises, as scenarios; an implementation brings ``make``, ``drive``, ``pause``
and ``lose_memory``."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Mapping, Sequence
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imd.core.presence.routes import Route, RouteTable
from tests.contract.bus import scenario

ANN, BOB = 101, 2**62 + 1
SESSION = 2**62 + 3
PHONE = Route(ANN, "phone", 7, SESSION, "ios", 1_700_000_000_000)
LAPTOP = Route(ANN, "laptop", 8, SESSION + 1, "web", 1_700_000_000_001)
TABLET = Route(BOB, "tablet-of_BOB", 7, SESSION + 2, "android", 1_700_000_000_002)


def by_user(*routes: Route) -> dict[int, list[Route]]:
    """As in ``Found``, each user's devices sorted."""
    found: dict[int, list[Route]] = {}
    for route in sorted(routes):
        found.setdefault(route.user_id, []).append(route)
    return found


def tidy(found: Mapping[int, Sequence[Route]]) -> dict[int, list[Route]]:
    return {user_id: sorted(routes) for user_id, routes in found.items()}


class RouteTableCase(SynchronousTestCase):
    """What the contract needs from the implementation under test."""

    #: How long a route lives, and how long the table is young.
    ttl_s: float
    settle_s: float

    def drive(self, work: Coroutine[Any, Any, None]) -> Any:
        """Run a scenario; the result is the test's."""
        raise NotImplementedError

    async def make(self) -> RouteTable:
        """An empty table that nobody else uses, with these times."""
        raise NotImplementedError

    def pause(self, delay_s: float) -> Awaitable[None]:
        """Let time pass on the table's clock."""
        raise NotImplementedError

    async def lose_memory(self) -> None:
        """Make the table forget everything, behind the back of its users."""
        raise NotImplementedError

    async def routes_of(self, table: RouteTable, *user_ids: int) -> dict[int, list[Route]]:
        return tidy((await table.of_users(user_ids)).routes)

    async def all_of_node(self, table: RouteTable, node_id: int) -> list[Route]:
        routes: list[Route] = []
        page = await table.of_node(node_id)
        while True:
            routes += page.routes
            if not page.after:
                return routes
            page = await table.of_node(node_id, page.after)


class RouteTableContract(RouteTableCase):
    """Who is connected where."""

    @scenario
    async def test_put(self) -> None:
        """What was put is found by user and by node, whole; ``put`` itself tells all routes of its users."""
        table = await self.make()
        self.assertEqual(tidy((await table.put([PHONE])).routes), by_user(PHONE))
        found = await table.put([LAPTOP, TABLET])
        self.assertEqual(tidy(found.routes), by_user(PHONE, LAPTOP, TABLET))
        self.assertEqual(await self.routes_of(table, ANN, BOB, 5), by_user(PHONE, LAPTOP, TABLET))
        self.assertEqual(await self.routes_of(table, BOB), by_user(TABLET))
        self.assertEqual(sorted(await self.all_of_node(table, 7)), [PHONE, TABLET])
        self.assertEqual(await self.all_of_node(table, 8), [LAPTOP])
        self.assertEqual(await self.all_of_node(table, 9), [])

    @scenario
    async def test_nothing(self) -> None:
        """Nobody and nothing are fine too."""
        table = await self.make()
        self.assertEqual((await table.put([])).routes, {})
        self.assertEqual((await table.of_users([])).routes, {})
        await table.remove([])
        await table.remove([PHONE])

    @scenario
    async def test_newer_session(self) -> None:
        """A newer session of a device takes the place of the older, also at the older's node; never the
        other way. Of two as old as each other the higher session id is the newer."""
        table = await self.make()
        newer = PHONE._replace(node_id=8, session_id=1, since_ms=PHONE.since_ms + 1)
        await table.put([PHONE])
        self.assertEqual(tidy((await table.put([newer])).routes), by_user(newer))
        self.assertEqual(tidy((await table.put([PHONE])).routes), by_user(newer))
        self.assertEqual(await self.all_of_node(table, 7), [])
        self.assertEqual(await self.all_of_node(table, 8), [newer])
        higher = newer._replace(session_id=2**32)
        await table.put([higher, newer])
        self.assertEqual(await self.routes_of(table, ANN), by_user(higher))

    @scenario
    async def test_remove(self) -> None:
        """Only the named session goes; a newer one of the same device stays, other devices do."""
        table = await self.make()
        newer = PHONE._replace(node_id=8, session_id=SESSION + 9, since_ms=PHONE.since_ms + 1)
        await table.put([newer, LAPTOP, TABLET])
        await table.remove([PHONE, TABLET])
        self.assertEqual(await self.routes_of(table, ANN, BOB), by_user(newer, LAPTOP))
        await table.remove([newer])
        self.assertEqual(await self.routes_of(table, ANN, BOB), by_user(LAPTOP))
        self.assertEqual(await self.all_of_node(table, 7), [])
        self.assertEqual(await self.all_of_node(table, 8), [LAPTOP])
        await table.remove([LAPTOP])
        self.assertEqual(await self.all_of_node(table, 8), [])

    @scenario
    async def test_two_devices_at_one_node(self) -> None:
        """A user who loses one of two devices at a node is still found there by the other."""
        table = await self.make()
        desk = LAPTOP._replace(node_id=7)
        await table.put([PHONE, desk])
        await table.remove([desk])
        self.assertEqual(await self.all_of_node(table, 7), [PHONE])

    @scenario
    async def test_expires(self) -> None:
        """A route lives so long after it was put last; then it is found neither by user nor by node, and
        an older session may have the place."""
        table = await self.make()
        await table.put([PHONE, LAPTOP])
        await self.pause(self.ttl_s * 0.6)
        self.assertEqual(tidy((await table.put([PHONE])).routes), by_user(PHONE, LAPTOP))
        await self.pause(self.ttl_s * 0.6)
        self.assertEqual(await self.routes_of(table, ANN), by_user(PHONE))
        self.assertEqual(await self.all_of_node(table, 8), [])
        older = LAPTOP._replace(since_ms=5)
        self.assertEqual(tidy((await table.put([older])).routes), by_user(PHONE, older))
        await self.pause(self.ttl_s * 1.1)
        self.assertEqual(await self.routes_of(table, ANN), {})
        self.assertEqual(await self.all_of_node(table, 7), [])

    @scenario
    async def test_wrong_clock_of_a_node(self) -> None:
        """A node whose wall clock is years off has its routes for as long as others have theirs."""
        table = await self.make()
        past, future = PHONE._replace(since_ms=1), TABLET._replace(since_ms=2**47)
        await table.put([past, future])
        await self.pause(self.ttl_s * 0.5)
        self.assertEqual(await self.routes_of(table, ANN, BOB), by_user(past, future))
        await self.pause(self.ttl_s * 0.6)
        self.assertEqual(await self.routes_of(table, ANN, BOB), {})

    @scenario
    async def test_pages(self) -> None:
        """All routes of a node come in pages of a bearable size, each route once, others' not at all."""
        table = await self.make()
        mine = [self._one_of_many(n, node_id=7) for n in range(1300)]
        others = [self._one_of_many(n, node_id=8) for n in range(1000, 1400)]
        for start in range(0, 1300, 200):
            await table.put(mine[start : start + 200] + others[start : start + 200])
        page = await table.of_node(7)
        self.assertTrue(page.after)
        self.assertLess(len(page.routes), 800)
        await self._put_again(table, mine)
        self.assertEqual(sorted(await self.all_of_node(table, 7)), sorted(mine))

    def _one_of_many(self, n: int, *, node_id: int) -> Route:
        return Route(2**61 + n, f"device-{node_id}-{n}", node_id, SESSION + n, "web", 1_700_000_000_000 + n)

    async def _put_again(self, table: RouteTable, routes: Sequence[Route]) -> None:
        for start in range(0, len(routes), 200):
            await table.put(routes[start : start + 200])

    @scenario
    async def test_many_at_once(self) -> None:
        """One call may put, ask for and remove thousands."""
        table = await self.make()
        routes = [self._one_of_many(n, node_id=7) for n in range(2500)]
        found = await table.put(routes)
        self.assertEqual(tidy(found.routes), by_user(*routes))
        user_ids = [route.user_id for route in routes]
        self.assertEqual(await self.routes_of(table, *user_ids), by_user(*routes))
        await table.remove(routes[10:])
        self.assertEqual(await self.routes_of(table, *user_ids), by_user(*routes[:10]))

    @scenario
    async def test_memory_lost(self) -> None:
        """A table that has lost its memory is another generation, and incomplete until it has settled."""
        table = await self.make()
        first = await table.generation()
        await self.pause(self.settle_s)
        await table.put([PHONE])
        self.assertEqual(await self._completeness(table), {True})
        self.assertEqual(await table.generation(), first)
        await self.lose_memory()
        self.assertEqual(await self._completeness(table), {False})
        second = await table.generation()
        self.assertNotEqual(second, first)
        self.assertEqual(await self.routes_of(table, ANN), {})
        await table.put([PHONE])
        await self.pause(self.settle_s)
        self.assertEqual(await self._completeness(table), {True})
        self.assertEqual(await table.generation(), second)
        await self.lose_memory()
        self.assertNotIn(await table.generation(), (first, second))

    @scenario
    async def test_new_table(self) -> None:
        """A table nobody has used yet is incomplete, whatever is asked first."""
        table = await self.make()
        self.assertEqual(await self._completeness(table), {False})

    async def _completeness(self, table: RouteTable) -> set[bool]:
        answers = [await table.of_users([ANN]), await table.put([TABLET])]
        return {answer.complete for answer in answers}
