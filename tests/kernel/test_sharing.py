"""One question for all who ask the same at the same time."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.kernel.sharing import SharedQuestions


class SharedQuestionsTests(SynchronousTestCase):
    """Who asks, and who only waits."""

    def setUp(self) -> None:
        self.shared: SharedQuestions[str, int] = SharedQuestions()
        self.asked: list[Deferred[int]] = []

    def ask(self, key: str) -> Deferred[int]:
        async def question() -> int:
            self.asked.append(answer := Deferred[int]())
            return await answer

        return Deferred.fromCoroutine(self.shared.ask(key, question))

    def test_same(self) -> None:
        """The same question at the same time is put once, and all get its answer."""
        first, second = self.ask("a"), self.ask("a")
        self.assertEqual(len(self.asked), 1)
        self.asked[0].callback(7)
        self.assertEqual((self.successResultOf(first), self.successResultOf(second)), (7, 7))

    def test_other(self) -> None:
        """Another question is another's."""
        first, second = self.ask("a"), self.ask("b")
        self.asked[1].callback(2)
        self.assertEqual(self.successResultOf(second), 2)
        self.assertNoResult(first)

    def test_later(self) -> None:
        """Who asks after the answer asks anew: nothing is remembered."""
        first = self.ask("a")
        self.asked[0].callback(1)
        second = self.ask("a")
        self.asked[1].callback(2)
        self.assertEqual((self.successResultOf(first), self.successResultOf(second)), (1, 2))

    def test_failure(self) -> None:
        """All who waited hear of a failure, and the next one asks again."""
        first, second = self.ask("a"), self.ask("a")
        self.asked[0].errback(ZeroDivisionError())
        self.failureResultOf(first, ZeroDivisionError)
        self.failureResultOf(second, ZeroDivisionError)
        self.ask("a")
        self.assertEqual(len(self.asked), 2)
