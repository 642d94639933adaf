"""The filter of who is restricted: nobody is missed, whatever happens while it is built."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.core.permission.restricted import (
    MIN_CAPACITY,
    REBUILD_S,
    RETRY_S,
    RestrictedFilter,
    RestrictedPage,
    RestrictedUsers,
)
from imd.kernel.errors import ServerBusy
from imd.kernel.tasks import Tasks

pairs = st.tuples(st.text("abc_", max_size=3), st.integers(1, 50))


class FilterTests(SynchronousTestCase):
    """The set itself."""

    @settings(max_examples=50, deadline=None)
    @given(added=st.sets(pairs))
    def test_no_false_negatives(self, added: set[tuple[str, int]]) -> None:
        """Whoever was added is in it."""
        known = RestrictedFilter()
        for pair in added:
            known.add(*pair)
        self.assertTrue(all(known.may_contain(*pair) for pair in added))
        self.assertEqual(known.count, len(added))

    def test_few_false_positives(self) -> None:
        """Of others two in a hundred are taken for one, twice as many when it holds far more than expected."""
        for count, most in ((MIN_CAPACITY, 300), (3 * MIN_CAPACITY, 600)):
            known = RestrictedFilter()
            for user_id in range(count):
                known.add("g_1", user_id)
            self.assertTrue(all(known.may_contain("g_1", user_id) for user_id in range(count)))
            wrong = sum(known.may_contain("g_2", user_id) for user_id in range(10_000))
            self.assertLess(wrong, most)

    def test_everywhere(self) -> None:
        """Who is restricted without a conversation being named is so in each."""
        known = RestrictedFilter()
        known.add("", 7)
        self.assertTrue(known.may_contain("g_1", 7))
        self.assertFalse(known.may_contain("g_1", 8))

    def test_memory(self) -> None:
        """A million costs 1.2 MB."""
        self.assertLess(RestrictedFilter(1_000_000).size_bytes, 1_300_000)


class Business:
    """Pages of the restricted; each waits until the test lets it go."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Deferred[RestrictedPage]]] = []

    async def restricted(self, after: str) -> RestrictedPage:
        page: Deferred[RestrictedPage] = Deferred()
        self.asked.append((after, page))
        return await page

    def answer(self, *found: tuple[str, int], more: str = "") -> str:
        after, page = self.asked.pop()
        page.callback(RestrictedPage(found, more))
        return after


class RestrictedUsersTests(SynchronousTestCase):
    """Kept up to date."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.business = Business()
        self.tasks = Tasks()
        self.users = RestrictedUsers(source=self.business, clock=self.clock, tasks=self.tasks)
        self.successResultOf(Deferred.fromCoroutine(self.users.start()))
        self.addCleanup(lambda: self.successResultOf(Deferred.fromCoroutine(self.tasks.stop())))

    def restricted(self) -> list[int]:
        return [user_id for user_id in range(1, 6) if self.users.may_be_restricted("g_1", user_id)]

    def test_pages(self) -> None:
        """All pages are read before it counts; until then everybody may be."""
        self.assertEqual(self.restricted(), [1, 2, 3, 4, 5])
        self.assertEqual(self.business.answer(("g_1", 1), more="x"), "")
        self.assertEqual(self.restricted(), [1, 2, 3, 4, 5])
        self.assertEqual(self.business.answer(("g_1", 3), ("g_2", 4)), "x")
        self.assertEqual(self.restricted(), [1, 3])
        self.assertEqual(self.users.counts()["count"], 3)

    def test_rebuilt(self) -> None:
        """After a minute it is built anew: who is not restricted any more is out of it then."""
        self.business.answer(("g_1", 1))
        self.clock.advance(REBUILD_S)
        self.assertEqual(self.restricted(), [1])
        self.business.answer(("g_1", 2))
        self.assertEqual(self.restricted(), [2])

    def test_heard(self) -> None:
        """Who is heard to be restricted is in it at once, and not lost by a rebuild that was under way."""
        self.business.answer()
        self.clock.advance(REBUILD_S)
        self.business.answer(("g_1", 1), more="x")
        self.users.learn("g_1", [2, 3])
        self.assertEqual(self.restricted(), [2, 3])
        self.business.answer()
        self.assertEqual(self.restricted(), [1, 2, 3])

    def test_heard_before_the_first(self) -> None:
        """Also while the first one is being built."""
        self.users.learn("g_1", [2])
        self.business.answer()
        self.assertEqual(self.restricted(), [2])

    def test_business_is_away(self) -> None:
        """When business cannot be asked, in whichever page, what was known stays; and it is tried again."""
        self.business.answer(("g_1", 1))
        self.clock.advance(REBUILD_S)
        self.business.answer(("g_1", 2), more="x")
        self.business.asked.pop()[1].errback(ServerBusy("planted"))
        self.assertEqual(self.restricted(), [1])
        self.users.learn("g_1", [3])
        self.assertEqual(self.restricted(), [1, 3])
        self.clock.advance(RETRY_S)
        self.business.answer(("g_1", 4))
        self.assertEqual(self.restricted(), [4])

    def test_fault(self) -> None:
        """A fault while it is built is logged, and the next one is tried."""
        self.business.asked.pop()[1].errback(RuntimeError("planted"))
        self.clock.advance(RETRY_S)
        self.business.answer(("g_1", 4))
        self.assertEqual(self.restricted(), [4])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
