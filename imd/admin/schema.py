"""The tables of the admin role: made where they are missing, in a file or on a server."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, inspect
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateTable

from imd.admin.operators.sql import operators
from imd.admin.settings.sql import acts, versions
from imd.kernel.errors import StartupError
from imd.storage.sql_mysql import MysqlServer, open_mysql, open_mysql_for_upgrade
from imd.storage.sql_sqlite import open_sqlite

#: None hangs on another.
TABLES = (versions, acts, operators)

#: A few small tables are made, or found.
_CREATE_PATIENCE_S = 30


def open_admin(path: Path | None) -> Engine:
    """The admin database in a file, with its tables; None: in memory.

    :raises StartupError: it cannot be used, or another release wrote it.
    """
    engine = open_sqlite(path)
    try:
        create_tables(engine, place=str(path or "memory"))
    except StartupError:
        engine.dispose()
        raise
    return engine


def open_admin_on(server: MysqlServer, *, connections: int) -> Engine:
    """The admin database on a server, with its tables.

    :raises StartupError: as ``open_admin``.
    """
    making = open_mysql_for_upgrade(server, patience_s=_CREATE_PATIENCE_S)
    try:
        create_tables(making, place=f"{server.database} on {server.host}:{server.port}")
    finally:
        making.dispose()
    return open_mysql(server, connections=connections)


def create_tables(engine: Engine, *, place: str) -> None:
    """Make those that are not there; several nodes may do so at once.

    :raises StartupError: that failed, or those that are there are not ours.
    """
    try:
        with engine.begin() as connection:
            for table in TABLES:
                connection.execute(CreateTable(table, if_not_exists=True))
        inspector = inspect(engine)
        found = {table: {column["name"] for column in inspector.get_columns(table.name)} for table in TABLES}
    except SQLAlchemyError as error:
        raise StartupError(
            f"the tables of im-admin in {place} cannot be made ({getattr(error, 'orig', None) or error}): look at its disk, "
            "and whether its user may create tables"
        ) from None
    for table, columns in found.items():
        if columns != {column.name for column in table.columns}:
            raise StartupError(
                f"the table {table.name} in {place} is of another release: use that one, or a newer one"
            )
