"""What took longest."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.kernel.slowest import SPAN_MS, Slowest


class SlowestTests(SynchronousTestCase):
    """``Slowest``."""

    def setUp(self) -> None:
        self.now_ms = 10 * SPAN_MS
        self.slowest = Slowest(wall_clock=lambda: self.now_ms, keep=3)

    def taken(self) -> list[float]:
        return [each.took_s for each in self.slowest.entries()]

    def test_slowest(self) -> None:
        """The slowest are kept, the worst first; of the others not even a description is made."""
        for took_s in (1.0, 5.0, 3.0, 4.0):
            self.slowest.note("call", took_s, lambda: "rows")
        self.assertEqual(self.taken(), [5.0, 4.0, 3.0])
        self.slowest.note("call", 2.0, lambda: self.fail("asked"))
        self.assertEqual(self.slowest.entries()[0]._replace(took_s=0), (0, self.now_ms, "call", "rows"))

    def test_kinds(self) -> None:
        """What is slow does not push out what is not so slow, but another thing; so many of each can be asked for."""
        for took_s in (5.0, 4.0, 3.0):
            self.slowest.note("one", took_s)
        self.slowest.note("another", 0.1)
        self.assertEqual(self.taken(), [0.1, 5.0, 4.0, 3.0])
        self.assertEqual([each.took_s for each in self.slowest.entries(1)], [0.1, 5.0])

    def test_forgotten(self) -> None:
        """After an hour they make room for what is faster."""
        for took_s in (5.0, 4.0, 3.0):
            self.slowest.note("call", took_s)
        self.now_ms += SPAN_MS
        self.assertEqual(self.taken(), [])
        self.slowest.note("call", 0.1)
        self.assertEqual(self.taken(), [0.1])

    def test_room_after_an_hour(self) -> None:
        """That they are old is noticed without anybody looking."""
        for took_s in (5.0, 4.0, 3.0):
            self.slowest.note("call", took_s)
        self.now_ms += SPAN_MS
        self.slowest.note("call", 0.1)
        self.slowest.note("call", 9.0)
        self.assertEqual(self.taken(), [9.0])
