"""Background work, time-outs, sleeping."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import TimeoutError, sleep, with_timeout


async def awaiting(deferred: Deferred[Any]) -> Any:
    return await deferred


class TasksTests(SynchronousTestCase):
    """``Tasks``."""

    def setUp(self) -> None:
        self.tasks = Tasks()

    def stop(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.tasks.stop())

    def test_runs(self) -> None:
        """Work begins at once, is counted while it runs, and is forgotten at its end."""
        gate: Deferred[None] = Deferred()
        self.tasks.spawn("wait", awaiting(gate))
        self.assertEqual(len(self.tasks), 1)
        gate.callback(None)
        self.assertEqual(len(self.tasks), 0)

    def test_failure_is_logged(self) -> None:
        """A failure is in the log with the task's name, and harms nobody."""
        gate: Deferred[None] = Deferred()
        self.tasks.spawn("late", awaiting(gate))
        gate.errback(KeyError("late"))

        async def at_once() -> None:
            raise KeyError("at once")

        self.tasks.spawn("soon", at_once())
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 2)
        self.assertEqual(len(self.tasks), 0)

    def test_stop_cancels_and_waits(self) -> None:
        """Stop cancels what runs and fires when its clean-up is done."""
        cleaning: Deferred[None] = Deferred()

        async def work() -> None:
            try:
                await Deferred()
            finally:
                await cleaning

        self.tasks.spawn("work", work())
        stopped = self.stop()
        self.assertNoResult(stopped)
        cleaning.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_failing_clean_up(self) -> None:
        """A failure in the clean-up is logged, and the other tasks are stopped all the same."""
        ended = []

        async def bad() -> None:
            try:
                await Deferred()
            finally:
                raise KeyError("clean-up")

        async def good() -> None:
            try:
                await Deferred()
            finally:
                ended.append("good")

        self.tasks.spawn("bad", bad())
        self.tasks.spawn("good", good())
        self.successResultOf(self.stop())
        self.assertEqual(ended, ["good"])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_nothing_begins_after_stop(self) -> None:
        """Work that comes too late is not begun."""
        begun = []

        async def work() -> None:
            begun.append(1)

        self.successResultOf(self.stop())
        self.tasks.spawn("late", work())
        self.assertEqual((begun, len(self.tasks)), ([], 0))


class Timeouts(SynchronousTestCase):
    """``with_timeout`` and ``sleep``."""

    def setUp(self) -> None:
        self.clock = Clock()

    def test_in_time(self) -> None:
        """The result comes through, and no timer is left."""
        gate: Deferred[int] = Deferred()
        result = with_timeout(awaiting(gate), timeout_s=1, clock=self.clock)
        gate.callback(7)
        self.assertEqual(self.successResultOf(result), 7)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_too_late(self) -> None:
        """After the time the work is cancelled, and the caller told."""
        cancelled: list[object] = []
        gate: Deferred[int] = Deferred(cancelled.append)
        result = with_timeout(gate, timeout_s=1, clock=self.clock)
        self.clock.advance(0.99)
        self.assertNoResult(result)
        self.clock.advance(0.01)
        self.failureResultOf(result, TimeoutError)
        self.assertEqual(cancelled, [gate])

    def test_sleep(self) -> None:
        """Fires after the delay, not before."""
        asleep = sleep(2, clock=self.clock)
        self.clock.advance(1.9)
        self.assertNoResult(asleep)
        self.clock.advance(0.1)
        self.successResultOf(asleep)

    def test_cancelled_sleep(self) -> None:
        """A sleeper can be woken; its timer goes with it."""
        asleep = sleep(2, clock=self.clock)
        asleep.cancel()
        self.failureResultOf(asleep, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
