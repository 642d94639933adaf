"""Tables that are made, upgraded or refused at start; on MariaDB in tests/live/test_mariadb_schema.py."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import Engine, MetaData
from twisted.trial.unittest import SynchronousTestCase

from imd.kernel.errors import StartupError
from imd.storage.sql_schema import Migrations, prepare_schema
from imd.storage.sql_sqlite import open_sqlite
from tests.storage.described import described
from tests.storage.steps import FIRST, SECOND, releases


class Steps(SynchronousTestCase):
    """A folder, and the releases that are started on it."""

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        self.first, self.second, self.broken = releases(folder)
        self.path = folder / "town.db"

    def open(self, path: Path) -> Engine:
        engine = open_sqlite(path)
        self.addCleanup(engine.dispose)
        return engine

    def start(self, schema: MetaData, migrations: Migrations, *, path: Path | None = None) -> Engine:
        """The engine after a start of that release."""
        engine = self.open(path or self.path)
        prepare_schema(engine, schema, name="town", migrations=migrations)
        return engine

    def refuse(self, schema: MetaData, migrations: Migrations, expected: str) -> None:
        before = self.dump()
        with self.assertRaises(StartupError) as caught:
            self.start(schema, migrations)
        self.assertIn(expected, str(caught.exception))
        self.assertEqual(self.dump(), before)

    def dump(self) -> list[str]:
        with sqlite3.connect(self.path) as connection:
            dumped = list(connection.iterdump())
        connection.close()
        return dumped

    def fill(self, engine: Engine) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql("INSERT INTO houses (id, name) VALUES (1, 'Hall'), (2, NULL)")
            connection.exec_driver_sql("INSERT INTO rooms VALUES (1), (2)")

    def test_fresh(self) -> None:
        """A new database is made as the newest release has it, and opened again without a change."""
        self.start(SECOND, self.second)
        before = self.dump()
        self.start(SECOND, self.second)
        self.assertEqual(self.dump(), before)

    def test_upgrade(self) -> None:
        """An upgraded database keeps every row, also of tables that refer to one that was made anew."""
        self.fill(self.start(FIRST, self.first))
        engine = self.start(SECOND, self.second)
        with engine.connect() as connection:
            houses = connection.exec_driver_sql("SELECT id, name, colour FROM houses").all()
            rooms = connection.exec_driver_sql("SELECT count(*) FROM rooms").scalar_one()
            keys = connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one()
        self.assertEqual((list(map(tuple, houses)), rooms), ([(1, "Hall", None), (2, "nameless", None)], 2))
        self.assertEqual(keys, 1)

    def test_upgraded_is_fresh(self) -> None:
        """Whether upgraded or new, the tables are the same."""
        self.start(FIRST, self.first)
        upgraded = described(self.start(SECOND, self.second))
        fresh = described(self.start(SECOND, self.second, path=self.path.with_name("fresh.db")))
        self.assertEqual(upgraded, fresh)

    def test_newer(self) -> None:
        """A database of a newer release is refused, and not touched."""
        self.start(SECOND, self.second)
        self.refuse(FIRST, self.first, "has schema 0002, which this release does not know")

    def test_newer_books(self) -> None:
        """So is one whose books say something that this release cannot read."""
        engine = self.start(FIRST, self.first)
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE schema_version SET version = 3")
        self.refuse(FIRST, self.first, "schema version 3")

    def test_failed_step(self) -> None:
        """A step that fails changes nothing, and is told with its reason; the old release goes on with it."""
        self.fill(self.start(FIRST, self.first))
        self.refuse(FIRST, self.broken, "no such table: nowhere")
        self.start(FIRST, self.first)

    def test_cut_off(self) -> None:
        """A database that says of itself that it is half changed is refused, with what to do."""
        engine = self.start(FIRST, self.first)
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE schema_version SET version = 0")
        self.refuse(FIRST, self.first, "cut off behind step 0001")
        with engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM alembic_town")
        self.refuse(FIRST, self.first, "the making of the town database was cut off")

    def test_foreign(self) -> None:
        """Tables of our names that somebody else made are not taken for ours."""
        with sqlite3.connect(self.path) as connection:
            connection.execute("CREATE TABLE rooms (x)")
        connection.close()
        self.refuse(FIRST, self.first, "rooms")

    def test_two_schemas(self) -> None:
        """Two schemas in one database do not know of each other's steps."""
        self.start(SECOND, self.second)
        engine = self.open(self.path)
        prepare_schema(engine, MetaData(), name="other", migrations=self.first)
        prepare_schema(engine, MetaData(), name="other", migrations=self.first)
        self.start(SECOND, self.second)

    def test_dangling(self) -> None:
        """An upgrade that would leave rows without their parents is undone."""
        engine = self.start(FIRST, self.first)
        self.fill(engine)
        engine.dispose()
        with sqlite3.connect(self.path) as connection:
            connection.execute("DELETE FROM houses WHERE id = 2")
        connection.close()
        self.refuse(SECOND, self.second, "rows of rooms that refer to nothing")
