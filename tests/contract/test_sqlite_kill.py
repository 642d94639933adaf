"""kill -9 in the middle of appending, again and again, in the same folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.core.message.sqlite import message_database
from imd.kernel.errors import StartupError
from imd.storage.sqlite import FolderLock
from tests.contract.sqlite_victim import CONVERSATIONS

ROOT = Path(__file__).resolve().parent.parent.parent
#: Promises until the kill, one round each.
MOMENTS = (1, 40, 7, 150)


class KillLiveTests(SynchronousTestCase):
    """A real process, really killed."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()

    def kill_after(self, promises: int) -> int:
        """Start the process, kill it after so many promises; the last number it promised."""
        with subprocess.Popen(
            [sys.executable, "-m", "tests.contract.sqlite_victim", str(self.folder)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(promises)]
            self.check_locked(process.pid)
            process.kill()
            # What is cut off in the middle was not promised.
            lines += [line for line in process.stdout.readlines() if line.endswith(b"\n")]
        self.assertTrue(lines[0], "the process ended by itself")
        return int(lines[-1])

    def check_locked(self, pid: int) -> None:
        second = FolderLock(folder=self.folder)
        failure = self.failureResultOf(Deferred.fromCoroutine(second.start()), StartupError)
        self.assertIn(f"another imd process (pid {pid})", str(failure.value))

    def check(self, promised: int) -> None:
        """Every promised row once, and none missing before the last."""
        lock = FolderLock(folder=self.folder)
        self.successResultOf(Deferred.fromCoroutine(lock.start()))
        database = message_database(folder=self.folder, threads=None)
        self.successResultOf(Deferred.fromCoroutine(database.start()))
        rows = self.successResultOf(
            database.read(
                lambda connection: connection.execute(
                    "SELECT conversation_id, seq FROM messages"
                    " JOIN conversations ON number = conversation ORDER BY seq"
                ).fetchall()
            )
        )
        for conversation in CONVERSATIONS:
            numbers = [seq for found, seq in rows if found == conversation]
            self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
            self.assertGreaterEqual(len(numbers), promised)
        self.successResultOf(Deferred.fromCoroutine(database.stop()))
        self.successResultOf(Deferred.fromCoroutine(lock.stop()))

    def test_kill(self) -> None:
        """After each kill all that was promised is there, once, without a hole, and the next process goes on."""
        promised = 0
        for number, promises in enumerate(MOMENTS):
            promised = max(promised, self.kill_after(promises))
            # Now and then the next process finds the files as the killed one left them.
            if number % 2:
                self.check(promised)
        self.check(promised)
