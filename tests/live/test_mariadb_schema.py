"""Tables on MariaDB: made, upgraded or refused, also by several nodes at once."""

from __future__ import annotations

import shutil
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, MetaData
from twisted.trial.unittest import SynchronousTestCase

from imd.business.schema import MIGRATIONS, open_business_on
from imd.business.tables.base import SCHEMA
from imd.kernel.errors import StartupError
from imd.storage.sql_mysql import MysqlServer, open_mysql_for_upgrade
from imd.storage.sql_schema import Migrations, prepare_schema
from tests.business.test_schema import BOOKS, steps_from_nothing
from tests.live.mariadb import RacingCase, new_database
from tests.storage.described import described
from tests.storage.steps import FIRST, SECOND, releases


def engine_of(test: SynchronousTestCase, server: MysqlServer) -> Engine:
    """One that may change tables."""
    engine = open_mysql_for_upgrade(server, patience_s=30)
    test.addCleanup(engine.dispose)
    return engine


class Steps(SynchronousTestCase):
    """A database, and the releases that are started on it."""

    def setUp(self) -> None:
        self.server = new_database(self)
        self.first, self.second, self.broken = releases(Path(self.mktemp()))
        self.engine = engine_of(self, self.server)

    def start(self, schema: MetaData, migrations: Migrations) -> None:
        prepare_schema(self.engine, schema, name="town", migrations=migrations)

    def refuse(self, schema: MetaData, migrations: Migrations, *expected: str) -> None:
        with self.assertRaises(StartupError) as caught:
            self.start(schema, migrations)
        for part in expected:
            self.assertIn(part, str(caught.exception))

    def test_upgrade(self) -> None:
        """An upgraded database keeps every row, and has the same tables as a new one."""
        self.start(FIRST, self.first)
        with self.engine.begin() as connection:
            connection.exec_driver_sql("INSERT INTO houses (id, name) VALUES (1, 'Hall'), (2, NULL)")
            connection.exec_driver_sql("INSERT INTO rooms VALUES (1), (2)")
        self.start(SECOND, self.second)
        self.start(SECOND, self.second)
        with self.engine.connect() as connection:
            houses = connection.exec_driver_sql("SELECT id, name, colour FROM houses").all()
            rooms = connection.exec_driver_sql("SELECT count(*) FROM rooms").scalar_one()
        self.assertEqual((list(map(tuple, houses)), rooms), ([(1, "Hall", None), (2, "nameless", None)], 2))
        fresh = engine_of(self, new_database(self))
        prepare_schema(fresh, SECOND, name="town", migrations=self.second)
        self.assertEqual(described(self.engine), described(fresh))

    def test_newer(self) -> None:
        """A database of a newer release is refused."""
        self.start(SECOND, self.second)
        self.refuse(FIRST, self.first, "has schema 0002, which this release does not know")

    def test_cut_off(self) -> None:
        """A step that failed in the middle is told when it fails, and at every start after that."""
        self.start(FIRST, self.first)
        self.refuse(SECOND, self.broken, "nowhere")
        for release in (self.broken, self.first, self.second):
            self.refuse(SECOND, release, "cut off behind step 0001", "restore the backup")

    def test_made_by_half(self) -> None:
        """So is a database that was being made."""
        self.start(FIRST, self.first)
        with self.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE schema_version SET version = 0")
            connection.exec_driver_sql("DELETE FROM alembic_town")
        self.refuse(FIRST, self.first, "the making of the town database was cut off: drop its tables")


class BusinessTables(RacingCase):
    """Those of the role."""

    def test_all_steps(self) -> None:
        """All steps from nothing lead to the tables that a new database has, and those to what the code has."""
        fresh, upgraded = (engine_of(self, new_database(self)) for _ in range(2))
        prepare_schema(fresh, SCHEMA, name="business", migrations=MIGRATIONS)
        steps_from_nothing(upgraded, Path(self.mktemp()))
        self.assertEqual(described(upgraded), described(fresh))
        with fresh.connect() as connection:
            context = MigrationContext.configure(
                connection, opts={"include_name": lambda name, *_: name not in BOOKS}
            )
            self.assertEqual(compare_metadata(context, SCHEMA), [])

    def test_comparing(self) -> None:
        """Text is kept whole and compared letter by letter, whatever the database's own default is."""
        options = {table: described(self.engine)[table]["options"] for table in SCHEMA.tables}
        self.assertEqual({one["mysql_collate"] for one in options.values()}, {"utf8mb4_bin"})
        self.assertEqual({one["mysql_engine"] for one in options.values()}, {"InnoDB"})

    def test_together(self) -> None:
        """Nodes that start at the same time on an empty database all come up, and so on one to be upgraded."""
        empty, old = new_database(self), new_database(self)
        folder = Path(self.mktemp())
        first, second, _ = releases(folder)
        prepare_schema(engine_of(self, old), FIRST, name="town", migrations=first)

        def make() -> None:
            open_business_on(empty, connections=1).dispose()

        def upgrade() -> None:
            engine = open_mysql_for_upgrade(old, patience_s=30)
            prepare_schema(engine, SECOND, name="town", migrations=second)
            engine.dispose()

        async def on_thread(work: object) -> None:
            await self.threads(work)  # type: ignore[arg-type]

        self.assertEqual(self.race(*(on_thread(make) for _ in range(4))), [None] * 4)
        self.assertEqual(self.race(*(on_thread(upgrade) for _ in range(4))), [None] * 4)
        shutil.rmtree(folder)
