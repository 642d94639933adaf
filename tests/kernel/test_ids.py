"""Identifiers."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.kernel.errors import PayloadInvalid, ServerBusy
from imd.kernel.ids import (
    MAX_NODE_ID,
    SNOWFLAKE_EPOCH_MS,
    Snowflake,
    check_id,
    direct_conversation_id,
    is_client_msg_id,
    is_id,
)

USER_IDS = st.integers(1, 2**63 - 1)


class Time:
    """A wall clock that is set by hand."""

    def __init__(self, now_ms: int = SNOWFLAKE_EPOCH_MS + 1000) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


class Snowflakes(SynchronousTestCase):
    """Numbers that rise and never repeat."""

    def setUp(self) -> None:
        self.time = Time()
        self.ids = Snowflake(node_id=5, wall_clock=self.time)

    def test_parts(self) -> None:
        """41 bits of milliseconds since 2025, 10 of node, 12 of sequence."""
        first, second = self.ids.next(), self.ids.next()
        self.assertEqual((first >> 22, first >> 12 & 1023, first & 4095), (1000, 5, 0))
        self.assertEqual(second, first + 1)
        self.time.now_ms += 1
        self.assertEqual(self.ids.next(), 1001 << 22 | 5 << 12)

    def test_many_in_one_millisecond(self) -> None:
        """More than 4,096 in a millisecond borrow from the next; all are different and rising."""
        made = [self.ids.next() for _ in range(10_000)]
        self.assertEqual(made, sorted(set(made)))
        self.assertEqual({number >> 12 & 1023 for number in made}, {5})

    def test_clock_steps_back(self) -> None:
        """When the wall clock is set back, ids go on rising."""
        before = self.ids.next()
        for step in (-3_600_000, 1, 0, -1, 500):
            self.time.now_ms += step
            after = self.ids.next()
            self.assertGreater(after, before)
            before = after

    def test_clock_before_the_epoch(self) -> None:
        """A machine that wakes up in 1970 still makes positive, rising ids."""
        self.time.now_ms = 0
        made = [self.ids.next() for _ in range(5000)]
        self.assertEqual(made, sorted(set(made)))
        self.assertGreater(made[0], 0)

    def test_63_bits(self) -> None:
        """They fit a signed 64-bit number until 2094."""
        self.time.now_ms = SNOWFLAKE_EPOCH_MS + (1 << 41) - 1
        self.assertLess(self.ids.next(), 1 << 63)

    def test_nodes_never_meet(self) -> None:
        """Two nodes at the same moment make different ids."""
        other = Snowflake(node_id=6, wall_clock=self.time)
        mine = {self.ids.next() for _ in range(5000)}
        self.assertFalse(mine & {other.next() for _ in range(5000)})

    def test_namesakes_seldom_meet(self) -> None:
        """Two processes with one node id, or one whose clock was set back, make few ids twice."""
        mine, others = (
            Snowflake(node_id=5, wall_clock=self.time, random=Random(seed).random) for seed in (1, 2)
        )
        made: list[list[int]] = [[], []]
        for _ in range(1000):
            self.time.now_ms += 1
            for ids, into in zip((mine, others), made, strict=True):
                into += [ids.next() for _ in range(5)]
        for each in made:
            self.assertEqual(each, sorted(set(each)))
        self.assertLess(len(set(made[0]) & set(made[1])), 50)

    def test_random_start(self) -> None:
        """Wherever a millisecond begins there is room in it for 2,000 ids."""
        self.ids = Snowflake(node_id=5, wall_clock=self.time, random=lambda: 0.9999999)
        self.assertEqual({self.ids.next() >> 22 for _ in range(2000)}, {1000})

    def test_retired(self) -> None:
        """When another process has the node id, no more ids are made."""
        self.ids.next()
        self.ids.retire()
        error = self.assertRaises(ServerBusy, self.ids.next)
        self.assertTrue(error.retryable)

    def test_node_id(self) -> None:
        """A node id that does not fit is refused."""
        for node_id in (-1, MAX_NODE_ID + 1):
            self.assertRaises(ValueError, Snowflake, node_id=node_id, wall_clock=self.time)


class ConversationIds(SynchronousTestCase):
    """1:1 conversations."""

    @given(USER_IDS, USER_IDS)
    def test_same_from_both_sides(self, alice: int, bob: int) -> None:
        """Both members compute the same id, and it may be used as one."""
        name = direct_conversation_id(alice, bob)
        self.assertEqual(name, direct_conversation_id(bob, alice))
        self.assertTrue(is_id(name))
        self.assertTrue(name.startswith("p_"))

    @given(st.sets(USER_IDS, min_size=3, max_size=3))
    def test_every_pair_has_its_own(self, users: set[int]) -> None:
        """Three people have three conversations."""
        alice, bob, carol = users
        pairs = {direct_conversation_id(*pair) for pair in ((alice, bob), (bob, carol), (alice, carol))}
        self.assertEqual(len(pairs), 3)

    def test_no_run_together(self) -> None:
        """1 and 23 are not 12 and 3."""
        self.assertNotEqual(direct_conversation_id(1, 23), direct_conversation_id(12, 3))

    def test_frozen(self) -> None:
        """Stored conversations keep their ids: the hash never changes."""
        self.assertEqual(direct_conversation_id(2, 1), "p_673aeeb08cfbb00b91e5e3c60b5ba318")


class Shapes(SynchronousTestCase):
    """What an id may look like."""

    def test_ids(self) -> None:
        """Letters, digits, _ and -, 1 to 64; no quotes, operators, dots, line ends or other alphabets."""
        for good in ("a", "A-b_9", "x" * 64):
            self.assertTrue(is_id(good))
            self.assertEqual(check_id(good, "f"), good)
        for bad in ("", "x" * 65, "a.b", "$ne", "a'b", "a b", "a\n", "\n", "ä", "\u0661", "a\0", "a:b"):
            self.assertFalse(is_id(bad), bad)
            error = self.assertRaises(PayloadInvalid, check_id, bad, "conversationId")
            self.assertEqual(error.field, "conversationId")

    def test_client_message_ids(self) -> None:
        """A client may also use : and . in its own."""
        for good in ("a", "2024:1.5-x_Y", "x" * 64):
            self.assertTrue(is_client_msg_id(good))
        for bad in ("", "x" * 65, "a b", "a\n", "$", "a/b", "é"):
            self.assertFalse(is_client_msg_id(bad), bad)
