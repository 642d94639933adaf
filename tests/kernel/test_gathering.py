"""Questions that are put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.kernel.errors import ServerBusy
from imd.kernel.gathering import Gathering


class GatheringTests(SynchronousTestCase):
    """Reads that wait until the test answers them."""

    def setUp(self) -> None:
        self.reads: list[tuple[list[str], Deferred[Mapping[str, int]]]] = []
        self.gathering: Gathering[str, int] = Gathering(self.read, crowd=5, most=3)

    async def read(self, keys: Sequence[str]) -> Mapping[str, int]:
        answer: Deferred[Mapping[str, int]] = Deferred()
        self.reads.append((list(keys), answer))
        return await answer

    def ask(self, key: str) -> Deferred[int | None]:
        return Deferred.fromCoroutine(self.gathering.ask(key))

    def test_alone(self) -> None:
        """Who asks alone does not wait for others; what is not there is None."""
        found, missing = self.ask("a"), self.ask("b")
        self.reads.pop()[1].callback({"a": 1})
        self.assertEqual(self.successResultOf(found), 1)
        self.reads.pop()[1].callback({})
        self.assertIsNone(self.successResultOf(missing))

    def test_together(self) -> None:
        """What is asked during a read goes into the next, each key once, at most so many."""
        asked = [self.ask(key) for key in ("a", "b", "a", "b", "c", "d")]
        self.assertEqual([keys for keys, _ in self.reads], [["a"]])
        self.reads.pop()[1].callback({"a": 1})
        self.assertEqual([keys for keys, _ in self.reads], [["b", "a", "c"]])
        self.reads.pop()[1].callback({"a": 2, "b": 3, "c": 4})
        self.assertEqual([keys for keys, _ in self.reads], [["d"]])
        self.reads.pop()[1].callback({"d": 5})
        # The second who asked for "a" did so after the first read had begun, and is told of a later one.
        self.assertEqual([self.successResultOf(each) for each in asked], [1, 3, 2, 3, 4, 5])

    def test_failure(self) -> None:
        """A read that fails is told to those who waited for it; the next is another."""
        first, second = self.ask("a"), self.ask("b")
        self.reads.pop()[1].errback(ServerBusy("planted"))
        self.failureResultOf(first, ServerBusy)
        self.reads.pop()[1].callback({"b": 2})
        self.assertEqual(self.successResultOf(second), 2)

    def test_gave_up(self) -> None:
        """Who does not wait any longer takes nobody along."""
        impatient, patient = self.ask("a"), self.ask("a")
        impatient.addErrback(lambda _: None)
        impatient.cancel()
        self.reads.pop()[1].callback({"a": 1})
        self.reads.pop()[1].callback({"a": 2})
        self.assertEqual(self.successResultOf(patient), 2)

    def test_crowd(self) -> None:
        """When many wait another read begins, so that one that hangs does not hold all of them up."""
        self.ask("hangs")
        waiting = [self.ask(key) for key in "abcde"]
        self.assertEqual(len(self.reads), 2)
        self.reads.pop()[1].callback({"a": 1})
        self.assertEqual(self.successResultOf(waiting[0]), 1)
        self.assertEqual(self.reads.pop()[0], ["d", "e"])
