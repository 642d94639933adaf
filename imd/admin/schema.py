"""The tables of the admin role: made where they are missing, in a file or on a server."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.schema import CreateTable

from imd.admin.operators.sql import operators
from imd.admin.settings.sql import acts, versions
from imd.storage.sql_mysql import MysqlServer, open_mysql, open_mysql_for_upgrade
from imd.storage.sql_sqlite import open_sqlite

#: None hangs on another.
TABLES = (versions, acts, operators)

#: A few small tables are made, or found.
_CREATE_PATIENCE_S = 30


def create_tables(engine: Engine) -> None:
    """Make those that are not there; several nodes may do so at once."""
    with engine.begin() as connection:
        for table in TABLES:
            connection.execute(CreateTable(table, if_not_exists=True))


def open_admin(path: Path | None) -> Engine:
    """The admin database in a file, with its tables; None: in memory."""
    engine = open_sqlite(path)
    create_tables(engine)
    return engine


def open_admin_on(server: MysqlServer, *, connections: int) -> Engine:
    """The admin database on a server, with its tables.

    :raises StartupError: the server cannot be used.
    """
    making = open_mysql_for_upgrade(server, patience_s=_CREATE_PATIENCE_S)
    try:
        create_tables(making)
    finally:
        making.dispose()
    return open_mysql(server, connections=connections)
