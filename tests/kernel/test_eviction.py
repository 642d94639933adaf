"""Keeping a dict bounded, oldest entries out first."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.kernel.eviction import forget_oldest


class EvictionTests(SynchronousTestCase):
    """What stays, and that it stays cheap."""

    def test_oldest_go(self) -> None:
        """Nothing goes until an eighth is too much; then the oldest go, down to the limit."""
        entries = dict.fromkeys(range(90))
        forget_oldest(entries, 80)
        self.assertEqual(len(entries), 90)
        entries[90] = None
        forget_oldest(entries, 80)
        self.assertEqual(list(entries), list(range(11, 91)))

    def test_small_limit(self) -> None:
        """A limit too small for an eighth is kept exactly."""
        entries: dict[int, None] = {}
        for number in range(10):
            entries[number] = None
            forget_oldest(entries, 3)
            self.assertLessEqual(len(entries), 3)
        self.assertEqual(list(entries), [7, 8, 9])

    def test_linear(self) -> None:
        """Entries in and out cost the same however many have gone before: cuts are rare and few."""
        cuts = 0

        class Counting(dict[int, None]):
            def __iter__(self):  # type: ignore[no-untyped-def]
                nonlocal cuts
                cuts += 1
                return super().__iter__()

        entries = Counting()
        for number in range(10_000):
            entries[number] = None
            forget_oldest(entries, 800)
        self.assertLessEqual(cuts, 10_000 // 100)
