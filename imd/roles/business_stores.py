"""What the business role stands on: a data folder in one process, a MySQL server among many."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from imd.business.accounts.secrets import SecretFile
from imd.business.schema import open_business, open_business_on
from imd.config.address import parse_host
from imd.config.engines import Sql
from imd.config.sections import BusinessConfig
from imd.roles.business import BusinessStores
from imd.roles.secrets import password
from imd.storage.sql_mysql import MysqlServer

#: SQLite has one writer at a time; the rest read.
_SQLITE_THREADS = 4
_SQLITE_TIMEOUT_S = 10.0


def embedded_business(data_dir: Path) -> BusinessStores:
    """A file and a secret that is made at first start."""
    return BusinessStores(
        secret=SecretFile(data_dir / "secrets" / "token.key"),
        connect=partial(open_business, data_dir / "business.db"),
        sql_threads=_SQLITE_THREADS,
        sql_timeout_s=_SQLITE_TIMEOUT_S,
    )


def cluster_business(config: BusinessConfig) -> BusinessStores:
    """A server and a secret that all nodes share."""
    sql = config.sql
    return BusinessStores(
        secret=SharedSecret(config.token_secret_file),
        connect=lambda: open_business_on(mysql_server(sql), connections=sql.pool_size),
        sql_threads=sql.pool_size,
        sql_timeout_s=sql.timeout_s,
    )


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


class SharedSecret:
    """The token secret that an operator gave every node; never made here, where the others would not have it."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._value = b""

    def __repr__(self) -> str:
        return f"SharedSecret({self._file!r})"

    async def start(self) -> None:
        self._value = password("token_secret_file", self._file).strip().encode()

    async def stop(self) -> None:
        """Nothing to end."""

    def value(self) -> bytes:
        """The secret; only after ``start``."""
        if not self._value:
            raise RuntimeError("the secret is not loaded yet")
        return self._value
