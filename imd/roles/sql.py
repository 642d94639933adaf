"""The MySQL server of [sql], as every role takes it that has one."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text

from imd.config.address import parse_host
from imd.config.engines import Sql
from imd.kernel.clocks import Clock
from imd.ops.health import Watched
from imd.roles.secrets import password
from imd.storage.sql import Database
from imd.storage.sql_mysql import MysqlServer


def mysql_server(sql: Sql) -> MysqlServer:
    """Where [sql] says it is.

    :raises StartupError: its password cannot be read any more.
    """
    host, port = parse_host(sql.address)
    return MysqlServer(
        host=host,
        port=port,
        user=sql.user,
        password=password("sql", sql.password_file),
        database=sql.database,
        ca_file=Path(sql.ca_file) if sql.ca_file else None,
    )


def watched_database(database: Database, *, clock: Clock) -> Watched:
    """Asks the database the smallest question now and then."""

    async def ask() -> None:
        await database.read(lambda connection: connection.execute(text("SELECT 1")).scalar())

    return Watched("the SQL database", ask=ask, clock=clock)
