"""The business tables: the same whether new or upgraded, and never another release's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, MetaData
from twisted.trial.unittest import SynchronousTestCase

import imd
from imd.business.schema import MIGRATIONS, open_business
from imd.business.tables.base import SCHEMA
from imd.storage.sql_schema import prepare_schema
from imd.storage.sql_sqlite import open_sqlite
from tests.business.first_release import make_first_release
from tests.storage.described import described

BOOKS = ("schema_version", "alembic_business")
ROWS = {"users": 2, "logins": 1, "direct_conversations": 1, "group_conversations": 1, "group_members": 2}


def steps_from_nothing(engine: Engine, folder: Path) -> None:
    """Take every step on an empty database.

    :param folder: for the steps, with one before them that does nothing.
    """
    (folder / "versions").mkdir(parents=True)
    (folder / "env.py").write_text((MIGRATIONS.folder / "env.py").read_text())
    (folder / "versions" / "zero.py").write_text(
        'revision, down_revision = "zero", None\n\n\ndef upgrade():\n    pass\n'
    )
    for step in (MIGRATIONS.folder / "versions").glob("v*.py"):
        source = step.read_text().replace("down_revision = None", 'down_revision = "zero"')
        (folder / "versions" / step.name).write_text(source)
    migrations = MIGRATIONS._replace(folder=folder, first="zero")
    prepare_schema(engine, MetaData(), name="business", migrations=migrations._replace(head="zero"))
    prepare_schema(engine, SCHEMA, name="business", migrations=migrations)


class Upgrades(SynchronousTestCase):
    """From every release there was."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def test_head(self) -> None:
        """The head that a start compares with is the newest step there is, and there is only one."""
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS.folder))
        config.set_main_option("path_separator", "os")
        self.assertEqual(ScriptDirectory.from_config(config).get_heads(), [MIGRATIONS.head])

    def test_first_release(self) -> None:
        """A folder of the first release, which knew no Alembic, is taken over with every row."""
        path = self.folder / "business.db"
        make_first_release(path)
        engine = open_business(path)
        with engine.connect() as connection:
            counts = {
                table: connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()
                for table in ROWS
            }
        upgraded = described(engine)
        engine.dispose()
        self.assertEqual(counts, ROWS)
        fresh = open_business(None)
        self.assertEqual(upgraded, described(fresh))
        with fresh.connect() as connection:
            context = MigrationContext.configure(
                connection, opts={"include_name": lambda name, *_: name not in BOOKS}
            )
            self.assertEqual(compare_metadata(context, SCHEMA), [])

    def test_first_release_refuses(self) -> None:
        """The first release finds in the books that it must not open what this one has."""
        engine = open_business(None)
        with engine.connect() as connection:
            found = connection.exec_driver_sql(
                "SELECT version FROM schema_version WHERE name = 'business'"
            ).scalar()
        self.assertEqual(found, 2)

    def test_all_steps(self) -> None:
        """All steps, one after the other from nothing, lead to the tables that a new database has."""
        engine = open_sqlite(self.folder / "steps.db")
        self.addCleanup(engine.dispose)
        steps_from_nothing(engine, self.folder / "migrations")
        self.assertEqual(described(engine), described(open_business(None)))

    def test_quick(self) -> None:
        """A start without an upgrade does not even load Alembic, nor MySQL's driver."""
        code = (
            "import sys; from pathlib import Path; from imd.business.schema import open_business\n"
            f"for _ in range(2): open_business(Path({str(self.folder / 'b.db')!r})).dispose()\n"
            "print([name for name in ('alembic', 'pymysql') if name in sys.modules])"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env=os.environ | {"PYTHONPATH": str(Path(imd.__path__[0]).parent)},
        )
        self.assertEqual(done.stdout.strip(), "[]")
