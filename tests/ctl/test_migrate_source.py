"""The folder that is moved: what is read from it, and when it is refused."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.bus.subjects import AUTH_INVALIDATE, NOTIFICATION_PUSH
from imd.core.message.model import CursorRow
from imd.ctl.exits import SOURCE, CommandFailed
from imd.ctl.migrate.source import Folder
from imd.ctl.migrate.tables import ADMIN, count_rows
from imd.kernel.errors import StartupError
from imd.storage.sqlite import FolderLock
from tests.ctl.folder import EPOCH, DataFolder, at_once, message


class Reading(SynchronousTestCase):
    """What stands in the folder."""

    def setUp(self) -> None:
        self.data = DataFolder(Path(self.mktemp()))

    def test_messages(self) -> None:
        """In the order of writing for the copy, by conversation and seq for the check, recalls and all."""
        self.data.write_messages(
            [message("p_b", 1), message("p_a", 1), message("p_b", 2), message("p_b", 3, revokes_seq=1)]
        )
        with Folder(self.data.path) as folder:
            written = folder.messages_after(0, 3, 1 << 20)
            self.assertEqual([row.conversation_id for _, row in written], ["p_b", "p_a", "p_b"])
            self.assertEqual([row.seq for _, row in folder.messages_after(written[-1][0], 3, 1)], [3])
            self.assertEqual(folder.messages_up_to(written[-1][0]), 3)
            self.assertEqual(len(folder.messages_after(0, 3, 1)), 1)
            by_key = list(folder.messages())
            self.assertEqual([row[:2] for row in by_key], [("p_a", 1), ("p_b", 1), ("p_b", 2), ("p_b", 3)])
            self.assertEqual([row.revoked for row in by_key], [False, True, False, False])
            self.assertEqual(by_key[1].body, b"recalled 1")
            self.assertEqual(folder.epoch, EPOCH)

    def test_pages(self) -> None:
        """Cursors and last seen come page by page, none left out."""
        cursors = [
            CursorRow(conversation, user, 2, 1) for conversation in ("p_a", "p_b") for user in (1, 2, 3)
        ]
        self.data.write_messages([], cursors)
        self.data.write_last_seen({5: 50, 4: 40})
        with Folder(self.data.path) as folder:
            self.assertEqual(folder.cursors_after("", 0, 4), cursors[:4])
            self.assertEqual(folder.cursors_after("p_b", 1, 4), cursors[4:])
            self.assertEqual(folder.last_seen_after(4, 9), [(5, 50)])
            self.assertEqual(folder.counts(), {"messages": 0, "cursors": 6, "last_seen": 2})

    def test_settings(self) -> None:
        """The folder is given no admin.db that it had not; one of another release, or a damaged one, is refused."""
        with Folder(self.data.path) as folder:
            self.assertEqual(count_rows(folder.admin, *ADMIN.tables), 0)
        self.assertFalse((self.data.path / "admin.db").exists())
        self.data.write_settings(versions=2, operators=["ops"])
        with Folder(self.data.path) as folder:
            self.assertEqual(count_rows(folder.admin, *ADMIN.tables), 5)
        with closing(sqlite3.connect(self.data.path / "admin.db")) as connection:
            connection.execute("ALTER TABLE admin_settings ADD COLUMN colour TEXT")
        self.refused_admin("admin_settings", "of another release")
        (self.data.path / "admin.db").write_bytes(b"no database" * 1000)
        self.refused_admin("not a database")

    def refused_admin(self, *words: str) -> None:
        error: CommandFailed = self.assertRaises(CommandFailed, Folder(self.data.path).__enter__)
        self.assertEqual(error.code, SOURCE)
        for word in ("admin.db", *words):
            self.assertIn(word, str(error))

    def test_no_presence(self) -> None:
        """A folder without presence has nobody seen; none is made."""
        with Folder(self.data.path) as folder:
            self.assertEqual(folder.last_seen_after(0, 9), [])
        self.assertFalse((self.data.path / "presence.db").exists())

    def test_stamp(self) -> None:
        """It stays while nothing happens, and changes with a message, a recall and a cursor."""
        stamps = []
        for rows, cursors in (
            ([message("p_a", 1)], []),
            ([], []),
            ([message("p_a", 2, revokes_seq=1)], []),
            ([], [CursorRow("p_a", 1, 1, 0)]),
            ([], [CursorRow("p_a", 1, 1, 1)]),
        ):
            self.data.write_messages(rows, cursors)
            with Folder(self.data.path) as folder:
                stamps.append(folder.stamp())
        self.assertEqual(stamps[0], stamps[1])
        self.assertEqual(len(set(stamps)), 4)


class Refusing(SynchronousTestCase):
    """Each with a reason that says what to do."""

    def setUp(self) -> None:
        self.data = DataFolder(Path(self.mktemp()))

    def refused(self, *words: str) -> None:
        error: CommandFailed = self.assertRaises(CommandFailed, Folder(self.data.path).__enter__)
        self.assertEqual(error.code, SOURCE)
        for word in words:
            self.assertIn(word, str(error))
        self.assertTrue(self.free(), "the folder stays locked")

    def free(self) -> bool:
        """Whether somebody else may have the folder."""
        lock = FolderLock(folder=self.data.path)
        try:
            at_once(lock.start())
        except StartupError:
            return False
        at_once(lock.stop())
        return True

    def test_running(self) -> None:
        """A folder whose server runs."""
        with Folder(self.data.path):
            error: CommandFailed = self.assertRaises(CommandFailed, Folder(self.data.path).__enter__)
            self.assertIn("another imd process (pid", str(error))
            self.assertFalse(self.free())
        self.assertTrue(self.free())

    def test_not_a_folder(self) -> None:
        """A folder that is none of ours, and is left as it is."""
        path = Path(self.mktemp())
        path.mkdir()
        error: CommandFailed = self.assertRaises(CommandFailed, Folder(path).__enter__)
        self.assertIn("no messages.db", str(error))
        self.assertEqual(list(path.iterdir()), [])

    def test_newer(self) -> None:
        """A folder that a newer release has written to."""
        with closing(sqlite3.connect(self.data.path / "messages.db")) as database:
            database.execute("PRAGMA user_version = 99")
        self.refused("newer imd", "schema 99")

    def test_newer_business(self) -> None:
        """The same of the business data."""
        with closing(sqlite3.connect(self.data.path / "business.db")) as database:
            database.execute("UPDATE schema_version SET version = 99")
            database.commit()
        self.refused("business database", "99")

    def test_no_epoch(self) -> None:
        """A folder whose epoch cannot be read: it could not be known again."""
        (self.data.path / "epoch").write_text("\n")
        self.refused("no epoch")

    def test_pending(self) -> None:
        """Events that a consumer has still to see."""
        self.data.leave_event(NOTIFICATION_PUSH, consumer="push")
        self.refused("1 of im.notification.push", "wait a minute")


class Events(SynchronousTestCase):
    """Events that are no reason to refuse."""

    def accepted(self, subject: str, *, consumer: str = "", taken: bool = False) -> None:
        data = DataFolder(Path(self.mktemp()))
        data.leave_event(subject, consumer=consumer, taken=taken)
        with Folder(data.path) as folder:
            self.assertEqual(folder.epoch, EPOCH)

    def test_accepted(self) -> None:
        """What was seen, what nobody asks for, and what only tells caches that the cluster has not."""
        self.accepted(NOTIFICATION_PUSH, consumer="push", taken=True)
        self.accepted(NOTIFICATION_PUSH)
        self.accepted(AUTH_INVALIDATE, consumer="core-0")
