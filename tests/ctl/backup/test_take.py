"""What a backup holds, and when none is made."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from unittest import SkipTest

from imd.ctl.exits import CHECK_FAILED, SOURCE, TARGET, USAGE
from tests.ctl.backup.scene import Scene
from tests.ctl.folder import message


class Taking(Scene):
    """`imctl backup`."""

    def test_whole(self) -> None:
        """Every file of the folder is there, for its owner alone, with checksums that coreutils agree with."""
        (self.data.path / "lists").mkdir()
        (self.data.path / "lists" / "words.txt").write_text("zounds")
        said = self.does("backup", "--data", self.data.path, "--to", self.backup)
        self.assertIn("120 messages of 3 conversations as of ", said)
        present = {
            str(path.relative_to(self.data.path))
            for path in self.data.path.rglob("*")
            if path.is_file() and not path.name.endswith(("-wal", "-shm"))
        }
        kept = {
            str(path.relative_to(self.backup / "data"))
            for path in self.backup.rglob("data/**/*")
            if path.is_file()
        }
        self.assertEqual(present - kept, {"last-backup.json"})
        self.assertEqual(kept - present, set())
        for path in (self.backup, *self.backup.rglob("*")):
            self.assertEqual(path.stat().st_mode & 0o777, 0o700 if path.is_dir() else 0o600, path)
        subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=self.backup, check=True)
        last_seqs = (self.backup / "last-seqs.tsv").read_text()
        self.assertEqual(last_seqs, "g_c\t40\np_a\t40\np_b\t40\n")

    def test_left_out(self) -> None:
        """What speaks of the time after the backup, or of this folder only, is not in it."""
        (self.data.path / "record").mkdir()
        names = ("record/sends.ring", "im.settings.json", ".epoch.new", "imd.lock", "last-backup.json")
        for name in names:
            (self.data.path / name).write_text("x")
        self.taken()
        for name in names:
            self.assertFalse((self.backup / "data" / name).exists(), name)

    def test_other_stores(self) -> None:
        """A database that this release does not know is in the cut all the same."""
        with closing(sqlite3.connect(self.data.path / "later.db")) as later:
            later.execute("PRAGMA journal_mode = WAL")
            later.execute("CREATE TABLE t (x)")
            later.execute("INSERT INTO t VALUES (1)")
            later.commit()
            self.taken()
        with closing(sqlite3.connect(self.backup / "data" / "later.db")) as copy:
            self.assertEqual(copy.execute("SELECT x FROM t").fetchall(), [(1,)])

    def test_exists(self) -> None:
        """Nothing is written over, be it a folder, a file or a link to nowhere."""
        for make in (Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")):
            make(self.backup)
            self.refused(TARGET, "exists", "never overwrites", doing=self.command())
            self.backup.rmdir() if self.backup.is_dir() else self.backup.unlink()
        self.assertEqual(self.names(self.parent), [])

    def command(self) -> tuple[str | Path, ...]:
        return ("backup", "--data", self.data.path, "--to", self.backup)

    def test_usage(self) -> None:
        """A backup inside of what it backs up, and a number of backups to keep of a single one, make no sense."""
        inside = self.data.path / "backup"
        before = self.names(self.data.path)
        for place in (("--to", inside), ("--into", self.data.path)):
            self.refused(USAGE, "another disk", doing=("backup", "--data", self.data.path, *place))
        self.assertEqual(sorted(path.name for path in self.data.path.iterdir()), before)
        self.refused(USAGE, "--into", doing=(*self.command(), "--keep", "3"))
        self.assertFalse(inside.exists())

    def test_no_source(self) -> None:
        """A folder that is not there, or holds something else, is named."""
        for folder in (self.parent / "nothing", self.data.path / "secrets"):
            self.refused(SOURCE, "no data folder", doing=("backup", "--data", folder, "--to", self.backup))

    def test_in_a_backup(self) -> None:
        """A backup is not added to: it would be damaged."""
        self.taken()
        inner = self.backup / "another"
        self.refused(TARGET, "is a backup itself", doing=("backup", "--data", self.data.path, "--to", inner))
        self.does("restore", "--from", self.backup, "--data", self.restored)

    def test_no_place(self) -> None:
        """A parent that is not there is not made: a disk that is not mounted looks like that."""
        nowhere = self.parent / "unmounted" / "one"
        self.refused(TARGET, "make the folder", doing=("backup", "--data", self.data.path, "--to", nowhere))

    def test_hole(self) -> None:
        """A conversation with a missing message does not pass for a backup, and nothing is left of it."""
        with closing(sqlite3.connect(self.data.path / "messages.db")) as connection:
            connection.execute("DELETE FROM messages WHERE seq = 7 AND conversation = 1")
            connection.commit()
        self.refused(CHECK_FAILED, "39 messages of", "some are missing", doing=self.command())
        self.assertEqual(self.names(self.parent), [])
        self.assertFalse((self.data.path / "last-backup.json").exists())

    def test_damaged_page(self) -> None:
        """A damaged page is found by the check, not by whoever restores."""
        self.data.write_messages([message("p_long", seq) for seq in range(1, 2000)])
        path = self.data.path / "messages.db"
        content = bytearray(path.read_bytes())
        middle = len(content) // 2 // 4096 * 4096
        content[middle : middle + 4096] = bytes(4096)
        path.write_bytes(content)
        code, said = self.typed(*self.command())
        self.assertIn(code, (CHECK_FAILED, SOURCE, TARGET), said)
        self.assertNotIn("Traceback", said)
        self.assertEqual(self.names(self.parent), [])

    def test_links(self) -> None:
        """A link is not followed: what it points to is not the server's."""
        (self.data.path / "secrets" / "link").symlink_to("/etc/hostname")
        said = self.does(*self.command())
        self.assertIn("secrets/link is no regular file", said)
        self.assertFalse(os.path.lexists(self.backup / "data" / "secrets" / "link"))

    def test_foreign_user(self) -> None:
        """Somebody else than the folder's owner is told who should do it."""
        if os.geteuid() != 0:
            raise SkipTest("only root may give a folder away")
        os.chown(self.data.path, 12345, -1)
        self.refused(SOURCE, "sudo -u '#12345'", doing=self.command())

    def test_full_disk(self) -> None:
        """A disk without room is refused before, and one that fills up on the way keeps nothing."""
        mount = ["mount", "-t", "tmpfs", "-o", "size=17m", "tmpfs", str(self.parent)]
        if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
            raise SkipTest("only root may mount a small file system")
        self.addCleanup(subprocess.run, ["umount", str(self.parent)], check=True)
        self.does(*self.command())
        big = self.data.path / "big"
        with big.open("wb") as file:
            file.truncate(20 << 20)
        self.patch(
            os, "statvfs", lambda _: os.statvfs_result((4096, 4096, 9999, 9999, 9999, 9, 9, 9, 0, 255))
        )
        two = self.parent / "two"
        self.refused(TARGET, "is full", doing=("backup", "--data", self.data.path, "--to", two))
        self.assertEqual(self.names(self.parent), ["one"])

    def test_no_room(self) -> None:
        """How much room is needed is told before anything is written."""
        self.patch(os, "statvfs", lambda _: os.statvfs_result((4096, 4096, 99, 99, 99, 9, 9, 9, 0, 255)))
        self.refused(TARGET, "MiB are needed", doing=self.command())
        self.assertEqual(self.names(self.parent), [])


