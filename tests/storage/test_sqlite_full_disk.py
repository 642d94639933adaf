"""SQLite on a disk that is really full."""

from __future__ import annotations

import os
import subprocess
from unittest import SkipTest

from twisted.python.failure import Failure

from imd.kernel.errors import ServerBusy
from tests.storage.test_sqlite import Case, put, words


class FullDiskLiveTests(Case):
    """A file system of 2 MiB that is really full."""

    def setUp(self) -> None:
        super().setUp()
        mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(self.folder)]
        if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
            raise SkipTest("only root may mount a small file system")
        self.addCleanup(subprocess.run, ["umount", str(self.folder)], check=True)

    def test_recovers(self) -> None:
        """ENOSPC refuses for certain, keeps what was stored, and is over when there is space again."""
        database = self.started()
        ballast = self.folder / "ballast"
        ballast.write_bytes(b"x" * 900_000)
        stored = []
        for n in range(100):
            word = f"{n:03}" + "x" * 20_000
            refusals: list[Failure] = []
            database.write(put(word)).addErrback(refusals.append)
            if refusals:
                break
            stored.append(word)
        else:
            self.fail("the disk did not become full")
        self.assertEqual([refusal.type for refusal in refusals], [ServerBusy])
        self.assertEqual(self.successResultOf(database.read(words)), stored)
        ballast.unlink()
        self.successResultOf(database.write(put("z")))
        self.assertEqual(self.successResultOf(database.read(words)), [*stored, "z"])
        self.now(database.stop())
        again = self.started()
        self.assertEqual(self.successResultOf(again.read(words)), [*stored, "z"])
        self.now(again.stop())
