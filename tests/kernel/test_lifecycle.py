"""Start in order, stop in reverse."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.kernel.errors import StartupError
from imd.kernel.lifecycle import Stages


class Recorded:
    """A stage that writes down what happens to it; with gates, its start or stop waits for them."""

    def __init__(self, name: str, diary: list[str]) -> None:
        self.name = name
        self.diary = diary
        self.starts: Deferred[None] | None = None
        self.stops: Deferred[None] | None = None

    async def start(self) -> None:
        self.diary.append(f"{self.name} starts")
        if self.starts is not None:
            await self.starts
        self.diary.append(f"{self.name} is up")

    async def stop(self) -> None:
        self.diary.append(f"{self.name} stops")
        if self.stops is not None:
            await self.stops
        self.diary.append(f"{self.name} is down")


class StagesTests(SynchronousTestCase):
    """``Stages``."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.diary: list[str] = []
        self.failures: list[BaseException] = []
        self.store, self.bus, self.gateway = (
            Recorded(name, self.diary) for name in ("store", "bus", "gateway")
        )
        self.stages = Stages(
            [("store", self.store), ("bus", self.bus), ("gateway", self.gateway)],
            clock=self.clock,
            on_failed=self.failures.append,
            stop_timeout_s=5.0,
        )

    def test_order(self) -> None:
        """Each stage starts when the one before is up, and stops when the one after is down."""
        self.stages.startService()
        self.successResultOf(self.stages.stopService())
        names = ("store", "bus", "gateway")
        up = [f"{name} {word}" for name in names for word in ("starts", "is up")]
        down = [f"{name} {word}" for name in reversed(names) for word in ("stops", "is down")]
        self.assertEqual(self.diary, up + down)
        self.assertEqual(self.failures, [])

    def test_waits(self) -> None:
        """A slow stage holds back those after it, on the way up and on the way down."""
        self.bus.starts, self.bus.stops = Deferred(), Deferred()
        self.stages.startService()
        self.assertEqual(self.diary[-1], "bus starts")
        self.bus.starts.callback(None)
        self.assertEqual(self.diary[-1], "gateway is up")
        stopped = self.stages.stopService()
        self.assertEqual(self.diary[-1], "bus stops")
        self.assertNoResult(stopped)
        self.bus.stops.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(self.diary[-1], "store is down")

    def test_failure(self) -> None:
        """A stage that fails stops those before it in reverse, then the process is told; the rest never starts."""
        self.bus.starts = Deferred()
        self.stages.startService()
        self.bus.starts.errback(StartupError("no bus"))
        self.assertEqual(
            self.diary, ["store starts", "store is up", "bus starts", "store stops", "store is down"]
        )
        self.assertEqual([str(error) for error in self.failures], ["no bus"])
        self.successResultOf(self.stages.stopService())
        self.assertEqual(self.diary[-1], "store is down")
        self.assertEqual(self.diary.count("store stops"), 1)

    def test_stopped_while_starting(self) -> None:
        """Stop during the start waits for the stage at hand, starts no other, and stops what is up."""
        self.bus.starts = Deferred()
        self.stages.startService()
        stopped = self.stages.stopService()
        self.assertNoResult(stopped)
        self.bus.starts.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(
            self.diary[-5:], ["bus is up", "bus stops", "bus is down", "store stops", "store is down"]
        )
        self.assertNotIn("gateway starts", self.diary)

    def test_stop_that_hangs(self) -> None:
        """A stage that never stops is left behind after the deadline."""
        self.gateway.stops = Deferred()
        self.stages.startService()
        stopped = self.stages.stopService()
        self.clock.advance(4.9)
        self.assertNoResult(stopped)
        self.clock.advance(0.1)
        self.successResultOf(stopped)
        self.assertEqual(self.diary[-1], "store is down")
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_stop_that_fails(self) -> None:
        """A stage that fails to stop is logged, and the others stop all the same."""
        self.gateway.stops = Deferred()
        self.stages.startService()
        stopped = self.stages.stopService()
        self.gateway.stops.errback(KeyError("gateway"))
        self.successResultOf(stopped)
        self.assertEqual(self.diary[-1], "store is down")
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_never_started(self) -> None:
        """Stopping what never started stops nothing."""
        self.successResultOf(self.stages.stopService())
        self.assertEqual(self.diary, [])
