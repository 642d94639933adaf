"""Examinations beside one another, and the report."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterator
from itertools import count

from twisted.trial.unittest import SynchronousTestCase

from imd.ctl.doctor.finding import Check, Finding, Level
from imd.ctl.doctor.report import Waiting, as_json, lines
from imd.ctl.doctor.running import Examination, findings_of

CHECK = Check("test.check", "it would be bad")


class Running(SynchronousTestCase):
    """One that hangs or breaks is its own trouble."""

    def test_in_order(self) -> None:
        """Findings come in the order of the examinations, whichever ends first."""
        second = threading.Event()

        def slow() -> Iterator[Finding]:
            second.wait(10)
            yield CHECK.ok("one", "")

        def quick() -> Iterator[Finding]:
            yield CHECK.ok("two", "")
            second.set()

        found = findings_of(
            [Examination("one", slow, 10), Examination("two", quick, 10)],
            seconds=time.monotonic,
            progress=lambda names: None,
        )
        self.assertEqual([each.about for each in found], ["one", "two"])

    def test_hangs(self) -> None:
        """What does not end is given up, what it had found stays, and all others are told."""
        release = threading.Event()
        self.addCleanup(release.set)

        def hangs() -> Iterator[Finding]:
            yield CHECK.ok("hangs", "so far")
            release.wait(60)

        ticks = count(0, 10)
        waited: list[list[str]] = []
        found = findings_of(
            [Examination("dead", hangs, 20), Examination("well", lambda: [CHECK.ok("well", "")], 20)],
            seconds=lambda: float(next(ticks)),
            progress=lambda names: waited.append(list(names)),
        )
        self.assertEqual([each.about for each in found], ["hangs", "dead", "well"])
        self.assertEqual((found[1].level, found[1].check), (Level.FAIL, "doctor.ended"))
        self.assertIn(["dead"], waited)

    def test_breaks(self) -> None:
        """A check that fails itself is a finding, not the end."""

        def breaks() -> Iterator[Finding]:
            yield CHECK.ok("a", "")
            raise ZeroDivisionError("by nought")

        found = findings_of(
            [Examination("b", breaks, 5)], seconds=time.monotonic, progress=lambda names: None
        )
        self.assertEqual([each.level for each in found], [Level.OK, Level.FAIL])
        self.assertIn("ZeroDivisionError: by nought", found[1].found)


class Report(SynchronousTestCase):
    """What people and programs read."""

    def test_quiet(self) -> None:
        """Nothing wrong is one line; notes are counted, and shown only if asked for."""
        found = [CHECK.ok("a", "fine"), CHECK.note("b", "so", "nothing")]
        self.assertEqual(list(lines(found, verbose=False)), ["all 2 checks passed (1 note: --verbose)"])
        self.assertEqual(len(list(lines(found, verbose=True))), 5)

    def test_worst_last(self) -> None:
        """The worst stands where the eye is, with what it means and what to do; no terminal codes get through."""
        found = [
            CHECK.fail("a\x1b[2J", "gone", "mend it"),
            CHECK.ok("c", ""),
            CHECK.warn("b", "old", "renew it"),
        ]
        said = list(lines(found, verbose=False))
        self.assertEqual(said[0], "WARN  test.check: b: old")
        self.assertEqual(said[3], "FAIL  test.check: a [2J: gone")
        self.assertEqual(said[4:6], ["      it would be bad", "      do: mend it"])
        self.assertEqual(said[-1], "1 failure, 1 warning; 1 checks passed")

    def test_json(self) -> None:
        """All findings, and the worst level."""
        document = json.loads(as_json([CHECK.ok("a", "x"), CHECK.warn("b", "y", "z")]))
        self.assertEqual(document["worst"], "warn")
        self.assertEqual([each["level"] for each in document["findings"]], ["ok", "warn"])
        self.assertEqual(document["findings"][1]["do"], "z")

    def test_waiting(self) -> None:
        """Who waits for long is told for what, and not at once."""
        now_s = 0.0
        out = io.StringIO()
        waiting = Waiting(out=out, seconds=lambda: now_s)
        waiting(["mongo"])
        self.assertEqual(out.getvalue(), "")
        now_s = 3.0
        waiting(["mongo", "redis"])
        waiting(["mongo"])
        self.assertEqual(out.getvalue(), "waiting for mongo, redis\n")
