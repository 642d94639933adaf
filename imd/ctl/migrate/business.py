"""Business data, from SQLite to MySQL or MariaDB: table by table, each batch one transaction with its own progress."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Column as SqlColumn
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    MetaData,
    String,
    Table,
    Text,
    and_,
    delete,
    func,
    insert,
    inspect,
    or_,
    select,
)

from imd.business.schema import open_business_on
from imd.business.tables.base import SCHEMA
from imd.config.address import parse_host
from imd.config.engines import Sql
from imd.config.secret import read_secret
from imd.ctl.exits import TARGET, CommandFailed
from imd.ctl.migrate.compare import Verdict, compare
from imd.ctl.migrate.record import Identity, refusal
from imd.ctl.migrate.rows import Digest, Row
from imd.ctl.progress import Progress
from imd.storage.sql import MYSQL_TABLE, READ
from imd.storage.sql_mysql import MysqlServer, open_mysql

#: A transaction that InnoDB still takes with ease, and not much to do again after a crash.
BATCH_ROWS = 2000

_record = Table(
    "imctl_migration",
    MetaData(),
    SqlColumn("name", String(64), primary_key=True),
    SqlColumn("value", Text, nullable=False),
    **MYSQL_TABLE,
)
_IDENTITY = "identity"


def server_of(sql: Sql) -> MysqlServer:
    """Where [sql] says it is."""
    host, port = parse_host(sql.address)
    return MysqlServer(
        host=host,
        port=port,
        user=sql.user,
        password=read_secret(sql.password_file) if sql.password_file else "",
        database=sql.database,
        ca_file=Path(sql.ca_file) if sql.ca_file else None,
    )


def open_target(sql: Sql, *, make: bool) -> Engine:
    """The target's engine; its tables are made or upgraded if ``make``.

    :raises StartupError: it cannot be used.
    """
    if make:
        return open_business_on(server_of(sql), connections=1)
    return open_mysql(server_of(sql), connections=1)


class BusinessCopy:
    """One move of the business tables, and its check."""

    def __init__(self, *, source: Engine, target: Engine, place: str) -> None:
        self._source = source
        self._target = target
        self._place = place

    def refuse_others(self, identity: Identity) -> None:
        """:raises CommandFailed: the target holds something that this move has not put there."""
        with self._target.connect().execution_options(imd_begin=READ) as connection:
            found = _read(connection, _IDENTITY)
            occupied = [table.name for table in SCHEMA.sorted_tables if _any(connection, table)]
        reason = refusal(found, identity, occupied=occupied)
        if reason:
            raise CommandFailed(
                TARGET,
                f"the database {self._place} {reason}: to begin anew, DROP and CREATE it with CHARACTER SET utf8mb4",
            )

    def begin(self, identity: Identity) -> None:
        """Write down whose move this is."""
        _record.create(self._target, checkfirst=True)
        with self._target.begin() as connection:
            _write(connection, _IDENTITY, identity.text())

    def count(self) -> int:
        """Rows of all tables of the source."""
        with self._source.connect().execution_options(imd_begin=READ) as connection:
            return sum(_count(connection, table) for table in SCHEMA.sorted_tables)

    def stamp(self) -> str:
        """Changes with any row of the source."""
        digest = Digest()
        for table in SCHEMA.sorted_tables:
            for row in _rows(self._source, table):
                digest.add((table.name, *row))
        return str(digest)

    def copy(self, progress: Progress) -> None:
        """All tables, parents first; goes on where it was cut off."""
        with self._target.connect().execution_options(imd_begin=READ) as connection:
            done = sum(_count(connection, table) for table in SCHEMA.sorted_tables)
        progress.begin("business rows", self.count(), done=done)
        for table in SCHEMA.sorted_tables:
            self._copy_table(table, progress)
        progress.end()

    def _copy_table(self, table: Table, progress: Progress) -> None:
        mark = f"table {table.name}"
        with self._target.connect().execution_options(imd_begin=READ) as connection:
            text = _read(connection, mark)
        last: list[Any] | None = json.loads(text) if text else None
        key = len(table.primary_key.columns)
        names = [column.name for column in _columns(table)]
        while rows := _page(self._source, table, last):
            last = list(rows[-1][:key])
            with self._target.begin() as connection:
                connection.execute(insert(table), [dict(zip(names, row, strict=True)) for row in rows])
                _write(connection, mark, json.dumps(last))
            progress.advance(len(rows))

    def compare(self) -> Iterator[Verdict]:
        """Every row of every table."""
        with self._target.connect().execution_options(imd_begin=READ) as connection:
            present = set(inspect(connection).get_table_names())
        for table in SCHEMA.sorted_tables:
            if table.name not in present:
                raise CommandFailed(
                    TARGET,
                    f"the database {self._place} has no table {table.name}: nothing was moved there yet",
                )
            yield compare(
                table.name,
                _rows(self._source, table),
                _rows(self._target, table),
                key=len(table.primary_key.columns),
                columns=tuple(column.name for column in _columns(table)),
            )


def _columns(table: Table) -> list[SqlColumn[Any]]:
    """The key first."""
    key = list(table.primary_key.columns)
    return key + [column for column in table.columns if not column.primary_key]


def _rows(engine: Engine, table: Table) -> Iterator[Row]:
    """All, in the order of their keys."""
    key = len(table.primary_key.columns)
    last: list[Any] | None = None
    while rows := _page(engine, table, last):
        yield from rows
        last = list(rows[-1][:key])


def _page(engine: Engine, table: Table, last: list[Any] | None) -> list[Row]:
    """The next rows behind that key."""
    key = list(table.primary_key.columns)
    query = select(*_columns(table)).order_by(*key).limit(BATCH_ROWS)
    if last is not None:
        query = query.where(_behind(key, last))
    with engine.connect().execution_options(imd_begin=READ) as connection:
        return [tuple(row) for row in connection.execute(query)]


def _behind(key: list[SqlColumn[Any]], last: list[Any]) -> ColumnElement[bool]:
    """(a, b) > (x, y), in words that MySQL finds by the index."""
    choices = []
    for index, column in enumerate(key):
        same = [before == value for before, value in zip(key[:index], last, strict=False)]
        choices.append(and_(*same, column > last[index]))
    return or_(*choices)


def _count(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def _any(connection: Connection, table: Table) -> bool:
    return connection.execute(select(*table.primary_key.columns).limit(1)).first() is not None


def _read(connection: Connection, name: str) -> str:
    if not inspect(connection).has_table(_record.name):
        return ""
    return str(connection.execute(select(_record.c.value).where(_record.c.name == name)).scalar() or "")


def _write(connection: Connection, name: str, value: str) -> None:
    connection.execute(delete(_record).where(_record.c.name == name))
    connection.execute(insert(_record).values(name=name, value=value))
