"""Which logins count, from memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.business.accounts import sessions
from imd.business.accounts.model import Sessions
from imd.business.accounts.ports import Accounts
from imd.business.accounts.sessions import BATCH, TTL_S, SessionCache
from imd.kernel.errors import ServerBusy
from imd.kernel.tasks import Tasks


class SlowAccounts:
    """Answers a query when the test says, with what was true when it was asked."""

    def __init__(self) -> None:
        self.state: dict[int, Sessions] = {}
        self.queries: list[list[int]] = []
        self._open: list[tuple[Deferred[Mapping[int, Sessions]], Mapping[int, Sessions]]] = []

    async def sessions(self, user_ids: Sequence[int]) -> Mapping[int, Sessions]:
        self.queries.append(list(user_ids))
        answer: Deferred[Mapping[int, Sessions]] = Deferred()
        self._open.append((answer, {one: self.state[one] for one in user_ids if one in self.state}))
        return await answer

    def answer(self, error: Exception | None = None) -> None:
        answer, found = self._open.pop(0)
        if error is None:
            answer.callback(found)
        else:
            answer.errback(error)


class Cache(SynchronousTestCase):
    """Few queries, never an old truth after a change."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.accounts = SlowAccounts()
        self.cache = SessionCache(accounts=cast(Accounts, self.accounts), clock=self.clock, tasks=Tasks())
        self.accounts.state[1] = Sessions(True, 1, {"phone": "a"})

    def ask(self, user_id: int = 1) -> Deferred[Any]:
        return Deferred.fromCoroutine(self.cache.of(user_id))

    def test_storm(self) -> None:
        """2,000 users who connect at once cost one query, and then one a batch."""
        asked = [self.ask(user_id) for user_id in range(1, 2001)]
        while self.accounts._open:
            self.accounts.answer()
        for one in asked:
            self.successResultOf(one)
        self.assertEqual([len(query) for query in self.accounts.queries], [1, BATCH, BATCH, BATCH, BATCH - 1])
        self.successResultOf(self.ask(7))
        self.assertEqual(len(self.accounts.queries), 5)

    def test_together(self) -> None:
        """Many devices of one user share one query."""
        asked = [self.ask() for _ in range(50)]
        self.accounts.answer()
        self.assertEqual({id(self.successResultOf(one)) for one in asked}, {id(self.accounts.state[1])})
        self.assertEqual(self.accounts.queries, [[1]])

    def test_unknown(self) -> None:
        """Nobody is remembered as nobody."""
        asked = self.ask(9)
        self.accounts.answer()
        self.assertIsNone(self.successResultOf(asked))
        self.assertIsNone(self.successResultOf(self.ask(9)))

    def test_revoked_while_asking(self) -> None:
        """An answer that was on its way when the login ended is not used: it is asked for again."""
        asked = self.ask()
        self.accounts.state[1] = Sessions(True, 1, {})
        self.cache.forget(1)
        self.accounts.answer()
        self.assertNoResult(asked)
        self.accounts.answer()
        self.assertEqual(self.successResultOf(asked).logins, {})
        self.assertEqual(self.successResultOf(self.ask()).logins, {})

    def test_forget(self) -> None:
        """After a change the next question reads anew."""
        self.ask()
        self.accounts.answer()
        self.cache.forget(1)
        self.ask()
        self.assertEqual(len(self.accounts.queries), 2)

    def test_ages(self) -> None:
        """What another node changed is noticed after a minute, even if nobody told."""
        self.ask()
        self.accounts.answer()
        self.clock.advance(TTL_S - 0.1)
        self.ask()
        self.assertEqual(len(self.accounts.queries), 1)
        self.clock.advance(0.1)
        self.ask()
        self.assertEqual(len(self.accounts.queries), 2)

    def test_made_elsewhere(self) -> None:
        """What is newer than what is known is asked for at once; what is older has ended, and costs nothing."""
        self.ask()
        self.accounts.answer()
        self.clock.advance(20)
        self.accounts.state[1] = Sessions(True, 1, {"phone": "a", "laptop": "b"})
        asked: Deferred[Any] = Deferred.fromCoroutine(self.cache.newer_than(1, 2.0))
        self.accounts.answer()
        self.assertEqual(set(self.successResultOf(asked).logins), {"phone", "laptop"})
        asked = Deferred.fromCoroutine(self.cache.newer_than(1, 31.0))
        self.assertEqual(set(self.successResultOf(asked).logins), {"phone", "laptop"})
        self.assertEqual(len(self.accounts.queries), 2)

    def test_failure(self) -> None:
        """A failed query fails those who asked, and nobody after them."""
        asked = [self.ask(), self.ask(2)]
        self.accounts.answer(ServerBusy("down"))
        self.failureResultOf(asked[0], ServerBusy)
        self.accounts.answer()
        self.assertIsNone(self.successResultOf(asked[1]))
        again = self.ask()
        self.accounts.answer()
        self.assertTrue(self.successResultOf(again).active)

    def test_bounded(self) -> None:
        """The memory it takes is bounded; who was not asked about for longest goes first."""
        self.patch(sessions, "MAX_USERS", 10)
        for user_id in range(1, 12):
            self.ask(user_id)
            self.accounts.answer()
        self.assertEqual(list(self.cache._known), list(range(2, 12)))