class Keeping(Scene):
    """Folders of backups."""

    def named(self, *names: str) -> None:
        for name in names:
            (self.parent / name).mkdir()
            (self.parent / name / "manifest.json").touch()

    def test_oldest_goes(self) -> None:
        """All but the newest go, once the new one is done; what has another name, or is no backup, stays."""
        self.named("imd-20240101T000000Z", "imd-20240103T000000Z", "imd-20240102T000000Z", "monday")
        (self.parent / "imd-20230101T000000Z").mkdir()
        said = self.does("backup", "--data", self.data.path, "--into", self.parent, "--keep", "2")
        self.assertEqual(said.count("deleted"), 2)
        new, *others = sorted(self.names(self.parent), reverse=True)[1:]
        self.assertRegex(new, r"^imd-2\d{7}T\d{6}Z$")
        self.assertEqual(others, ["imd-20240103T000000Z", "imd-20230101T000000Z"])

    def test_clock_was_ahead(self) -> None:
        """A backup from when the clock was years ahead costs no later one its place, and is the next to go."""
        into = ("backup", "--data", self.data.path, "--into", self.parent, "--keep", "2")

        def made(name: str) -> str:
            """A backup of this name; what was said of it."""
            said = self.does(*into)
            manifests = [path / "manifest.json" for path in self.parent.iterdir() if path.is_dir()]
            max(manifests, key=lambda path: path.stat().st_mtime_ns).parent.rename(self.parent / name)
            return said

        made("imd-29990101T000000Z")
        self.assertIn("imd-29990101T000000Z has a name from the future", made("imd-20250101T000000Z"))
        self.assertNotIn("future", made("imd-20250102T000000Z"))
        self.assertEqual(self.names(self.parent), ["imd-20250101T000000Z", "imd-20250102T000000Z"])
        self.assertIn("deleted", made("imd-20240101T000000Z"))
        self.assertEqual(self.names(self.parent), ["imd-20240101T000000Z", "imd-20250102T000000Z"])
        said = self.does("restore-drill", "--newest-in", self.parent, "--scratch", self.parent)
        self.assertIn("imd-20240101T000000Z can be restored", said)

    def test_failure_keeps_all(self) -> None:
        """A backup that fails deletes nothing."""
        self.named("imd-20240101T000000Z", "imd-20240102T000000Z")
        (self.data.path / "epoch").unlink()
        doing = ("backup", "--data", self.data.path, "--into", self.parent, "--keep", "1")
        self.refused(SOURCE, "no epoch", doing=doing)
        self.assertEqual(self.names(self.parent), ["imd-20240101T000000Z", "imd-20240102T000000Z"])

    def test_another_is_written(self) -> None:
        """Two at once into one folder: the second is told, and disturbs nothing."""
        half = self.parent / ".first.imd-half"
        half.mkdir()
        with (self.parent / ".imd-backup.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.refused(
                TARGET, "another backup", doing=("backup", "--data", self.data.path, "--to", self.backup)
            )
            self.assertTrue(half.exists())
        self.taken()
        self.assertFalse(half.exists(), "what a killed one left is removed")
