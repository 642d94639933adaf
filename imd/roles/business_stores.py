"""What the business role stands on: a data folder in one process, a MySQL server among many."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from imd.business.accounts.secrets import SecretFile
from imd.business.schema import open_business, open_business_on
from imd.config.sections import BusinessConfig
from imd.ops.operator_token import OperatorToken
from imd.roles.business import BusinessStores
from imd.roles.sql import mysql_server

#: SQLite has one writer at a time; the rest read.
_SQLITE_THREADS = 4
_SQLITE_TIMEOUT_S = 10.0
#: While a server is slow, so many callers wait for each connection: at 2 s a call the last of them would be
#: answered when nobody asks any more.
_SLOW_QUEUE_PER_CONNECTION = 20


def embedded_business(data_dir: Path) -> BusinessStores:
    """A file and a secret that is made at first start."""
    return BusinessStores(
        secret=SecretFile(data_dir / "secrets" / "token.key"),
        operator_token=OperatorToken(data_dir / "secrets" / "operator.token", key="data_dir"),
        connect=partial(open_business, data_dir / "business.db"),
        sql_threads=_SQLITE_THREADS,
        sql_timeout_s=_SQLITE_TIMEOUT_S,
    )


def cluster_business(config: BusinessConfig) -> BusinessStores:
    """A server and a secret that all nodes share."""
    sql = config.sql
    return BusinessStores(
        secret=SecretFile(Path(config.token_secret_file), given=True),
        operator_token=OperatorToken(config.operator_token_file, key="operator_token_file"),
        connect=lambda: open_business_on(mysql_server(sql), connections=sql.pool_size),
        sql_threads=sql.pool_size,
        sql_timeout_s=sql.timeout_s,
        sql_slow_queue=_SLOW_QUEUE_PER_CONNECTION * sql.pool_size,
        shared=True,
    )
