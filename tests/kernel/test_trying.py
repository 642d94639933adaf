"""Work that waits for what it needs to come back."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.kernel.errors import Forbidden, ImError, ServerBusy
from imd.kernel.trying import Trying

DELAYS_S = (1.0, 5.0)


class TryingTests(SynchronousTestCase):
    """A database that is away for a while."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.trying = Trying(clock=self.clock, delays_s=DELAYS_S)
        self.outcomes: list[ImError | None] = []
        self.told: list[ImError] = []

    async def work(self) -> str:
        if self.outcomes and (error := self.outcomes.pop(0)) is not None:
            raise error
        return "done"

    def begun(self) -> Deferred[str]:
        return Deferred.fromCoroutine(self.trying.until_done(self.work, waits=self.told.append))

    def test_at_once(self) -> None:
        """What works needs no second try, and nobody hears of a wait."""
        self.assertEqual(self.successResultOf(self.begun()), "done")
        self.assertEqual(self.told, [])

    def test_back_again(self) -> None:
        """It is tried at growing intervals, the last for ever, and the first failure alone is told."""
        self.outcomes = [ServerBusy("first"), *[ServerBusy("more") for _ in range(3)]]
        begun = self.begun()
        for delay_s in (1.0, 5.0, 5.0):
            self.clock.advance(delay_s - 0.1)
            self.assertNoResult(begun)
            self.clock.advance(0.1)
        self.assertNoResult(begun)
        self.clock.advance(5.0)
        self.assertEqual(self.successResultOf(begun), "done")
        self.assertEqual([str(error) for error in self.told], ["first"])

    def test_would_end_the_same(self) -> None:
        """An error that another try does not mend is raised at once."""
        self.outcomes = [Forbidden("no")]
        self.failureResultOf(self.begun(), Forbidden)

    def test_stop_while_waiting(self) -> None:
        """Who waits when the owner stops hears of it at once, and no timer is left."""
        self.outcomes = [ServerBusy("away")]
        begun = self.begun()
        self.trying.stop()
        self.failureResultOf(begun, ServerBusy)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopped_before(self) -> None:
        """After the stop one failure is enough."""
        self.trying.stop()
        self.outcomes = [ServerBusy("away")]
        self.failureResultOf(self.begun(), ServerBusy)
