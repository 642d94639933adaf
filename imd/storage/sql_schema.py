"""Tables made, upgraded by Alembic, or refused, before anybody uses them; by one node while the others wait.

Two small tables say how far a database is. ``alembic_NAME`` tells the newest step that was done.
``schema_version`` says whose the tables are and whether they are whole, also to releases that knew no Alembic.
Several schemas may share a database, each with a name of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from twisted.logger import Logger

from imd.kernel.errors import StartupError
from imd.storage.sql import MYSQL_TABLE, READ

#: How long a node waits for another one that upgrades, and how long one statement of an upgrade may take.
UPGRADE_PATIENCE_S = 600

#: What ``schema_version`` says: statements of MySQL cannot be undone, so a step that was cut off shows by the 0.
_IN_WORK = 0
_WITHOUT_ALEMBIC = 1
_WHOLE = 2

_marks = Table(
    "schema_version",
    MetaData(),
    Column("name", String(32), primary_key=True),
    Column("version", Integer),
    **MYSQL_TABLE,
)

_log = Logger()


class Migrations(NamedTuple):
    """Steps from one schema to the next. ``head`` is said here so that a start without any needs no Alembic."""

    #: Alembic's env.py and versions/.
    folder: Path
    #: What the releases had that knew no Alembic.
    first: str
    #: The newest.
    head: str


class _State(NamedTuple):
    mark: int | None
    revision: str


def prepare_schema(engine: Engine, schema: MetaData, *, name: str, migrations: Migrations) -> None:
    """Make or upgrade the tables; runs once at start. On MySQL with an engine ``open_mysql_for_upgrade``.

    :raises StartupError: the database was written by a newer release, is not ours, or an upgrade was cut off.
    """
    try:
        with engine.connect().execution_options(imd_begin=READ) as connection:
            if _state(connection, name) == _State(_WHOLE, migrations.head):
                return
        with _alone(engine, name) as connection:
            # Another node may have done it while this one waited.
            _bring_up(connection, schema, name, migrations, _state(connection, name))
    except SQLAlchemyError as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise StartupError(
            f"the {name} database cannot be prepared ({cause}): check its disk and the user's rights, or restore a "
            "backup"
        ) from None


def _revisions(name: str) -> Table:
    """As Alembic makes it."""
    column = Column("version_num", String(32), primary_key=True)
    return Table(f"alembic_{name}", MetaData(), column, **MYSQL_TABLE)


def _state(connection: Connection, name: str) -> _State:
    present = inspect(connection)
    mark, revision = None, ""
    if present.has_table(_marks.name):
        mark = connection.execute(select(_marks.c.version).where(_marks.c.name == name)).scalar()
    revisions = _revisions(name)
    if present.has_table(revisions.name):
        revision = connection.execute(select(revisions.c.version_num)).scalar() or ""
    return _State(mark, revision)


def _bring_up(
    connection: Connection, schema: MetaData, name: str, migrations: Migrations, state: _State
) -> None:
    if state == _State(_WHOLE, migrations.head):
        return
    if state.mark is None:
        _refuse_foreign_tables(connection, schema, name)
        _mark(connection, name, _IN_WORK)
        schema.create_all(connection)
        _set_revision(connection, name, migrations.head)
    elif state.mark == _IN_WORK:
        raise StartupError(_cut_off(name, state.revision))
    elif state.mark > _WHOLE:
        raise StartupError(_newer(name, f"schema version {state.mark}"))
    else:
        _upgrade(connection, name, migrations, state)
    _mark(connection, name, _WHOLE)


def _upgrade(connection: Connection, name: str, migrations: Migrations, state: _State) -> None:
    # Imported here: 0.2 s that a start without an upgrade need not wait for.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config(attributes={"connection": connection, "version_table": _revisions(name).name})
    config.set_main_option("script_location", str(migrations.folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    adopted = state.mark == _WITHOUT_ALEMBIC
    revision = migrations.first if adopted else state.revision
    if revision not in known:
        raise StartupError(_newer(name, f"schema {revision or 'unknown'}"))
    _log.info(
        "upgrading the {name} database from {old} to {new}", name=name, old=revision, new=migrations.head
    )
    _mark(connection, name, _IN_WORK)
    if adopted:
        _set_revision(connection, name, revision)
    command.upgrade(config, migrations.head)


def _mark(connection: Connection, name: str, mark: int) -> None:
    _marks.create(connection, checkfirst=True)
    if not connection.execute(update(_marks).where(_marks.c.name == name).values(version=mark)).rowcount:
        connection.execute(insert(_marks).values(name=name, version=mark))


def _set_revision(connection: Connection, name: str, revision: str) -> None:
    revisions = _revisions(name)
    revisions.create(connection, checkfirst=True)
    if not connection.execute(update(revisions).values(version_num=revision)).rowcount:
        connection.execute(insert(revisions).values(version_num=revision))


def _refuse_foreign_tables(connection: Connection, schema: MetaData, name: str) -> None:
    ours = {*schema.tables, _revisions(name).name}
    present = set(inspect(connection).get_table_names()) & ours
    if present:
        raise StartupError(
            f"the {name} database holds tables without a schema version ({', '.join(sorted(present))}): it was "
            "not made by this program, or is damaged; restore a backup or choose another place for it"
        )


def _newer(name: str, found: str) -> str:
    return (
        f"the {name} database has {found}, which this release does not know: start the release that wrote it, or "
        "restore a backup made before the upgrade"
    )


def _cut_off(name: str, revision: str) -> str:
    if not revision:
        return f"the making of the {name} database was cut off: drop its tables, and start again"
    return (
        f"an upgrade of the {name} database was cut off behind step {revision}, and its tables may be half changed: "
        "restore the backup made before the upgrade, and start again"
    )


@contextmanager
def _alone(engine: Engine, name: str) -> Iterator[Connection]:
    alone = _alone_on_sqlite if engine.dialect.name == "sqlite" else _alone_on_mysql
    with engine.connect() as connection, alone(connection, name):
        yield connection


@contextmanager
def _alone_on_sqlite(connection: Connection, name: str) -> Iterator[None]:
    """All steps in one transaction, begun as a writer."""
    driver: Any = connection.connection.driver_connection
    # A table that is made anew is dropped in between, and must not take along what refers to its rows.
    driver.execute("PRAGMA foreign_keys=OFF")
    try:
        with connection.begin():
            yield
            dangling = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
            if dangling is not None:
                raise StartupError(
                    f"the upgrade of the {name} database would leave rows of {dangling[0]} that refer to nothing; "
                    "nothing was changed: restore a backup"
                )
    finally:
        driver.execute("PRAGMA foreign_keys=ON")


@contextmanager
def _alone_on_mysql(connection: Connection, name: str) -> Iterator[None]:
    """Under a lock of the server's that ends with the connection; statements commit themselves."""
    # One for a server: the database is part of its name, which has at most 64 characters.
    database = connection.exec_driver_sql("SELECT DATABASE()").scalar_one()
    lock = {"lock": f"imd-{sha256(f'{database}/{name}'.encode()).hexdigest()[:32]}"}
    # Less than the driver waits for an answer.
    patience = {"patience": UPGRADE_PATIENCE_S - 30}
    if connection.execute(text("SELECT GET_LOCK(:lock, :patience)"), lock | patience).scalar() != 1:
        raise StartupError(
            f"another node has been upgrading the {name} database for {patience['patience']} s: start this one when "
            "that one is up"
        )
    try:
        yield
    finally:
        connection.execute(text("SELECT RELEASE_LOCK(:lock)"), lock)
