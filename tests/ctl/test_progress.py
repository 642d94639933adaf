"""What the operator sees while it goes on."""

from __future__ import annotations

from io import StringIO

from twisted.trial.unittest import SynchronousTestCase

from imd.ctl.progress import Progress


class Showing(SynchronousTestCase):
    """On a clock of the test's own."""

    def setUp(self) -> None:
        self.out = StringIO()
        self.now_s = 100.0

    def progress(self, *, terminal: bool) -> Progress:
        return Progress(out=self.out, seconds=lambda: self.now_s, terminal=terminal)

    def test_log(self) -> None:
        """Elsewhere than on a terminal: whole lines, one in ten seconds, without control characters."""
        progress = self.progress(terminal=False)
        progress.begin("messages", 10_000, done=4_000)
        for _ in range(15):
            self.now_s += 1
            progress.advance(100)
        progress.end()
        self.assertEqual(
            self.out.getvalue().splitlines(),
            [
                "messages: 5,000 of 10,000 (50%), 100/s, 50 s left",
                "messages: 5,500 of 10,000 (55%), 100/s, took 15 s",
            ],
        )

    def test_terminal(self) -> None:
        """On a terminal: one line that is written over, with a bar."""
        progress = self.progress(terminal=True)
        progress.begin("messages", 4)
        for _ in range(4):
            self.now_s += 1
            progress.advance(1)
        progress.end()
        last = self.out.getvalue().split("\r")[-1]
        self.assertEqual(last, f"\x1b[K[{'#' * 24}] messages: 4 of 4 (100%), 1/s, took 4 s\n")
        self.assertEqual(self.out.getvalue().count("\n"), 1)

    def test_watch(self) -> None:
        """Rows that pass are counted, and come out as they are."""
        progress = self.progress(terminal=False)
        self.assertEqual(list(progress.watch("messages", 1200, range(1200))), list(range(1200)))
        self.assertEqual(self.out.getvalue(), "messages: 1,200 of 1,200 (100%), 0/s, took 0 s\n")

    def test_nothing(self) -> None:
        """Nothing to do is done at once."""
        progress = self.progress(terminal=False)
        progress.begin("cursors", 0)
        progress.end()
        self.assertEqual(self.out.getvalue(), "cursors: 0 of 0 (100%), 0/s, took 0 s\n")

    def test_long(self) -> None:
        """Long times in words that people use."""
        progress = self.progress(terminal=False)
        progress.begin("messages", 100_000)
        self.now_s += 10
        progress.advance(100)
        self.now_s += 80
        progress.advance(100)
        self.assertIn("2 h 46 min left", self.out.getvalue())
        self.assertIn("12 h 28 min left", self.out.getvalue())
