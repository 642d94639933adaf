"""A MySQL or MariaDB server as the engine of a ``Database``: checked at start, and every wait bounded."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from twisted.logger import Logger

from imd.kernel.errors import StartupError
from imd.storage.sql import READ, WRITE, begins_as
from imd.storage.sql_faults import mysql_code

#: Anything older is not maintained any more.
_MARIADB_FLOOR = (10, 6)
_MYSQL_FLOOR = (8, 0)

_CONNECT_TIMEOUT_S = 3
#: No statement of ours takes long; one without an answer is better given up before its caller is.
_ANSWER_TIMEOUT_S = 4
#: Below the time-out of an answer, so that the server says who was in the way, and the transaction is repeated.
_LOCK_TIMEOUT_S = 1
#: Below what proxies and the server's own wait_timeout permit to an idle connection.
_RECYCLE_S = 1800
#: PyMySQL keeps what the last answer said; SERVER_STATUS_IN_TRANS of the protocol.
_IN_TRANSACTION = 1

#: Text that is too long is refused and not cut, whatever the server is set to.
_SQL_MODE = "STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
#: Characters of a GROUP_CONCAT, which is cut silently otherwise: 25,000 members of a group with all that is special
#: of them.
_GROUP_CONCAT = 4 * 1024 * 1024
_SESSION = (
    # A snapshot for those that read; those that write ask for something else, see _on_begin.
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    f"SET SESSION innodb_lock_wait_timeout = {_LOCK_TIMEOUT_S}, sql_mode = '{_SQL_MODE}'",
    f"SET SESSION group_concat_max_len = {_GROUP_CONCAT}",
)

_log = Logger()


class MysqlServer(NamedTuple):
    """Where a database is, and who may use it. With ``ca_file`` over TLS, to a server of that name alone.

    It is the primary: what was read a moment ago must not be older than what was committed before that.
    """

    host: str
    port: int
    user: str
    password: str
    database: str
    ca_file: Path | None = None

    def __repr__(self) -> str:
        return f"MysqlServer({self.user}@{self.host}:{self.port}/{self.database})"


def open_mysql(server: MysqlServer, *, connections: int) -> Engine:
    """The engine of a server: at most so many connections, each checked before it is used.

    :param connections: as many as the ``Database`` has threads; more would never be used.
    :raises StartupError: the server cannot be used, or does not keep what it is told to.
    """
    engine = _engine(server, connections=connections, answer_timeout_s=_ANSWER_TIMEOUT_S)
    event.listen(engine, "begin", _on_begin)
    event.listen(engine, "reset", _on_reset)
    return _checked(engine, server)


def open_mysql_for_upgrade(server: MysqlServer, *, patience_s: int) -> Engine:
    """The engine of one who changes tables: one connection, each statement commits itself and may take long.

    :raises StartupError: as ``open_mysql``.
    """
    return _checked(_engine(server, connections=1, answer_timeout_s=patience_s), server)


def _engine(server: MysqlServer, *, connections: int, answer_timeout_s: int) -> Engine:
    arguments: dict[str, Any] = {
        # As bytes: of a string the driver would take Latin-1.
        "password": server.password.encode(),
        "charset": "utf8mb4",
        "connect_timeout": _CONNECT_TIMEOUT_S,
        "read_timeout": answer_timeout_s,
        "write_timeout": answer_timeout_s,
        # Transactions are begun in words; nothing is ever left open by a statement before one.
        "autocommit": True,
    }
    if server.ca_file is not None:
        arguments["ssl"] = _tls(server.ca_file)
    url = URL.create(
        "mysql+pymysql",
        username=server.user,
        host=server.host,
        port=server.port,
        database=server.database,
    )
    engine = create_engine(
        url,
        connect_args=arguments,
        hide_parameters=True,
        pool_size=connections,
        max_overflow=0,
        pool_pre_ping=True,
        pool_recycle=_RECYCLE_S,
        # See _on_reset.
        pool_reset_on_return=None,
    )
    event.listen(engine, "connect", _on_connect)
    return engine


def _tls(ca_file: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise StartupError(
            f"cannot read certificates from {ca_file}: {error}; it must be a PEM file"
        ) from None


def _on_connect(connection: Any, _record: object) -> None:
    with connection.cursor() as cursor:
        for statement in _SESSION:
            cursor.execute(statement)


def _on_begin(connection: Connection) -> None:
    """Reads see one snapshot; a write sees, after it waited for a lock, what the one before it did.

    Under REPEATABLE READ a write would go on with the snapshot from before the wait, and would lock the
    gaps between rows, so that two who add neighbours stop each other.
    """
    if begins_as(connection) == WRITE:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        connection.exec_driver_sql("START TRANSACTION")
    else:
        connection.exec_driver_sql("START TRANSACTION READ ONLY")


def _on_reset(connection: Any, _record: object, _state: object) -> None:
    """Roll back what is open, before anybody else gets the connection; mostly nothing is, and that is free."""
    if connection.server_status & _IN_TRANSACTION:
        connection.rollback()


def _checked(engine: Engine, server: MysqlServer) -> Engine:
    try:
        with engine.connect().execution_options(imd_begin=READ) as connection:
            _check_version(connection, server)
            _check_settings(connection, server)
    except DBAPIError as error:
        engine.dispose()
        raise StartupError(_why(error, server)) from None
    except StartupError:
        engine.dispose()
        raise
    return engine


def _check_version(connection: Connection, server: MysqlServer) -> None:
    dialect: Any = connection.dialect
    name, floor = ("MariaDB", _MARIADB_FLOOR) if dialect.is_mariadb else ("MySQL", _MYSQL_FLOOR)
    found = dialect.server_version_info[:2]
    if found < floor:
        raise StartupError(
            f"{_place(server)} is {name} {_dotted(found)}; {name} {_dotted(floor)} or newer is needed"
        )


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)


def _check_settings(connection: Connection, server: MysqlServer) -> None:
    charset, flush, read_only, binlog, sync_binlog = connection.exec_driver_sql(
        "SELECT @@character_set_database, @@innodb_flush_log_at_trx_commit, @@read_only, @@log_bin, @@sync_binlog"
    ).one()
    if charset != "utf8mb4":
        raise StartupError(
            f"the database {server.database} on {_place(server)} has the character set {charset}: "
            f"ALTER DATABASE `{server.database}` CHARACTER SET utf8mb4"
        )
    if flush != 1:
        raise StartupError(
            f"{_place(server)} may forget commits in a crash (innodb_flush_log_at_trx_commit is {flush}): set it "
            "to 1, also in its configuration file"
        )
    if read_only:
        raise StartupError(f"{_place(server)} is read-only: give the address of the primary server")
    if binlog and sync_binlog != 1:
        _log.warn(
            "{place} may lose the newest commits for its replicas in a crash (sync_binlog is {value}): set it to 1",
            place=_place(server),
            value=sync_binlog,
        )


def _place(server: MysqlServer) -> str:
    return f"{server.host}:{server.port}"


#: MySQL's number to what to do.
_ADVICE = {
    1040: "raise max_connections there, or lower pool_size here",
    1044: "GRANT ALL on the database to this user",
    1045: "check user and password",
    1049: "CREATE DATABASE with CHARACTER SET utf8mb4 first",
    1129: "FLUSH HOSTS there, after whatever failed so often was repaired",
    1130: "the server permits no user from this host: check the user's host part",
    1698: "check user and password",
    2003: "check that it runs, and address and firewall",
    3159: "the server wants TLS: give its CA",
}


def _why(error: DBAPIError, server: MysqlServer) -> str:
    cause = error.orig
    code = mysql_code(cause)
    said = cause.args[1] if cause is not None and len(cause.args) > 1 else cause
    advice = _ADVICE.get(code, "check address, user, password and TLS")
    if "certificate" in str(said).lower() or "ssl" in str(said).lower():
        advice = (
            "check that the server has TLS, and that its certificate is of this name and signed by that CA"
        )
    return (
        f"cannot use the database {server.database} on {_place(server)} as {server.user} ({said}): {advice}"
    )
