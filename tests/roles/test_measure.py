"""What a group costs a core node's memory, and how ``tools/bench permission`` shows what it found."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.core.permission.codec import decode_membership, encode_membership
from imd.roles.measure.__main__ import parser, shown
from imd.roles.measure.permission import MOST, decoded_bytes, large_group


class MemoryTests(SynchronousTestCase):
    """The largest group that is allowed."""

    def test_large_group(self) -> None:
        """10,000 members take at most 2 MB, also if each of them has a restriction of their own."""
        for restricted in (False, True):
            group = large_group(restricted=restricted)
            self.assertEqual(decode_membership("g_large", encode_membership(group)), group)
            self.assertLess(decoded_bytes(group), 2_000_000)


class ShownTests(SynchronousTestCase):
    """For people."""

    def test_table(self) -> None:
        """Each figure stands beside what is promised of it."""
        text = shown({"cached_check_us": 0.4, "misses": 20_000}, MOST)
        self.assertEqual(
            text.splitlines(),
            ["cached_check_us             0.4         at most 3.0", "misses                      20,000"],
        )

    def test_defaults(self) -> None:
        """Without arguments nothing but this process is needed."""
        given = parser().parse_args([])
        self.assertEqual((given.nats, given.rate, given.seconds), (False, None, 10))
