"""What operators find: the same tables as of a running role, from its own objects."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.config.log import Log
from imd.config.sections import CoreConfig, CoreLimits
from imd.kernel.slowest import Slowest
from imd.ops.health import Readiness
from imd.ops.logs.levels import Levels
from imd.roles.manhole.node import NodeCommands, clock_time, span
from imd.roles.manhole.timed import METHODS, timed_log, timed_threads


class FakeLog:
    """A log of which only the levels are looked at."""

    def __init__(self) -> None:
        self.levels = Levels()
        self.lines = {"info": 3, "error": 0}
        self.lost = self.held_back = 0
        self.changed: list[Log] = []

    def change(self, settings: Log) -> None:
        self.changed.append(settings)
        self.levels.change(settings.level, dict(text.split("=") for text in settings.levels))


class Seen:
    """Settings of which version 4 sets a burst of 9."""

    version = 4
    file = CoreConfig(limits=CoreLimits(user_burst=7))
    config = CoreConfig(limits=CoreLimits(user_burst=9), log=Log(lines_per_s=3))


class Node(SynchronousTestCase):
    """``NodeCommands``."""

    def setUp(self) -> None:
        self.stored = True
        self.readiness = Readiness({"messages": lambda: self.stored})
        self.log = FakeLog()
        log: Any = self.log
        self.addCleanup(self.log.levels.change, "info", {})
        seen: Any = Seen()
        self.slowest = Slowest(wall_clock=lambda: 1_700_000_000_000)
        self.node = NodeCommands(readiness=self.readiness, settings=seen, log=log, slowest=self.slowest)

    def test_health(self) -> None:
        """Ready or not, with what is missing, and the lines of the log."""
        self.assertIn("NOT ready", repr(self.node.health()))
        self.successResultOf(Deferred.fromCoroutine(self.readiness.start()))
        self.assertTrue(repr(self.node.health()).startswith("ready"))
        self.stored = False
        self.assertIn(("messages", "unavailable"), self.node.health().rows)

    def test_limits(self) -> None:
        """Values in force, and the file's where they differ; only those that are asked for."""
        shown = self.node.limits("burst")
        self.assertEqual(shown.rows, [("limits.user_burst", "9", "7")])
        self.assertIn("settings version 4", repr(shown))
        paths = [row[0] for row in self.node.limits().rows]
        self.assertIn("permission.deadline_ms", paths)
        self.assertIn("log.level", paths)
        self.assertNotIn("accounts.registration", paths)

    def test_slowest(self) -> None:
        """By kind, the worst first, in milliseconds."""
        self.slowest.note("database", 0.25, lambda: "find")
        self.slowest.note("message log: append", 1.5)
        self.assertEqual(
            self.node.slowest().rows,
            [
                ("250", "2023-11-14T22:13:20Z", "database", "find"),
                ("1,500", "2023-11-14T22:13:20Z", "message log: append", ""),
            ],
        )

    def test_log_level(self) -> None:
        """A level can be set for a part and for all, and nothing else by it; a wrong one is told."""
        self.node.log_level("debug", "imd.core")
        self.node.log_level("warn")
        self.assertEqual(self.node.log_level().rows, [("(all)", "warn"), ("imd.core", "debug")])
        self.assertEqual(self.log.changed[-1].lines_per_s, 3)
        error = self.assertRaises(ValueError, self.node.log_level, "loud")
        self.assertIn("none of debug, info", str(error))
        self.assertEqual(len(self.log.changed), 2)


class Words(SynchronousTestCase):
    """Times as operators read them."""

    def test_span(self) -> None:
        """Two units at most."""
        for seconds, text in ((0, "0.0 s"), (59.94, "59.9 s"), (61, "1 min 1 s"), (7_860, "2 h 11 min")):
            self.assertEqual(span(seconds), text)
        self.assertEqual(span(90_000), "1 d 1 h")
        self.assertEqual(clock_time(0), "-")


class TimedTests(SynchronousTestCase):
    """Stores that are measured."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.slowest = Slowest(wall_clock=lambda: 1)

    def test_log(self) -> None:
        """Each call of the message log is noted with how long it took, and its answer is the same."""
        answer: Deferred[str] = Deferred()

        class Store:
            """Answers later."""

            async def append(self, rows: list[int]) -> str:
                return await answer

        for name in METHODS[1:]:
            setattr(Store, name, Store.append)
        store: Any = Store()
        self.assertIs(timed_log(store, slowest=None, seconds=self.clock.seconds), store)
        timed: Any = timed_log(store, slowest=self.slowest, seconds=self.clock.seconds)
        running = Deferred.fromCoroutine(timed.append([1, 2, 3]))
        self.clock.advance(2)
        answer.callback("stored")
        self.assertEqual(self.successResultOf(running), "stored")
        (entry,) = self.slowest.entries()
        self.assertEqual((entry.took_s, entry.what, entry.about), (2, "message log: append", "3 rows"))

    def test_threads(self) -> None:
        """So is each call of a database, failures too."""
        answer: Deferred[Any] = Deferred()
        threads: Any = timed_threads(lambda work: answer, slowest=self.slowest, seconds=self.clock.seconds)
        running = threads(lambda: None)
        self.clock.advance(3)
        answer.errback(ValueError())
        self.failureResultOf(running, ValueError)
        self.assertEqual(self.slowest.entries()[0].took_s, 3)
