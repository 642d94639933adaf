"""[permission] and the record it becomes: what is default, what may be said, what is refused."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.config import permission as words
from imd.config.permission import Cell, Permission, cell, problems_of
from imd.core.permission.policy import Scene
from imd.core.permission.values import (
    MATRIX,
    AuditLevel,
    ConversationKind,
    Decision,
    Level,
    MessageKind,
    PolicyValues,
    Row,
)
from imd.roles.policy_values import policy_values


class PolicyValuesTests(SynchronousTestCase):
    """``policy_values``."""

    def test_default(self) -> None:
        """A file that says nothing and code that says nothing mean the same."""
        self.assertEqual(policy_values(Permission()), PolicyValues())

    def test_words(self) -> None:
        """The words of the configuration are those of the core, all of them."""
        self.assertEqual(words.KINDS, tuple(kind.value for kind in ConversationKind))
        self.assertEqual(words.MESSAGES, tuple(kind.value for kind in MessageKind))
        self.assertEqual(words.DECISIONS, tuple(decision.value for decision in Decision))
        self.assertEqual(words.COLUMNS, tuple(level.name.lower() for level in Level))
        self.assertEqual((*words.COLUMNS, words.AUDIT), Row._fields)
        self.assertEqual(words.LEVELS, tuple(level.name.lower() for level in AuditLevel))
        self.assertEqual(words.SCENES, tuple(scene.value for scene in Scene))

    def test_cell(self) -> None:
        """A cell that is named is replaced, all others stay."""
        matrix = policy_values(
            Permission(matrix=["group.media.timed_out=release", "group.media.audit = low"])
        ).matrix
        changed = {row for row in MATRIX if matrix[row] != MATRIX[row]}
        self.assertEqual(changed, {(ConversationKind.GROUP, MessageKind.MEDIA)})
        self.assertEqual(
            matrix[ConversationKind.GROUP, MessageKind.MEDIA],
            Row(Decision.CHECK, Decision.CACHE, Decision.RELEASE, AuditLevel.LOW),
        )


class CellTests(SynchronousTestCase):
    """``cell`` and ``problems_of``."""

    def test_good(self) -> None:
        """Spaces do not matter."""
        self.assertEqual(cell(" p2p.text.normal =  strict"), Cell("p2p", "text", "normal", "strict"))

    def test_bad(self) -> None:
        """What cannot be understood is told with what was expected."""
        for text, says in (
            ("", "is no cell"),
            ("p2p.text=check", "is no cell"),
            ("p2p.text.normal", "is no cell"),
            ("grup.text.normal=check", "did you mean group?"),
            ("p2p.video.normal=check", "none of text, media, control"),
            ("p2p.text.timedout=check", "did you mean timed_out?"),
            ("p2p.text.normal=low", "none of check, cache"),
            ("p2p.text.audit=check", "none of low, medium, high"),
        ):
            problems = dict(problems_of(Permission(matrix=["p2p.text.normal=check", text])))
            self.assertEqual(list(problems), ["matrix[1]"], text)
            self.assertIn(says, problems["matrix[1]"])

    def test_scenes(self) -> None:
        """A scene that there is not is told."""
        problems = dict(problems_of(Permission(release_scenes=["p2p", "everywhere"])))
        self.assertEqual(list(problems), ["release_scenes[1]"])

    def test_order(self) -> None:
        """Degraded begins below timed out."""
        problems = dict(problems_of(Permission(degraded_above_ms=301, degraded_share=0.06)))
        self.assertEqual(list(problems), ["degraded_above_ms", "degraded_share"])
