"""The lock of the data folder."""

from __future__ import annotations

import os

from twisted.internet.defer import Deferred

from imd.kernel.errors import StartupError
from imd.storage.sqlite import FolderLock
from tests.storage.test_sqlite import Case


class Folder(Case):
    """One process a data folder."""

    def test_made(self) -> None:
        """The folder is made at first start, for nobody else to look into."""
        folder = self.folder / "new"
        lock = FolderLock(folder=folder)
        self.now(lock.start())
        self.assertEqual(folder.stat().st_mode & 0o777, 0o700)
        self.now(lock.stop())

    def test_second_process(self) -> None:
        """A second one is told who is there and what to do; after a stop the folder is free."""
        first, second = FolderLock(folder=self.folder), FolderLock(folder=self.folder)
        self.now(first.start())
        failure = self.failureResultOf(Deferred.fromCoroutine(second.start()), StartupError)
        self.assertIn(f"another imd process (pid {os.getpid()}) uses {self.folder}", str(failure.value))
        self.now(first.stop())
        self.now(second.start())
        self.now(second.stop())

    def test_impossible(self) -> None:
        """A folder that cannot be made is named."""
        (self.folder / "file").write_bytes(b"")
        lock = FolderLock(folder=self.folder / "file" / "data")
        failure = self.failureResultOf(Deferred.fromCoroutine(lock.start()), StartupError)
        self.assertIn("check its owner and mode", str(failure.value))
