"""A SQLite file: durable settings, failures with a name."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path
from typing import cast

from sqlalchemy import insert
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from imd.kernel.errors import ServerBusy, StartupError
from imd.storage.sql import READ, insert_ignore
from imd.storage.sql_sqlite import open_sqlite
from tests.storage.test_sql import SCHEMA, DatabaseCase, things


class Files(SynchronousTestCase):
    """What is on disk, and how it is treated there."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def test_private(self) -> None:
        """The file and what SQLite puts beside it are readable by their owner alone."""
        engine = open_sqlite(self.path)
        SCHEMA.create_all(engine)
        files = list(self.path.parent.glob(self.path.name + "*"))
        self.assertIn(f"{self.path.name}-wal", {file.name for file in files})
        self.assertEqual({stat.S_IMODE(file.stat().st_mode) for file in files}, {0o600})
        engine.dispose()

    def test_durable(self) -> None:
        """Every connection writes ahead, syncs fully, keeps foreign keys and waits for other writers."""
        engine = open_sqlite(self.path)
        with engine.connect() as one, engine.connect() as two:
            for connection in (one, two):
                connection.execution_options(imd_begin=READ)
                found = [
                    connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                    for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
                ]
                self.assertEqual(found, ["wal", 2, 1, 5000])
        engine.dispose()

    def test_not_a_database(self) -> None:
        """A file that is no database stops the start, with what to do about it."""
        self.path.write_bytes(b"this is not a database, it is a letter" * 100)
        with self.assertRaises(StartupError) as caught:
            open_sqlite(self.path)
        self.assertIn("restore it from a backup", str(caught.exception))

    def test_damaged(self) -> None:
        """Pages overwritten with noise stop the start."""
        engine = open_sqlite(self.path)
        SCHEMA.create_all(engine)
        with engine.begin() as connection:
            connection.execute(insert(things), [{"id": n, "name": f"name {n}" * 5} for n in range(500)])
        engine.dispose()
        content = bytearray(self.path.read_bytes())
        content[8192:16384] = b"\xa5" * 8192
        self.path.write_bytes(content)
        with self.assertRaises(StartupError) as caught:
            open_sqlite(self.path)
        self.assertIn("backup", str(caught.exception))

    def test_odd_names(self) -> None:
        """What a URL would cut off or decode is part of the path."""
        path = self.path.with_name("what? 100%25 #1.db")
        engine = open_sqlite(path)
        SCHEMA.create_all(engine)
        engine.dispose()
        with sqlite3.connect(path) as connection:
            self.assertEqual(connection.execute("SELECT count(*) FROM things").fetchone(), (0,))
        connection.close()

    def test_no_folder(self) -> None:
        """A path that cannot be made is named."""
        with self.assertRaises(StartupError) as caught:
            open_sqlite(self.path / "nowhere" / "x.db")
        self.assertIn("nowhere", str(caught.exception))


class FullDisk(DatabaseCase):
    """No space for what is to be written."""

    def test_full_disk(self) -> None:
        """A full disk refuses writes as busy, with one line logged, and goes on reading; with space it writes."""
        database = self.open()
        limit = "PRAGMA max_page_count={}"

        def pages(number: int) -> None:
            work = self.write(database, lambda c: c.exec_driver_sql(limit.format(number)).scalar())
            self.successResultOf(work)

        rows = [{"id": n, "name": f"name {n}" * 5} for n in range(1000)]
        pages(1)
        logged: list[str] = []
        observer = cast(ILogObserver, lambda event: logged.append(event["log_level"].name))
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        for _ in range(3):
            failed = self.write(database, lambda c: insert_ignore(c, things, rows))
            self.failureResultOf(failed, ServerBusy)
        self.assertEqual(self.names(database), [])
        self.assertEqual(logged, ["error"])
        pages(1_000_000)
        self.assertEqual(
            self.successResultOf(self.write(database, lambda c: insert_ignore(c, things, rows))), 1000
        )
        self.assertEqual(logged, ["error", "info"])
