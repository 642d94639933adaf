"""A folder to back up, and what imctl says."""

from __future__ import annotations

import io
import secrets
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.bus.subjects import NOTIFICATION_PUSH
from imd.core.message.model import CursorRow
from imd.core.message.sqlite import message_database
from imd.ctl.cli import run
from imd.storage.epoch import EpochFile
from tests.ctl.folder import DataFolder, at_once, message

LENGTH = 40
CONVERSATIONS = ("p_a", "p_b", "g_c")


class Scene(SynchronousTestCase):
    """A data folder with a little of everything, and a folder for backups."""

    def setUp(self) -> None:
        self.data = DataFolder(Path(self.mktemp()))
        self.data.write_messages(
            [message(name, seq, sender_id=seq % 3) for seq in range(1, LENGTH + 1) for name in CONVERSATIONS],
            [CursorRow("p_a", 1, 7, 5)],
        )
        self.data.write_people(5)
        self.data.write_last_seen({1: 1000})
        self.data.leave_event(NOTIFICATION_PUSH, consumer="push")
        self.parent = Path(self.mktemp())
        self.parent.mkdir()
        self.backup = self.parent / "one"
        self.restored = self.parent / "restored"

    def typed(self, *arguments: str | Path) -> tuple[int, str]:
        """Exit code and all that was said."""
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            code = run([str(argument) for argument in arguments])
        return code, said.getvalue()

    def does(self, *arguments: str | Path) -> str:
        """It succeeds; what was said."""
        code, said = self.typed(*arguments)
        self.assertEqual(code, 0, said)
        return said

    def refused(self, expected: int, *words: str, doing: tuple[str | Path, ...]) -> str:
        """It ends with this code, and its last line has these words."""
        code, said = self.typed(*doing)
        self.assertEqual(code, expected, said)
        for word in words:
            self.assertIn(word, said.splitlines()[-1])
        return said

    def taken(self) -> Path:
        """A backup."""
        self.does("backup", "--data", self.data.path, "--to", self.backup)
        return self.backup

    def names(self, folder: Path) -> list[str]:
        """What is in a folder, without the lock of ours that stays."""
        return sorted(path.name for path in folder.iterdir() if path.name != ".imd-backup.lock")

    def epoch(self, folder: Path) -> str:
        """As a server reads it at its start."""
        epoch = EpochFile(folder / "epoch", random_hex=secrets.token_hex)
        at_once(epoch.start())
        return epoch.value()

    def messages(self, folder: Path) -> list[tuple[str, int, bytes]]:
        """As a server reads them, in order."""
        query = (
            "SELECT conversation_id, seq, body FROM messages JOIN conversations ON number = conversation"
            " ORDER BY conversation_id, seq"
        )
        database = message_database(folder=folder, threads=None)
        at_once(database.start())
        done: list[list[tuple[str, int, bytes]]] = []
        database.read(lambda connection: connection.execute(query).fetchall()).addCallback(done.append)
        at_once(database.stop())
        return done[0]
