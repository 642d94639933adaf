"""Tables, from SQLite to MySQL or MariaDB: one by one, each batch one transaction with its own progress."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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
from sqlalchemy.exc import IntegrityError

from imd.admin.schema import TABLES as ADMIN_TABLES
from imd.business.schema import TABLES as BUSINESS_TABLES
from imd.config.address import parse_host
from imd.config.engines import Sql
from imd.config.secret import read_secret
from imd.ctl.exits import TARGET, CommandFailed
from imd.ctl.migrate.compare import Verdict, compare
from imd.ctl.migrate.record import Identity, refusal
from imd.ctl.migrate.rows import Digest, Row
from imd.ctl.progress import Progress
from imd.storage.sql import MYSQL_TABLE, READ
from imd.storage.sql_faults import mysql_code
from imd.storage.sql_mysql import MysqlServer

#: A key that is there already; SQLite, which tests copy into, has no numbers.
_DUPLICATES = (1062, 0)

#: A transaction that InnoDB still takes with ease, and not much to do again after a crash.
BATCH_ROWS = 2000

_record = Table(
    "imctl_migration",
    MetaData(),
    SqlColumn("name", String(64), primary_key=True),
    SqlColumn("value", Text, nullable=False),
    **MYSQL_TABLE,
)


class Part(NamedTuple):
    """Tables that are moved together."""

    #: What they hold, for the operator.
    title: str
    #: Parents first.
    tables: Sequence[Table]
    #: Under which name the move is written down: both parts may be moved into one database.
    record_name: str
    #: How to begin anew in a target that cannot be used as it is.
    remedy: str
    #: How to go on without, if nothing was copied there yet.
    way_out: str = ""


BUSINESS = Part(
    "business rows",
    BUSINESS_TABLES,
    "identity",
    "to begin anew, DROP and CREATE it with CHARACTER SET utf8mb4 (with all that im-admin may have there)",
)
ADMIN = Part(
    "settings and operators",
    ADMIN_TABLES,
    "identity of settings",
    f"to begin anew, DROP TABLE {', '.join(table.name for table in ADMIN_TABLES)} there, if what they hold may be lost",
    ", or leave the folder's settings and operators behind with --without-admin",
)


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


def count_rows(engine: Engine, *tables: Table) -> int:
    """How many these tables have together."""
    with engine.connect().execution_options(imd_begin=READ) as connection:
        counts = (select(func.count()).select_from(table) for table in tables)
        return sum(int(connection.execute(count).scalar_one()) for count in counts)


class TableCopy:
    """One move of a part, and its check.

    :ivar place: what the target is called.
    """

    def __init__(self, part: Part, *, source: Engine, target: Engine, place: str) -> None:
        self._part = part
        self._source = source
        self._target = target
        self.place = place

    def refuse_others(self, identity: Identity) -> None:
        """:raises CommandFailed: the target holds something that this move has not put there."""
        with self._target.connect().execution_options(imd_begin=READ) as connection:
            found = _read(connection, self._part.record_name)
            is_ours = found == identity.text()
            occupied = [
                table.name
                for table in self._part.tables
                if _any(connection, table) and not (is_ours and _read(connection, _mark(table)))
            ]
        if occupied:
            way_out = "" if is_ours else self._part.way_out
            raise self._refused(refusal("" if is_ours else found, identity, occupied=occupied), way_out)

    def holds(self, identity: Identity) -> bool:
        """Whether this move was begun there."""
        with self._target.connect().execution_options(imd_begin=READ) as connection:
            return _read(connection, self._part.record_name) == identity.text()

    def begin(self, identity: Identity) -> None:
        """Write down whose move this is, and forget how far another one came."""
        _record.create(self._target, checkfirst=True)
        with self._target.begin() as connection:
            for table in self._part.tables:
                if not _any(connection, table):
                    connection.execute(delete(_record).where(_record.c.name == _mark(table)))
            _write(connection, self._part.record_name, identity.text())

    def stamp(self) -> str:
        """Changes with any row of the source."""
        digest = Digest()
        for table in self._part.tables:
            for row in _rows(self._source, table):
                digest.add((table.name, *row))
        return str(digest)

    def copy(self, progress: Progress) -> None:
        """All tables, parents first; goes on where it was cut off."""
        tables = self._part.tables
        progress.begin(
            self._part.title, count_rows(self._source, *tables), done=count_rows(self._target, *tables)
        )
        for table in tables:
            self._copy_table(table, progress)
        progress.end()

    def _copy_table(self, table: Table, progress: Progress) -> None:
        with self._target.connect().execution_options(imd_begin=READ) as connection:
            text = _read(connection, _mark(table))
        last: list[Any] | None = json.loads(text) if text else None
        key = len(table.primary_key.columns)
        names = [column.name for column in _columns(table)]
        while rows := _page(self._source, table, last):
            last = list(rows[-1][:key])
            try:
                with self._target.begin() as connection:
                    connection.execute(insert(table), [dict(zip(names, row, strict=True)) for row in rows])
                    _write(connection, _mark(table), json.dumps(last))
            except IntegrityError as error:
                # Of a row that is there already; asked just before, somebody writes there now.
                if mysql_code(error.orig) not in _DUPLICATES:
                    raise
                raise self._refused(f"is written by somebody else, maybe a server ({error.orig})") from None
            progress.advance(len(rows))

    def _refused(self, reason: str, way_out: str = "") -> CommandFailed:
        return CommandFailed(TARGET, f"the database {self.place} {reason}: {self._part.remedy}{way_out}")

    def compare(self) -> Iterator[Verdict]:
        """Every row of every table."""
        with self._target.connect().execution_options(imd_begin=READ) as connection:
            present = set(inspect(connection).get_table_names())
        for table in self._part.tables:
            if table.name not in present:
                raise CommandFailed(
                    TARGET,
                    f"the database {self.place} has no table {table.name}: nothing was moved there yet",
                )
            yield compare(
                table.name,
                _rows(self._source, table),
                _rows(self._target, table),
                key=len(table.primary_key.columns),
                columns=tuple(column.name for column in _columns(table)),
            )


def _mark(table: Table) -> str:
    """Under which name it is written down how far its copy is."""
    return f"table {table.name}"


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


def _any(connection: Connection, table: Table) -> bool:
    return connection.execute(select(*table.primary_key.columns).limit(1)).first() is not None


def _read(connection: Connection, name: str) -> str:
    if not inspect(connection).has_table(_record.name):
        return ""
    return str(connection.execute(select(_record.c.value).where(_record.c.name == name)).scalar() or "")


def _write(connection: Connection, name: str, value: str) -> None:
    connection.execute(delete(_record).where(_record.c.name == name))
    connection.execute(insert(_record).values(name=name, value=value))
