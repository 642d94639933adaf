"""Several SQLite files as of one moment."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from threading import Event, Thread

from twisted.trial.unittest import SynchronousTestCase

from imd.ctl.backup import cut as module
from imd.ctl.backup.cut import cut
from imd.ctl.exits import SOURCE, CommandFailed

#: Between which something was written.
CUTS = 50


class Cutting(SynchronousTestCase):
    """Two files, and somebody who writes to both."""

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.paths = [folder / "first.db", folder / "second.db"]
        for path in self.paths:
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("CREATE TABLE facts (number INTEGER PRIMARY KEY)")

    def write_both(self, ended: Event, failed: list[BaseException]) -> None:
        """Every fact into the first file, and then into the second."""
        first, second = (sqlite3.connect(path, timeout=5, isolation_level=None) for path in self.paths)
        try:
            while not ended.is_set():
                first.execute("INSERT INTO facts DEFAULT VALUES")
                second.execute("INSERT INTO facts DEFAULT VALUES")
        except BaseException as error:
            failed.append(error)
        finally:
            first.close()
            second.close()

    def test_one_moment(self) -> None:
        """However often: the second file never knows what the first does not, nor lags by more than a crash allows."""
        ended, failed = Event(), list[BaseException]()
        writer = Thread(target=self.write_both, args=(ended, failed))
        writer.start()
        seen = set[int]()
        deadline_s = time.monotonic() + 30
        try:
            while len(seen) < CUTS and time.monotonic() < deadline_s:
                with cut(self.paths) as (snapshots, _held_s):
                    first, second = (
                        each.execute("SELECT count(*) FROM facts").fetchone()[0]
                        for each in snapshots.values()
                    )
                self.assertIn(first - second, (0, 1))
                seen.add(first)
        finally:
            ended.set()
            writer.join()
        self.assertEqual(failed, [], "a writer waits for a cut, and does not fail by it")
        self.assertEqual(len(seen), CUTS, "there was something written between the cuts")

    def test_stays(self) -> None:
        """What is written after the cut is not in it, however late it is read."""
        with cut(self.paths) as (snapshots, _), closing(sqlite3.connect(self.paths[1])) as writer:
            writer.execute("INSERT INTO facts DEFAULT VALUES")
            writer.commit()
            writer.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self.assertEqual(snapshots["second.db"].execute("SELECT count(*) FROM facts").fetchone(), (0,))

    def test_busy(self) -> None:
        """A file that does not come free is named, and the others are free again."""
        self.patch(module, "_PATIENCE_S", 0.05)
        self.patch(module, "_HELD_PATIENCE_S", 0.01)
        with closing(sqlite3.connect(self.paths[1], isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            with self.assertRaises(CommandFailed) as caught, cut(self.paths):
                pass
        self.assertEqual(caught.exception.code, SOURCE)
        self.assertIn("second.db was busy", str(caught.exception))
        with closing(sqlite3.connect(self.paths[0], timeout=0)) as other:
            other.execute("INSERT INTO facts DEFAULT VALUES")

    def test_kept_alone(self) -> None:
        """A file that another process keeps for itself, as older releases did, is told so."""
        with closing(sqlite3.connect(self.paths[0], isolation_level=None)) as holder:
            holder.execute("PRAGMA locking_mode = EXCLUSIVE")
            holder.execute("INSERT INTO facts DEFAULT VALUES")
            with self.assertRaisesRegex(CommandFailed, "older release"), cut(self.paths):
                pass

    def test_foreign(self) -> None:
        """A file that is not written the way ours are, or no database at all, is refused."""
        with closing(sqlite3.connect(self.paths[0])) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
        with self.assertRaisesRegex(CommandFailed, "first.db is no database of imd"), cut(self.paths):
            pass
        self.paths[0].write_bytes(b"no database at all, " * 100)
        with self.assertRaisesRegex(CommandFailed, "cannot read"), cut(self.paths):
            pass
