"""Time-outs that end the work, and those that only end the waiting."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.kernel.timeouts import TimeoutError, patiently, with_timeout


class PatientlyTests(SynchronousTestCase):
    """``patiently``, beside ``with_timeout``."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.gate: Deferred[str] = Deferred()
        self.ended: list[str] = []

    async def work(self) -> str:
        try:
            answer = await self.gate
        except BaseException as error:
            self.ended.append(type(error).__name__)
            raise
        self.ended.append(answer)
        return answer

    def test_in_time(self) -> None:
        """The result, or the failure, of the work."""
        waiting = patiently(self.work(), timeout_s=1.0, clock=self.clock)
        self.gate.callback("done")
        self.assertEqual(self.successResultOf(waiting), "done")
        self.gate = Deferred()
        waiting = patiently(self.work(), timeout_s=1.0, clock=self.clock)
        self.gate.errback(ValueError("planted"))
        self.failureResultOf(waiting, ValueError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_too_late(self) -> None:
        """Who waits goes on; the work does, too, and nobody misses how it ends."""
        for outcome in ("done", ValueError("planted")):
            self.gate, self.ended = Deferred(), []
            waiting = patiently(self.work(), timeout_s=1.0, clock=self.clock)
            self.clock.advance(1.0)
            self.failureResultOf(waiting, TimeoutError)
            self.assertEqual(self.ended, [])
            if isinstance(outcome, Exception):
                self.gate.errback(outcome)
            else:
                self.gate.callback(outcome)
            self.assertEqual(len(self.ended), 1)

    def test_cancelled_work(self) -> None:
        """``with_timeout`` ends the work itself."""
        waiting = with_timeout(self.work(), timeout_s=1.0, clock=self.clock)
        self.clock.advance(1.0)
        self.failureResultOf(waiting, TimeoutError)
        self.assertEqual(self.ended, ["CancelledError"])
