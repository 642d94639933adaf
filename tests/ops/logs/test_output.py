"""Files and pipes that lines go to, and what becomes of those that cannot be written."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.ops.logs import output
from imd.ops.logs.output import COMPLAINT_S, Output


class OutputTests(SynchronousTestCase):
    """``Output``."""

    def setUp(self) -> None:
        self.now_s = 0.0
        self.complaints: list[str] = []
        self.path = Path(self.mktemp()).absolute()

    def output(self, path: str | None = None, *, fd: int = 1) -> Output:
        made = Output(
            str(self.path) if path is None else path,
            standard_fd=fd,
            complain=self.complaints.append,
            seconds=lambda: self.now_s,
        )
        self.addCleanup(made.close)
        return made

    def test_appends(self) -> None:
        """A file is added to, also by two at a time, and is nobody else's to read."""
        one, two = self.output(), self.output()
        for each in (one, two, one):
            self.assertTrue(each.write("line\n"))
        self.assertEqual(self.path.read_text(), "line\n" * 3)
        self.assertEqual(self.path.stat().st_mode & 0o007, 0)

    def test_rotated(self) -> None:
        """A file that was moved is written to until it is opened anew."""
        out = self.output()
        out.write("one\n")
        moved = self.path.rename(self.path.with_suffix(".1"))
        out.write("two\n")
        out.reopen()
        out.write("three\n")
        self.assertEqual((moved.read_text(), self.path.read_text()), ("one\ntwo\n", "three\n"))

    def test_cannot_be_reopened(self) -> None:
        """Where it cannot be opened, lines go where they went."""
        out = self.output()
        self.assertRaises(OSError, out.reopen, str(self.path / "below a file"))
        out.write("one\n")
        self.assertEqual(self.path.read_text(), "one\n")

    def test_full(self) -> None:
        """A full disk costs lines, which are counted, and told at once and once a minute."""
        out = self.output("/dev/full")
        for _ in range(3):
            self.assertFalse(out.write("line\n"))
        self.assertEqual((out.lost, out.lost_in_a_row), (3, 3))
        self.assertEqual(len(self.complaints), 1)
        self.assertIn("/dev/full: No space left on device; the server goes on", self.complaints[0])
        self.now_s += COMPLAINT_S
        out.write("line\n")
        self.assertEqual(len(self.complaints), 2)
        out.reopen(str(self.path))
        self.assertTrue(out.write("line\n"))
        self.assertEqual((out.lost, out.lost_in_a_row), (4, 0))
        out.reopen("/dev/full")
        out.write("line\n")
        self.assertEqual((out.lost, len(self.complaints)), (5, 2))

    def test_nobody_to_tell(self) -> None:
        """Not even a standard error that is full, too, is a reason to fail."""

        def complain(_: str) -> None:
            raise OSError("full")

        out = Output("/dev/full", complain=complain, seconds=lambda: 0)
        self.addCleanup(out.close)
        self.assertFalse(out.write("line\n"))

    def test_stuck(self) -> None:
        """A reader that does not read is waited for once, and then no more until it reads."""
        self.patch(output, "STUCK_S", 0.01)
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        out = self.output("", fd=writer)
        while out.write("x" * 1000 + "\n"):
            self.assertLess(out.lost, 1)
        self.assertIn("the standard output: nobody reads it", self.complaints[0])
        os.read(reader, 1 << 20)
        self.assertTrue(out.write("there\n"))
        self.assertTrue(os.read(reader, 1 << 20).endswith(b"there\n"))

    def test_named_pipe(self) -> None:
        """A pipe that nobody reads can be named, and does not hold up the start: it is told."""
        os.mkfifo(self.path)
        self.assertRaises(OSError, self.output)

    def test_half_a_line(self) -> None:
        """What follows on a line of which only a part was taken begins on its own."""
        self.patch(output, "STUCK_S", 0.01)
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        out = self.output("", fd=writer)
        self.assertFalse(out.write("x" * 1_000_000 + "\n"))
        os.read(reader, 1 << 20)
        self.assertTrue(out.write("whole\n"))
        self.assertEqual(os.read(reader, 100), b"\nwhole\n")
