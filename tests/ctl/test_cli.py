"""What imctl says to whoever types it."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout

from twisted.trial.unittest import SynchronousTestCase

from imd.ctl.cli import run
from imd.ctl.exits import SOURCE


class Typing(SynchronousTestCase):
    """Command lines."""

    def typed(self, *arguments: str) -> tuple[int, str]:
        """Exit code and all that was said."""
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            try:
                code = run(arguments)
            except SystemExit as ended:
                code = int(ended.code or 0)
        return code, said.getvalue()

    def test_help(self) -> None:
        """Help names every command; that of a command, what its exit codes mean."""
        code, said = self.typed("--help")
        self.assertEqual(code, 0)
        for command in ("backup", "restore", "restore-drill", "doctor", "migrate"):
            self.assertIn(f"\n    {command}", said)
        code, said = self.typed("migrate", "--help")
        self.assertEqual(code, 0)
        for words in ("--from", "--to", "--check-only", "Exit codes: 0 moved and checked; 1"):
            self.assertIn(words, said)

    def test_wrong_usage(self) -> None:
        """Without a command, or without what it needs: 2."""
        self.assertEqual(self.typed()[0], 2)
        self.assertEqual(self.typed("migrate", "--from", "x")[0], 2)

    def test_refusal(self) -> None:
        """What a command refuses ends with its code and one line that says what to do."""
        folder = self.mktemp()
        code, said = self.typed("migrate", "--from", folder, "--to", folder)
        self.assertEqual(code, SOURCE)
        self.assertEqual(said.count("\n"), 1)
        self.assertIn("no data folder", said)
