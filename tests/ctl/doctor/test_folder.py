"""A data folder, its databases and its disk, with a fault planted in each."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.business.schema import open_business
from imd.ctl.doctor import disk, folder, sqlite
from imd.ctl.doctor.finding import Finding, Level


class FolderCase(SynchronousTestCase):
    """``path`` is a folder as the server makes it."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()
        self.path.mkdir(mode=0o700)
        (self.path / "secrets").mkdir(mode=0o700)
        self.write("secrets/token.key", "k" * 64)
        self.write("epoch", "0123456789abcdef\n")
        self.write(folder.LOCK_NAME, "")
        open_business(self.path / "business.db").dispose()

    def write(self, name: str, text: str) -> Path:
        file = self.path / name
        file.write_text(text)
        file.chmod(0o600)
        return file

    def bad(self, *findings: Finding) -> dict[str, Finding]:
        """By the name of the check, those that are more than a note."""
        return {each.check: each for each in findings if each.level > Level.NOTE}

    def looked_at(self) -> dict[str, Finding]:
        return self.bad(*folder.folder(self.path), *sqlite.databases(self.path, seconds=time.monotonic))


class Folder(FolderCase):
    """Modes, owner, lock, epoch."""

    def test_good(self) -> None:
        """A folder as it should be, and one that is not there yet, are no trouble."""
        self.assertEqual(self.looked_at(), {})
        self.assertEqual(self.bad(*folder.folder(self.path / "none")), {})

    def test_no_folder(self) -> None:
        """A file in its place."""
        self.assertIn("folder.present", self.bad(*folder.folder(self.path / "epoch")))

    def test_modes(self) -> None:
        """Open to others: each file and folder, with its chmod."""
        self.path.chmod(0o755)
        (self.path / "secrets" / "token.key").chmod(0o640)
        found = [each for each in folder.folder(self.path) if each.check == "folder.modes"]
        self.assertEqual(
            [each.do for each in found],
            [f"chmod 0700 {self.path}", f"chmod 0600 {self.path}/secrets/token.key"],
        )

    def test_lock(self) -> None:
        """Held, free, and left by a process that was killed."""
        self.assertEqual(folder.lock(self.path).found, "free: no server runs on it")
        self.write(folder.LOCK_NAME, "4711\n")
        stale = folder.lock(self.path)
        self.assertEqual((stale.level, "4711" in stale.found), (Level.NOTE, True))
        with (self.path / folder.LOCK_NAME).open() as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            self.assertEqual(folder.lock(self.path).found, "held by process 4711")

    def test_epoch(self) -> None:
        """Damaged; or gone, while there are messages."""
        self.write("epoch", "??\n")
        self.assertEqual(self.looked_at()["folder.epoch"].level, Level.FAIL)
        (self.path / "epoch").unlink()
        self.write("messages.db", "")
        self.assertEqual(self.bad(*folder.epoch(self.path))["folder.epoch"].level, Level.WARN)


