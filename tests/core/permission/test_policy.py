"""The default-policy matrix cell by cell, deadlines by scene, gray switches, throttling."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.core.directory import GROUP, MANAGED, MEMBER, NORMAL, OFFICIAL, P2P, PUBLIC, Membership
from imd.core.permission.policy import (
    Scene,
    deadline_s,
    decision_in,
    is_released,
    kind_of,
    rate_of,
    row_of,
    scene_of,
    share_of,
    unanswered,
)
from imd.core.permission.values import (
    MATRIX,
    AuditLevel,
    ConversationKind,
    Deadlines,
    Decision,
    Gray,
    Level,
    MessageKind,
    PolicyValues,
)
from tests.named_cases import named_cases

DEADLINES = Deadlines()


def conversation(kind: int = GROUP, *, members: int = 3, **more: Any) -> Membership:
    """One with so many members."""
    return Membership("c", kind, 1, dict.fromkeys(range(1, members + 1), MEMBER))._replace(**more)


#: A conversation of each kind in the matrix.
EXAMPLES = {
    ConversationKind.P2P: conversation(P2P, members=2),
    ConversationKind.GROUP: conversation(),
    ConversationKind.SENSITIVE: conversation(group_kind=PUBLIC),
    ConversationKind.SYSTEM: conversation(),
}

#: Spec 23.1, copied from there: conversation, message, then normal, degraded, timed out, audit level.
TABLE = """
p2p       text     check  cache   release  low
p2p       media    check  cache   release  medium
p2p       control  check  cache   refuse   low
group     text     check  cache   release  medium
group     media    check  cache   refuse   high
group     control  check  cache   refuse   medium
sensitive text     check  strict  refuse   high
sensitive media    check  strict  refuse   high
sensitive control  check  strict  refuse   high
system    text     check  strict  release  high
system    media    check  strict  release  high
system    control  check  strict  release  high
"""
CELLS = {
    f"{kind}_{message}_{level.name.lower()}": (kind, message, level, decision, audit)
    for kind, message, *decisions, audit in (line.split() for line in TABLE.split("\n") if line)
    for level, decision in zip(Level, decisions, strict=True)
}


@named_cases(CELLS, "The cell {0} x {1} when {2.name}: {3}, told at level {4}.")
class MatrixTests(SynchronousTestCase):
    """One test a cell, named after it."""

    def check(self, kind: str, message: str, level: Level, decision: str, audit: str) -> None:
        row = row_of(
            PolicyValues(),
            EXAMPLES[ConversationKind(kind)],
            MessageKind(message),
            by_system=kind == "system",
        )
        self.assertEqual(decision_in(row, level), Decision(decision))
        self.assertEqual(row.audit, AuditLevel[audit.upper()])


class MatrixWholeTests(SynchronousTestCase):
    """The matrix as a whole."""

    def test_complete(self) -> None:
        """There is a row for every kind of conversation and message."""
        self.assertEqual(
            set(MATRIX), {(kind, message) for kind in ConversationKind for message in MessageKind}
        )
        self.assertEqual(len(CELLS), 36)

    def test_unanswered(self) -> None:
        """Where the authority was asked in vain it is yes or no, whatever the last column says."""
        row = MATRIX[ConversationKind.P2P, MessageKind.TEXT]
        for decision, after in (
            (Decision.RELEASE, Decision.RELEASE),
            (Decision.CACHE, Decision.RELEASE),
            (Decision.CHECK, Decision.REFUSE),
            (Decision.STRICT, Decision.REFUSE),
            (Decision.REFUSE, Decision.REFUSE),
        ):
            self.assertIs(unanswered(row._replace(timed_out=decision)), after)


class SceneTests(SynchronousTestCase):
    """``scene_of``, ``kind_of``, ``deadline_s``."""

    def test_deadlines(self) -> None:
        """100, 150, 200, 300 ms, as spec 5.4 has them; what is unknown has 300."""
        for known, scene, milliseconds in (
            (conversation(members=1001), Scene.LARGE, 100),
            (conversation(members=1001, group_kind=OFFICIAL), Scene.LARGE, 100),
            (conversation(group_kind=MANAGED), Scene.MANAGED, 150),
            (conversation(group_kind=PUBLIC), Scene.PUBLIC, 200),
            (conversation(group_kind=OFFICIAL), Scene.PUBLIC, 200),
            (conversation(members=1000), Scene.ORDINARY, 300),
            (conversation(group_kind=NORMAL), Scene.ORDINARY, 300),
            (conversation(P2P, members=2), Scene.P2P, 300),
            (None, Scene.ORDINARY, 300),
        ):
            self.assertIs(scene_of(known, DEADLINES), scene)
            self.assertEqual(round(deadline_s(known, DEADLINES) * 1000), milliseconds)

    def test_sensitive(self) -> None:
        """Large, managed, public, official and marked groups are sensitive; others are not."""
        for known in (
            conversation(members=1001),
            conversation(group_kind=MANAGED),
            conversation(group_kind=PUBLIC),
            conversation(group_kind=OFFICIAL),
            conversation()._replace(sensitive=True),
        ):
            self.assertIs(kind_of(known, DEADLINES, by_system=False), ConversationKind.SENSITIVE)
            self.assertIs(kind_of(known, DEADLINES, by_system=True), ConversationKind.SYSTEM)
        self.assertIs(kind_of(conversation(), DEADLINES, by_system=False), ConversationKind.GROUP)


class GrayTests(SynchronousTestCase):
    """``is_released``."""

    def test_scenes(self) -> None:
        """Only in the scenes that are listed."""
        gray = Gray(scenes=frozenset({"p2p"}))
        self.assertTrue(is_released(gray, Scene.P2P, 7))
        self.assertFalse(is_released(gray, Scene.ORDINARY, 7))

    @given(st.integers(1, 2**53), st.floats(0, 100), st.floats(0, 100))
    def test_percent(self, user_id: int, first: float, second: float) -> None:
        """Whoever is in at a share is in at every larger one; nobody at 0, everybody at 100."""
        lower, upper = sorted((first, second))
        if is_released(Gray(users_percent=lower), Scene.P2P, user_id):
            self.assertTrue(is_released(Gray(users_percent=upper), Scene.P2P, user_id))
        self.assertFalse(is_released(Gray(users_percent=0), Scene.P2P, user_id))
        self.assertTrue(is_released(Gray(users_percent=100), Scene.P2P, user_id))

    def test_level(self) -> None:
        """From a level on; what the server itself writes has none."""
        gray = Gray(min_level=3)
        self.assertEqual(
            [is_released(gray, Scene.P2P, 7, level=level) for level in (0, 2, 3, 4)],
            [False, False, True, True],
        )
        self.assertTrue(is_released(gray, Scene.SYSTEM, 0))

    def test_evenly(self) -> None:
        """A tenth of the users is about a tenth."""
        inside = sum(share_of(user_id) < 0.1 for user_id in range(100_000))
        self.assertTrue(9_000 < inside < 11_000, inside)


class ThrottleTests(SynchronousTestCase):
    """``rate_of``."""

    def test_spec(self) -> None:
        """Sensitive: half above 3 %; ordinary: four fifths above 5 %."""
        values, sensitive = PolicyValues(), conversation(group_kind=PUBLIC)
        for known, share, rate in (
            (sensitive, 0.03, 1.0),
            (sensitive, 0.031, 0.5),
            (conversation(), 0.05, 1.0),
            (conversation(), 0.051, 0.8),
            (conversation(P2P, members=2), 1.0, 0.8),
        ):
            self.assertEqual(rate_of(values, known, share), rate)
