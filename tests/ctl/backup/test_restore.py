"""Bringing a backup back."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import insert

from imd.admin.operators.sql import operators
from imd.admin.schema import open_admin
from imd.ctl.backup import restore as module
from imd.ctl.backup.disk import copy_file
from imd.ctl.exits import CHECK_FAILED, SOURCE, TARGET
from imd.kernel.errors import StartupError
from imd.storage.sqlite import FolderLock
from tests.business.first_release import make_first_release
from tests.ctl.backup.scene import Scene
from tests.ctl.folder import EPOCH, TOKEN_KEY, at_once


class Restoring(Scene):
    """`imctl restore`."""

    def command(self, *options: str) -> tuple[str | Path, ...]:
        return ("restore", "--from", self.backup, "--data", self.restored, *options)

    def test_as_it_was(self) -> None:
        """Messages, secrets and private modes are as they were; the epoch is another each time."""
        self.taken()
        self.does(*self.command())
        self.assertEqual(self.messages(self.restored), self.messages(self.data.path))
        self.assertEqual((self.restored / "secrets" / "token.key").read_text(), TOKEN_KEY)
        for path in (self.restored, *self.restored.rglob("*")):
            self.assertEqual(path.stat().st_mode & 0o077, 0, path)
        again = self.parent / "again"
        self.does("restore", "--from", self.backup, "--data", again)
        self.assertEqual(len({EPOCH, self.epoch(self.restored), self.epoch(again)}), 3)

    def test_log_out(self) -> None:
        """Asked for, nobody is known: keys and tokens in files are made anew, all other operators' tokens are revoked."""
        engine = open_admin(self.data.path / "admin.db")
        with engine.begin() as connection:
            for number, revoked_at_ms in ((2, 0), (3, 77), (4, 0)):
                row = (number, f"op{number}", "admin", f"hash{number}", 1, "bootstrap", revoked_at_ms, "")
                connection.execute(insert(operators).values(row))
        engine.dispose()
        (self.data.path / "secrets" / "operator.token").write_text("t" * 64)
        self.taken()
        self.does(*self.command())
        self.assertEqual(self.revoked(), {2: False, 3: True, 4: False})
        self.assertTrue((self.restored / "secrets" / "operator.token").exists())
        shutil.rmtree(self.restored)
        said = self.does(*self.command("--log-out-everybody"))
        self.assertIn("operators' tokens revoked: 2", said)
        self.assertEqual(self.revoked(), {2: True, 3: True, 4: True})
        self.assertFalse((self.restored / "secrets").exists())

    def revoked(self) -> dict[int, bool]:
        """Operators in the restored folder."""
        with closing(sqlite3.connect(self.restored / "admin.db")) as connection:
            return dict(connection.execute("SELECT operator_id, revoked_at_ms > 0 FROM admin_operators"))

    def test_flipped_byte(self) -> None:
        """One changed bit in any of its files is refused with the name of the file, and nothing is made."""
        self.taken()
        paths = [path for path in self.backup.rglob("*") if path.is_file()]
        self.assertGreater(len(paths), 6)
        for path in paths:
            content = path.read_bytes()
            for place in {0, len(content) // 2, len(content) - 1}:
                path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
                code, said = self.typed(*self.command())
                self.assertEqual(code, SOURCE, (path, place, said))
                named = self.backup if path.name == "SHA256SUMS" else path
                self.assertIn(str(named), said)
                self.assertFalse(self.restored.exists())
            path.write_bytes(content)
        self.does(*self.command())

    def test_too_few_too_many(self) -> None:
        """A file that is missing, one too many, and a link in the place of one are named."""
        self.taken()
        epoch = self.backup / "data" / "epoch"
        content = epoch.read_bytes()
        epoch.unlink()
        self.refused(SOURCE, "data/epoch is missing", doing=self.command())
        elsewhere = self.parent / "elsewhere"
        elsewhere.write_bytes(content)
        epoch.symlink_to(elsewhere.resolve())
        self.refused(SOURCE, "data/epoch is no regular file", doing=self.command())
        epoch.unlink()
        epoch.write_bytes(content)
        (self.backup / "data" / "more.db").touch()
        self.refused(SOURCE, "data/more.db does not belong", doing=self.command())

    def test_crafted(self) -> None:
        """Names that lead out of the backup are not followed."""
        self.taken()
        sums = self.backup / "SHA256SUMS"
        for name in ("../outside", "/etc/passwd", "data/../../outside"):
            sums.write_text(f"{'0' * 64}  {name}\n")
            self.refused(SOURCE, "damaged in line 1", doing=self.command())

    def test_no_backup(self) -> None:
        """A folder that is none, a file, and one that is not finished are refused."""
        half = self.parent / ".one.imd-half"
        (half / "data").mkdir(parents=True)
        for folder in (self.parent, self.parent / "nothing", half):
            self.refused(SOURCE, "no backup", doing=("restore", "--from", folder, "--data", self.restored))

    def test_not_empty(self) -> None:
        """A folder with anything in it stays as it is; an empty one is good."""
        self.taken()
        self.restored.mkdir()
        (self.restored / "precious").touch()
        self.refused(TARGET, "is not empty", doing=self.command())
        self.assertEqual(self.names(self.restored), ["precious"])
        (self.restored / "precious").unlink()
        # The top of a new disk.
        (self.restored / "lost+found").mkdir()
        self.does(*self.command())

    def test_running(self) -> None:
        """A folder that a server holds is refused, even if there is nothing in it yet."""
        self.taken()
        lock = FolderLock(folder=self.restored)
        at_once(lock.start())
        self.refused(TARGET, "another imd process", doing=self.command())
        at_once(lock.stop())
        self.does(*self.command())

    def test_interrupted(self) -> None:
        """Cut off at any file: no server starts on it, and run again it is whole."""
        self.taken()
        copied = list[Path]()

        def dies_at_the_third(source: Path, *rest: object) -> str:
            if len(copied) == 2:
                raise KeyboardInterrupt
            copied.append(source)
            return copy_file(source, *rest)  # type: ignore[arg-type]

        self.patch(module, "copy_file", dies_at_the_third)
        self.assertEqual(self.typed(*self.command())[0], 130)
        with self.assertRaisesRegex(StartupError, "imctl restore"):
            self.epoch(self.restored)
        self.patch(module, "copy_file", copy_file)
        self.does(*self.command())
        self.assertEqual(self.messages(self.restored), self.messages(self.data.path))
        self.assertNotIn(self.epoch(self.restored), (EPOCH, ""))

    def test_newer(self) -> None:
        """A backup of a newer release is refused before anything is made; the file is named."""
        with closing(sqlite3.connect(self.data.path / "messages.db")) as connection:
            connection.execute("PRAGMA user_version = 99")
        self.taken()
        self.refused(SOURCE, "messages.db was written by a newer release", doing=self.command())
        self.assertFalse(self.restored.exists())

    def test_newer_business(self) -> None:
        """The same for Alembic's steps."""
        with closing(sqlite3.connect(self.data.path / "business.db")) as connection:
            connection.execute("UPDATE alembic_business SET version_num = '0999'")
            connection.commit()
        self.taken()
        self.refused(SOURCE, "business.db was written by a newer release", doing=self.command())


class Drill(Scene):
    """`imctl restore-drill`."""

    def setUp(self) -> None:
        super().setUp()
        self.scratch = Path(self.mktemp())
        self.scratch.mkdir()

    def command(self) -> tuple[str | Path, ...]:
        return ("restore-drill", "--from", self.backup, "--scratch", self.scratch)

    def test_good(self) -> None:
        """A good backup can be restored; neither it nor the scratch folder shows a trace of it."""
        self.taken()
        before = {path: path.stat().st_mtime_ns for path in self.backup.rglob("*")}
        said = self.does(*self.command())
        for words in ("messages.db: sound", "3 conversations, each whole", "can be restored: 120 messages"):
            self.assertIn(words, said)
        self.assertEqual(self.names(self.scratch), [])
        self.assertEqual({path: path.stat().st_mtime_ns for path in self.backup.rglob("*")}, before)

    def test_newest(self) -> None:
        """Of a folder of backups the newest is taken; one without any is told."""
        doing = ("restore-drill", "--newest-in", self.parent, "--scratch", self.scratch)
        self.refused(SOURCE, "holds no backup", doing=doing)
        self.does("backup", "--data", self.data.path, "--into", self.parent)
        (newest,) = self.names(self.parent)
        (self.parent / "imd-20200101T000000Z").mkdir()
        (self.parent / "imd-20200101T000000Z" / "manifest.json").touch()
        self.assertIn(f"{newest} can be restored", self.does(*doing))

    def test_weak_secret(self) -> None:
        """What the server would refuse at its start is found, and nothing is left then, either."""
        (self.data.path / "secrets" / "token.key").write_text("short")
        self.taken()
        self.refused(CHECK_FAILED, "would not start", "shorter than", doing=self.command())
        self.assertEqual(self.names(self.scratch), [])

    def test_old_release(self) -> None:
        """A backup of an older release is upgraded in the scratch folder, and stays as it is itself."""
        (self.data.path / "business.db").unlink()
        make_first_release(self.data.path / "business.db")
        self.taken()
        self.does(*self.command())
        with closing(sqlite3.connect(self.backup / "data" / "business.db")) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
        self.assertNotIn("alembic_business", tables)
