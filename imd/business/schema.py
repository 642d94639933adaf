"""The business database: all tables of the role, opened, made or brought up to date."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine

from imd.business.tables import announcements, groups, people, policy
from imd.business.tables.base import SCHEMA
from imd.storage.sql_mysql import MysqlServer, open_mysql, open_mysql_for_upgrade
from imd.storage.sql_schema import UPGRADE_PATIENCE_S, Migrations, prepare_schema
from imd.storage.sql_sqlite import open_sqlite

#: A change of a table is also a new step in migrations/versions, and its name the head.
MIGRATIONS = Migrations(folder=Path(__file__).parent / "migrations", first="0001", head="0005")

#: Importing them is what makes them part of ``SCHEMA``.
DOMAINS = (people, groups, policy, announcements)

#: Parents before those that hang on them.
TABLES = tuple(SCHEMA.sorted_tables)


def open_business(path: Path | None) -> Engine:
    """The business database in a file, its tables made or brought up to date; None: in memory."""
    engine = open_sqlite(path)
    prepare_schema(engine, SCHEMA, name="business", migrations=MIGRATIONS)
    return engine


def open_business_on(server: MysqlServer, *, connections: int) -> Engine:
    """The business database on a server, its tables made or brought up to date; other nodes may do the same."""
    upgrading = open_mysql_for_upgrade(server, patience_s=UPGRADE_PATIENCE_S)
    try:
        prepare_schema(upgrading, SCHEMA, name="business", migrations=MIGRATIONS)
    finally:
        upgrading.dispose()
    return open_mysql(server, connections=connections)
