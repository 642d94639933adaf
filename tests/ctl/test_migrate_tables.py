"""Tables, moved from one database to another; both SQLite here, the engines do not matter."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

from sqlalchemy import Engine, delete, event, update
from twisted.trial.unittest import SynchronousTestCase

from imd.admin.schema import create_tables, open_admin
from imd.admin.settings.sql import versions
from imd.business.schema import open_business
from imd.business.tables.groups import group_members
from imd.business.tables.people import logins, users
from imd.ctl.exits import TARGET, CommandFailed
from imd.ctl.migrate import tables
from imd.ctl.migrate.record import Identity
from imd.ctl.migrate.tables import ADMIN, BUSINESS, TableCopy
from imd.ctl.progress import Progress
from tests.ctl.folder import DataFolder

IDENTITY = Identity("c0ffee", "1/2/3")
PEOPLE = 25


class PowerCut(Exception):
    """The process is gone."""


class CopyingCase(SynchronousTestCase):
    """From a folder with people into an empty database."""

    def setUp(self) -> None:
        # Several batches of each table.
        self.patch(tables, "BATCH_ROWS", 10)
        data = DataFolder(Path(self.mktemp()))
        data.write_people(PEOPLE)
        self.source = self.opened(data.path / "business.db")
        self.target = self.opened(Path(self.mktemp()))
        self.out = StringIO()
        self.copy = TableCopy(BUSINESS, source=self.source, target=self.target, place="target")

    def opened(self, path: Path) -> Engine:
        engine = open_business(path)
        self.addCleanup(engine.dispose)
        return engine

    def move(self) -> None:
        self.copy.refuse_others(IDENTITY)
        self.copy.begin(IDENTITY)
        self.copy.copy(Progress(out=self.out, seconds=lambda: 0.0, terminal=False))

    def differences(self) -> list[str]:
        return [str(each) for verdict in self.copy.compare() for each in verdict.differences]


class Copying(CopyingCase):
    """All that may happen on the way."""

    def test_moved(self) -> None:
        """Every row of every table arrives; the check says so, with counts."""
        self.move()
        verdicts = {verdict.what: verdict for verdict in self.copy.compare()}
        self.assertEqual(self.differences(), [])
        self.assertEqual(verdicts["users"].target.count, PEOPLE)
        self.assertEqual(verdicts["group_members"].target.count, PEOPLE)
        self.assertEqual(verdicts["direct_conversations"].target.count, 1)
        self.assertIn(f"{2 * PEOPLE + PEOPLE + 2} of {2 * PEOPLE + PEOPLE + 2}", self.out.getvalue())

    def test_cut_off_anywhere(self) -> None:
        """Wherever the process dies, the next run ends with every row once."""
        for survived in range(1, 9):
            self.target = self.opened(Path(self.mktemp()))
            self.copy = TableCopy(BUSINESS, source=self.source, target=self.target, place="target")
            commits: list[object] = []

            def die(_: object, commits: list[object] = commits, survived: int = survived) -> None:
                commits.append(None)
                if len(commits) > survived:
                    raise PowerCut

            event.listen(self.target, "commit", die)
            self.assertRaises(PowerCut, self.move)
            event.remove(self.target, "commit", die)
            self.assertNotEqual(self.differences(), [])
            self.move()
            self.assertEqual(self.differences(), [])

    def test_broken_copy(self) -> None:
        """A row that is missing, one that differs and one too many are named."""
        self.move()
        with self.target.begin() as connection:
            connection.execute(delete(group_members).where(group_members.c.user_id == 7))
            connection.execute(update(users).where(users.c.id == 3).values(display_name="x", status=1))
            connection.execute(
                update(logins).where(logins.c.user_id == 9).values(device_id="tablet", login_id="l")
            )
        self.assertEqual(
            sorted(self.differences()),
            [
                "group_members g_1/7: is missing in the target",
                "logins 9/phone: is missing in the target",
                "logins 9/tablet: is only in the target",
                "users 3: differs in display_name, status",
            ],
        )

    def test_occupied(self) -> None:
        """A database that others use, or that another move has filled, is refused, and left alone."""
        self.move()
        self.copy.refuse_others(IDENTITY)
        for identity, words in (
            (Identity("c0ffee", "1/2/4"), "whose server has run since"),
            (Identity("facade", "1/2/3"), "the move of another folder"),
        ):
            error: CommandFailed = self.assertRaises(CommandFailed, self.copy.refuse_others, identity)
            self.assertEqual(error.code, TARGET)
            self.assertIn(words, str(error))
        used = DataFolder(Path(self.mktemp()))
        used.write_people(2)
        other = TableCopy(
            BUSINESS, source=self.source, target=self.opened(used.path / "business.db"), place="target"
        )
        error = self.assertRaises(CommandFailed, other.refuse_others, IDENTITY)
        self.assertIn("is not empty (", str(error))
        self.assertIn("users", str(error))

    def test_stamp(self) -> None:
        """It changes with any row."""
        before = self.copy.stamp()
        self.assertEqual(self.copy.stamp(), before)
        with self.source.begin() as connection:
            connection.execute(update(logins).where(logins.c.user_id == 9).values(refreshed_at_ms=1))
        self.assertNotEqual(self.copy.stamp(), before)

    def test_emptied(self) -> None:
        """Tables that were emptied are filled anew, also from a folder that has changed since."""
        self.move()
        for identity in (Identity("c0ffee", "1/2/4"), Identity("c0ffee", "1/2/4")):
            with self.target.begin() as connection:
                for table in reversed(BUSINESS.tables):
                    connection.execute(delete(table))
            self.copy.refuse_others(identity)
            self.copy.begin(identity)
            self.copy.copy(Progress(out=self.out, seconds=lambda: 0.0, terminal=False))
            self.assertEqual(self.differences(), [])

    def test_server_was_started(self) -> None:
        """Rows that a server has put in between two runs are found, and are no failure of the database."""
        self.copy.begin(IDENTITY)
        row = {"id": PEOPLE, "handle": "eve", "display_name": "", "password_hash": "", "status": 0, "token_version": 1,
               "created_at_ms": 1}  # fmt: skip
        with self.target.begin() as connection:
            connection.execute(users.insert().values(row))
        error: CommandFailed = self.assertRaises(CommandFailed, self.copy.refuse_others, IDENTITY)
        self.assertIn("is not empty (users): to begin anew", str(error))
        error = self.assertRaises(
            CommandFailed, self.copy.copy, Progress(out=self.out, seconds=lambda: 0.0, terminal=False)
        )
        self.assertEqual(error.code, TARGET)
        self.assertIn("is written by somebody else, maybe a server (", str(error))


class Settings(CopyingCase):
    """What im-admin keeps."""

    def setUp(self) -> None:
        super().setUp()
        data = DataFolder(Path(self.mktemp()))
        data.write_settings(versions=25, operators=["ops", "auditor"])
        source = open_admin(data.path / "admin.db")
        self.addCleanup(source.dispose)
        create_tables(self.target, place="target")
        self.settings = TableCopy(ADMIN, source=source, target=self.target, place="target")
        self.identity = Identity("c0ffee", self.settings.stamp())

    def test_shared_database(self) -> None:
        """They move on their own, also into the database of the business tables."""
        self.move()
        self.assertFalse(self.settings.holds(self.identity))
        for _ in range(2):
            self.settings.refuse_others(self.identity)
            self.settings.begin(self.identity)
            self.settings.copy(Progress(out=self.out, seconds=lambda: 0.0, terminal=False))
        self.assertTrue(self.settings.holds(self.identity))
        self.assertIn("settings and operators: 52 of 52", self.out.getvalue())
        counts = {
            verdict.what: (verdict.target.count, verdict.difference_count)
            for verdict in self.settings.compare()
        }
        self.assertEqual(
            counts, {"admin_settings": (25, 0), "admin_settings_acts": (25, 0), "admin_operators": (2, 0)}
        )
        self.copy.refuse_others(IDENTITY)
        self.assertEqual(self.differences(), [])

    def test_remedy(self) -> None:
        """Where im-admin has settings already, nobody is told to drop the people beside them."""
        with self.target.begin() as connection:
            connection.execute(
                versions.insert().values(version=7, document="{}", comment="", changed_at_ms=0)
            )
        error: CommandFailed = self.assertRaises(CommandFailed, self.settings.refuse_others, self.identity)
        self.assertIn("is not empty (admin_settings): to begin anew, DROP TABLE admin_settings, ", str(error))
        self.assertIn("--without-admin", str(error))
        self.assertNotIn("DATABASE", str(error))
