"""MySQL or MariaDB: reached, logged in to, durable, of this release's schema."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pymysql

from imd.business.tables.base import SCHEMA as TABLES
from imd.config.address import parse_host
from imd.config.engines import Sql
from imd.config.secret import read_secret
from imd.ctl.doctor import floors
from imd.ctl.doctor.clocks import Instant, skew
from imd.ctl.doctor.engine_tls import engine_expiry
from imd.ctl.doctor.finding import Check, Finding
from imd.ctl.doctor.floors import dotted, parsed
from imd.ctl.doctor.sqlite import schema_step
from imd.ctl.doctor.world import World

REACHED = Check("mysql.reached", "nobody logs in, and no group changes")
LOGIN = Check("mysql.login", "im-business and im-admin do not start")
VERSION = Check("mysql.version", "im-business and im-admin refuse it")
CHARSET = Check("mysql.charset", "im-business refuses it: names in many scripts, and all emoji, would be cut")
DURABLE = Check("mysql.durable", "accounts and groups may be as they were before, after a power cut")
WRITABLE = Check("mysql.writable", "im-business refuses a server that takes no writes")
MODE = Check(
    "mysql.mode", "others who write there are not refused what does not fit; imd sets its own for itself"
)
ISOLATION = Check(
    "mysql.isolation", "others who read there see halves of a change; imd sets its own for itself"
)
CONNECTIONS = Check("mysql.connections", "nodes wait for a connection that they do not get")
RIGHTS = Check("mysql.rights", "who gets into a node gets into every database of that server")
SCHEMA = Check("mysql.schema", "a release only knows the schema of its own time, and older ones")
TABLE_ENGINE = Check("mysql.engine", "a table without transactions keeps half of a change")

_CALL_TIMEOUT_S = 5
TIMEOUT_S = 20.0
#: As of im-business on its own: an operator's shell, a backup, an upgrade.
_SPARE_CONNECTIONS = 10
_TOO_WIDE = ("ALL PRIVILEGES ON *.*", "SUPER", "FILE", "CREATE USER", "GRANT OPTION", "SHUTDOWN")

_SETTINGS = (
    "version", "innodb_flush_log_at_trx_commit", "read_only", "log_bin", "sync_binlog", "sql_mode", "max_connections",
)  # fmt: skip


def mysql(sql: Sql, world: World, *, roles: int) -> Iterator[Finding]:
    """Everything that its user may see.

    :param roles: how many configurations name it, each with pool_size connections.
    """
    about = f"MySQL {sql.address}"
    try:
        connection = _connected(sql)
    except (pymysql.MySQLError, OSError) as error:
        yield refused(about, sql, error)
        return
    with closing(connection), connection.cursor() as cursor:
        yield REACHED.ok(about, "answers")
        yield LOGIN.ok(about, f"lets {sql.user} in, to the database {sql.database}")
        if sql.ca_file:
            cursor.execute("SHOW STATUS LIKE 'Ssl_server_not_after'")
            yield from engine_expiry(about, (cursor.fetchone() or ("", ""))[1], world)
        yield from settings(about, _settings(cursor))
        yield charset(about, sql.database, str(_one(cursor, "SELECT @@character_set_database")))
        yield connections(about, int(_one(cursor, "SELECT @@max_connections")), roles * sql.pool_size)
        cursor.execute("SHOW GRANTS")
        yield rights(about, [str(row[0]) for row in cursor.fetchall()])
        yield from _schema(about, cursor, sql.database)
        yield skew(about, _time(cursor, world))


def refused(about: str, sql: Sql, error: Exception) -> Finding:
    code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    said = error.args[1] if len(error.args) > 1 else error
    if code in (1044, 1045, 1049, 1698, 3159):
        return LOGIN.fail(
            about,
            f"refuses {sql.user} (database {sql.database}): {said}",
            "check sql.user, sql.password_file and sql.database; CREATE DATABASE ... CHARACTER SET utf8mb4; GRANT ALL "
            f"ON `{sql.database}`.* to that user",
        )
    return REACHED.fail(
        about, f"no answer: {said}", "start it, or check [sql] address, ca_file and the firewall"
    )


def settings(about: str, found: dict[str, str]) -> Iterator[Finding]:
    """Variables of the server."""
    yield version(about, found["version"])
    if found["innodb_flush_log_at_trx_commit"] != "1":
        yield DURABLE.fail(
            about,
            f"innodb_flush_log_at_trx_commit is {found['innodb_flush_log_at_trx_commit']}",
            "set it to 1, also in its configuration file",
            means="commits of the last second are gone after a crash; im-business refuses it",
        )
    elif found["log_bin"] in ("1", "ON") and found["sync_binlog"] != "1":
        yield DURABLE.warn(about, f"sync_binlog is {found['sync_binlog']}", "set it to 1, also in its configuration file",
                           means="replicas may miss the newest commits after a crash")  # fmt: skip
    else:
        yield DURABLE.ok(about, "a commit is on the disk when it returns")
    if found["read_only"] not in ("0", "OFF"):
        yield WRITABLE.fail(about, "is read-only", "give the address of the primary")
    else:
        yield WRITABLE.ok(about, "takes writes")
    if "STRICT_" not in found["sql_mode"]:
        yield MODE.note(about, f"sql_mode is {found['sql_mode'] or 'empty'}", "add STRICT_TRANS_TABLES")
    else:
        yield MODE.ok(about, "sql_mode is strict")
    if found["isolation"].replace("-", " ") == "READ UNCOMMITTED":
        yield ISOLATION.note(
            about, "isolation is READ UNCOMMITTED", "set it to REPEATABLE-READ or READ-COMMITTED"
        )
    else:
        yield ISOLATION.ok(about, f"isolation is {found['isolation']}")


def version(about: str, text: str) -> Finding:
    name, floor = ("MariaDB", floors.MARIADB) if "mariadb" in text.lower() else ("MySQL", floors.MYSQL)
    # Replication taught older clients to expect a 5.5.5- before MariaDB's own number.
    found = parsed(text.removeprefix("5.5.5-"))
    if found < floor.version:
        return VERSION.fail(about, f"{name} {dotted(found)}", f"use {name} {floor} or newer: {floor.reason}")
    return VERSION.ok(about, f"{name} {dotted(found)}")


def charset(about: str, database: str, found: str) -> Finding:
    if found != "utf8mb4":
        return CHARSET.fail(about, f"the database {database} has the character set {found}",
                            f"ALTER DATABASE `{database}` CHARACTER SET utf8mb4")  # fmt: skip
    return CHARSET.ok(about, "utf8mb4")


def connections(about: str, allowed: int, needed: int) -> Finding:
    found = f"permits {allowed} connections, of which these configurations take {needed}"
    if allowed < needed + _SPARE_CONNECTIONS:
        return CONNECTIONS.warn(about, found, "raise max_connections there, or lower sql.pool_size")
    return CONNECTIONS.ok(about, found)


def rights(about: str, grants: list[str]) -> Finding:
    """:param grants: as SHOW GRANTS has them."""
    wide = sorted(
        {right for grant in grants if " ON *.* " in f"{grant} " for right in _TOO_WIDE if right in grant}
    )
    if wide:
        return RIGHTS.warn(about, f"its user may do more than it has to: {', '.join(wide)}",
                           "give it a user of its own with GRANT ALL on its own database, and no more")  # fmt: skip
    return RIGHTS.ok(about, "its user may change its own databases only")


def _schema(about: str, cursor: Any, database: str) -> Iterator[Finding]:
    cursor.execute(
        "SELECT table_name, engine FROM information_schema.tables WHERE table_schema = %s AND table_type = 'BASE TABLE'",
        (database,),
    )
    engines = {str(name): str(engine) for name, engine in cursor.fetchall()}
    step = _one(cursor, "SELECT version_num FROM alembic_business") if "alembic_business" in engines else ""
    yield schema_step(SCHEMA, about, str(step or ""))
    wrong = sorted(name for name, engine in engines.items() if name in TABLES.tables and engine != "InnoDB")
    if wrong:
        yield TABLE_ENGINE.fail(
            about,
            f"{', '.join(wrong)}: not InnoDB",
            "ALTER TABLE ... ENGINE = InnoDB, with the nodes stopped",
        )
    else:
        yield TABLE_ENGINE.ok(about, "its tables are InnoDB's")


def _connected(sql: Sql) -> Any:
    host, port = parse_host(sql.address)
    more: dict[str, Any] = {}
    if sql.ca_file:
        more["ssl"] = ssl.create_default_context(cafile=sql.ca_file)
    return pymysql.connect(
        host=host,
        port=port,
        user=sql.user,
        password=read_secret(sql.password_file).encode() if sql.password_file else b"",
        database=sql.database,
        charset="utf8mb4",
        connect_timeout=_CALL_TIMEOUT_S,
        read_timeout=_CALL_TIMEOUT_S,
        write_timeout=_CALL_TIMEOUT_S,
        autocommit=True,
        **more,
    )


def _settings(cursor: Any) -> dict[str, str]:
    cursor.execute("SELECT " + ", ".join(f"@@global.{name}" for name in _SETTINGS))
    found = dict(zip(_SETTINGS, map(str, cursor.fetchone()), strict=True))
    # MySQL 8 and MariaDB 11 call it so, older MariaDBs only the other way.
    cursor.execute("SHOW GLOBAL VARIABLES WHERE Variable_name IN ('transaction_isolation', 'tx_isolation')")
    found["isolation"] = str(cursor.fetchone()[1])
    return found


def _time(cursor: Any, world: World) -> Instant:
    asked_ms = world.wall_clock()
    said: datetime = _one(cursor, "SELECT UTC_TIMESTAMP(6)")
    return Instant(asked_ms, world.wall_clock(), said.replace(tzinfo=UTC).timestamp() * 1000)


def _one(cursor: Any, statement: str) -> Any:
    cursor.execute(statement)
    row = cursor.fetchone()
    return row[0] if row else None