class Databases(FolderCase):
    """SQLite files."""

    def test_damaged(self) -> None:
        """A page that was overwritten."""
        file = self.path / "business.db"
        with file.open("r+b") as opened:
            opened.seek(4096)
            opened.write(os.urandom(4096 * 4))
        self.assertEqual(self.looked_at()["sqlite.integrity"].level, Level.FAIL)

    def test_no_database(self) -> None:
        """A file of something else."""
        self.write("messages.db", "hello " * 1000)
        self.assertIn("cannot be read", self.looked_at()["sqlite.integrity"].found)

    def test_newer_schema(self) -> None:
        """Tables of a newer release are a failure, those of an older one a note."""
        for step, level in (("9999", Level.FAIL), ("0001", Level.NOTE)):
            with sqlite3.connect(self.path / "business.db") as connection:
                connection.execute("UPDATE alembic_business SET version_num = ?", (step,))
            connection.close()
            (found,) = [
                each
                for each in sqlite.databases(self.path, seconds=time.monotonic)
                if each.check == "sqlite.schema"
            ]
            self.assertEqual((found.level, step in found.found), (level, True))

    def test_not_wal(self) -> None:
        """Somebody has switched the log off."""
        with sqlite3.connect(self.path / "business.db") as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
        connection.close()
        self.assertEqual(self.looked_at()["sqlite.wal"].level, Level.WARN)

    def test_log_that_grows(self) -> None:
        """A log that is not folded into the file."""
        os.truncate(self.write("business.db-wal", ""), 300 * 1024**2)
        self.assertEqual(sqlite.log_size(self.path / "business.db").level, Level.WARN)

    def test_leaves_nothing(self) -> None:
        """Neither a file nor a byte is left behind by the look."""
        before = {each.name: each.read_bytes() for each in self.path.iterdir() if each.is_file()}
        self.looked_at()
        list(disk.disk(self.path, proc=Path("/proc")))
        after = {each.name: each.read_bytes() for each in self.path.iterdir() if each.is_file()}
        self.assertEqual(before, after)

    def test_beside_a_writer(self) -> None:
        """An open transaction of the server's keeps nothing from being looked at, and is not kept up."""
        writer = sqlite3.connect(self.path / "business.db", isolation_level=None)
        self.addCleanup(writer.close)
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("CREATE TABLE more (id INTEGER)")
        self.assertEqual(self.looked_at(), {})
        writer.execute("COMMIT")

    def test_too_large_to_finish(self) -> None:
        """A look that takes too long ends, and says how to do the rest."""
        ticks = iter([0.0, *[1000.0] * 1000])
        connection = sqlite3.connect(":memory:")
        self.addCleanup(connection.close)
        connection.execute("CREATE TABLE t (x)")
        connection.executemany("INSERT INTO t VALUES (?)", [("y" * 100,)] * 20_000)
        found = sqlite.integrity(Path("big.db"), connection, seconds=lambda: next(ticks), limit_s=20)
        self.assertEqual(found.level, Level.NOTE)
        self.assertIn("quick_check", found.do)


class Disk(FolderCase):
    """Space, kind, sync."""

    def test_space(self) -> None:
        """Little, and next to nothing; a small disk is not full because it is small."""
        gib = 1024**3
        for free, total, level in (
            (100 * gib, 200 * gib, Level.OK),
            (gib, 200 * gib, Level.WARN),
            (gib, 4 * gib, Level.OK),
            (gib // 10, 200 * gib, Level.FAIL),
        ):
            (found,) = disk.space("x", disk.Space(free, total, 10**6, 10**7))
            self.assertEqual(found.level, level, (free, total))
        self.assertEqual(len(list(disk.space("x", disk.Space(gib, gib, 5, 10**6)))), 2)
        self.assertEqual(len(list(disk.space("x", disk.Space(gib, gib, 0, 0)))), 1)

    def test_kind(self) -> None:
        """Memory is a failure, a network a warning."""
        levels = [disk.kind("x", found).level for found in ("tmpfs", "nfs4", "fuse.s3fs", "ext4", "")]
        self.assertEqual(levels, [Level.FAIL, Level.WARN, Level.WARN, Level.OK, Level.OK])

    def test_mount(self) -> None:
        """The innermost mount counts, of two on one point the later."""
        proc = Path(self.mktemp())
        (proc / "self").mkdir(parents=True)
        place = self.path.resolve()
        (proc / "self" / "mountinfo").write_text(
            "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
            f"2 1 0:1 / {place} rw shared:1 - xfs x rw\n"
            f"3 1 0:2 / {place} rw - tmpfs tmpfs rw\n"
            f"4 1 0:3 / {place}-more rw - nfs x rw\n"
        )
        self.assertEqual(disk.kind_of(self.path, proc), "tmpfs")
        self.assertEqual(disk.kind_of(Path("/"), proc), "ext4")
        self.assertEqual(disk.kind_of(self.path, proc / "none"), "")

    def test_sync(self) -> None:
        """Too slow, and too fast to be true."""
        levels = [disk.sync_time("x", seconds).level for seconds in (0.001, 0.2, 1e-7)]
        self.assertEqual(levels, [Level.OK, Level.WARN, Level.WARN])
        self.assertEqual(disk.synced(self.path / "none").level, Level.FAIL)
