"""The operators' token."""

from __future__ import annotations

import stat
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.kernel.errors import StartupError
from imd.ops.operator_token import OperatorToken


class OperatorTokenTests(SynchronousTestCase):
    """``OperatorToken``."""

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.path = folder / "admin.token"

    def started(self) -> OperatorToken:
        token = OperatorToken(self.path, key="operator_token_file")
        self.successResultOf(Deferred.fromCoroutine(token.start()))
        return token

    def refused(self) -> str:
        token = OperatorToken(self.path, key="operator_token_file")
        return str(self.failureResultOf(Deferred.fromCoroutine(token.start()), StartupError).value)

    def test_made_once(self) -> None:
        """The first start makes it, for its owner only; later ones keep it."""
        first = self.started()
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        text = self.path.read_text().strip()
        self.assertGreaterEqual(len(text), 64)
        for token in (first, self.started()):
            self.assertTrue(token.is_right(text))
            self.assertFalse(token.is_right(text[:-1]))
            self.assertFalse(token.is_right(""))
            self.assertFalse(token.is_right("\xff"))
        self.assertNotIn(text, repr(first))

    def test_not_started(self) -> None:
        """Before the start nothing is right, not even nothing."""
        self.assertFalse(OperatorToken(self.path, key="operator_token_file").is_right(""))

    def test_refused(self) -> None:
        """A token that everybody could read or guess, or a place where none can be, stops the start."""
        self.path.write_text("x" * 64)
        self.path.chmod(0o644)
        self.assertIn("chmod 0600", self.refused())
        self.path.chmod(0o600)
        self.path.write_text("short")
        self.assertIn("shorter than", self.refused())
        self.path.write_text("")
        self.assertIn("empty", self.refused())
        self.path = self.path.parent / "nowhere" / "token"
        self.assertIn("operator_token_file", self.refused())
