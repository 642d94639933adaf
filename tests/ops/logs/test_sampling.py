"""Floods are cut, and what was cut is told."""

from __future__ import annotations

from typing import Any

from twisted.logger import LogEvent, LogLevel, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from imd.ops.logs import sampling
from imd.ops.logs.sampling import ALWAYS, SUMMARY_S, Sampling


def line(form: str = "refused {peer}", **more: Any) -> LogEvent:
    return {"log_namespace": "imd.x", "log_level": LogLevel.info, "log_format": form, "peer": "p", **more}


class SamplingTests(SynchronousTestCase):
    """``Sampling``."""

    def setUp(self) -> None:
        self.now_s = 100.0
        self.sampling = Sampling(5, seconds=lambda: self.now_s)

    def admitted(self, count: int, *args: Any, **more: Any) -> int:
        return sum(self.sampling.admit(line(*args, **more)) for _ in range(count))

    def told(self, *, all_of_them: bool = False) -> list[str]:
        return [formatEvent(event) for event in self.sampling.summaries(all_of_them=all_of_them)]

    def test_flood(self) -> None:
        """So many a second are written; a minute later the others are told, once."""
        self.assertEqual(self.admitted(42), 5)
        self.assertEqual(self.told(), [])
        self.now_s += SUMMARY_S
        self.assertEqual(self.told(), ["37 more like it in 60 s: refused p"])
        self.assertEqual(self.told(), [])
        self.assertEqual(self.admitted(7), 5)
        self.assertEqual(self.sampling.held_back, 39)

    def test_kinds(self) -> None:
        """What comes from another place, or tells of another failure, is not held back for it."""
        self.admitted(50)
        self.assertEqual(self.admitted(1, "another {peer}"), 1)
        self.assertEqual(self.admitted(1, log_failure=Failure(ValueError())), 1)
        self.assertEqual(self.admitted(1, log_failure=Failure(KeyError())), 1)
        self.assertEqual(self.admitted(1, peer="somebody else"), 0)

    def test_never_held_back(self) -> None:
        """Neither what was asked for with debug, nor what is critical, nor what must stand in the log."""
        for more in ({"log_level": LogLevel.debug}, {"log_level": LogLevel.critical}, {ALWAYS: True}):
            self.assertEqual(self.admitted(50, **more), 50)

    def test_level(self) -> None:
        """The summary is as loud as what it stands for, and of the same part."""
        self.admitted(6, log_level=LogLevel.error)
        (summary,) = self.sampling.summaries(all_of_them=True)
        self.assertEqual((summary["log_level"], summary["log_namespace"]), (LogLevel.error, "imd.x"))

    def test_end(self) -> None:
        """At the end all is told, minute or not."""
        self.admitted(6)
        self.now_s += 3
        self.assertEqual(self.told(all_of_them=True), ["1 more like it in 3 s: refused p"])

    def test_off(self) -> None:
        """0 writes all, from the moment it is set."""
        self.admitted(6)
        self.sampling.change(0)
        self.assertEqual(self.admitted(50), 50)
        self.sampling.change(2)
        self.assertEqual(self.admitted(50), 2)

    def test_too_many_kinds(self) -> None:
        """Kinds without end take no memory without end: those above the bound share one."""
        self.patch(sampling, "MAX_KINDS", 10)
        self.assertEqual(sum(self.admitted(1, f"{n}") for n in range(100)), 10 + 5)
