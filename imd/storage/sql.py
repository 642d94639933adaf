"""SQL databases: one engine, one thread pool, one transaction a call.

Everything above writes SQLAlchemy Core against this; SQLite is what one machine needs, and
nothing but ``open_sqlite`` and ``insert_ignore`` knows so.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Protocol, TypeVar

from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    insert,
    inspect,
    select,
)
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import StaticPool
from twisted.internet.defer import Deferred, TimeoutError
from twisted.logger import Logger

from imd.kernel.clocks import Clock
from imd.kernel.errors import OutcomeUnknown, ServerBusy, StartupError
from imd.kernel.timeouts import with_timeout

T = TypeVar("T")

#: Constraints need names that are the same everywhere, or no migration can drop them.
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

#: Our 64-bit ids. SQLite knows only INTEGER as the type of a rowid.
Id = BigInteger().with_variant(Integer, "sqlite")

#: SQLite takes 32,766 parameters a statement, MySQL more; one statement stays far below both.
ROWS_PER_STATEMENT = 500

#: Calls that wait for a thread or run in one: as many as the bus has requests, 1 KB each.
MAX_CALLS = 10_000

_BUSY_TIMEOUT_MS = 5_000
_FULL = 2


class Threads(Protocol):
    """Runs ``work`` off the reactor thread and fires with what it returned or raised."""

    def __call__(self, work: Callable[[], T], /) -> Deferred[T]: ...


def metadata() -> MetaData:
    """An empty schema whose constraints will have stable names."""
    return MetaData(naming_convention=NAMING)


def insert_ignore(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert the rows whose keys are not there yet; how many that were."""
    if not rows:
        return 0
    mysql = connection.dialect.name in ("mysql", "mariadb")
    statement = insert(table).prefix_with("IGNORE" if mysql else "OR IGNORE")
    return connection.execute(statement, rows).rowcount


class Database:
    """One database. ``read`` and ``write`` run a function as one transaction in the pool.

    Failures of the database become ``ServerBusy`` (nothing was done) or, when a write was cut
    off by the time-out, ``OutcomeUnknown``. ``IntegrityError`` and whatever ``work`` itself
    raises pass through: they are answers, and roll back.
    """

    _log = Logger()

    def __init__(
        self, *, connect: Callable[[], Engine], threads: Threads, clock: Clock, timeout_s: float = 10.0
    ) -> None:
        self._connect = connect
        self._engine: Engine | None = None
        self._threads = threads
        self._clock = clock
        self._timeout_s = timeout_s
        self._calls = 0
        self._failing = False

    async def start(self) -> None:
        """Open it; ``connect`` raises ``StartupError`` if it cannot be used."""
        self._engine = await self._threads(self._connect)

    async def stop(self) -> None:
        """Close all connections."""
        if self._engine is not None:
            await self._threads(self._engine.dispose)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """``work``'s result; it sees one snapshot."""
        return await self._run(work, "DEFERRED")

    async def write(self, work: Callable[[Connection], T]) -> T:
        """``work``'s result, once it is durable."""
        return await self._run(work, "IMMEDIATE")

    async def _run(self, work: Callable[[Connection], T], begin: str) -> T:
        if self._engine is None:
            raise ServerBusy("the database is not open", retry_after_ms=1000)
        if self._calls >= MAX_CALLS:
            raise ServerBusy("the database has too much to do", retry_after_ms=1000)
        call = _Call(self._engine, work, begin)
        try:
            result: T = await with_timeout(self._submit(call), timeout_s=self._timeout_s, clock=self._clock)
        except TimeoutError:
            self._log.error("database did not answer within {timeout_s} s", timeout_s=self._timeout_s)
            if call.abandon() and begin == "IMMEDIATE":
                raise OutcomeUnknown("the database is slow; ask again") from None
            raise ServerBusy("the database is slow", retry_after_ms=1000) from None
        except IntegrityError:
            raise
        except (DBAPIError, PoolTimeout) as error:
            # The statement and its parameters stay out of the log: they hold people's data.
            cause = error.orig if isinstance(error, DBAPIError) else error
            if not self._failing:
                self._failing = True
                self._log.error("database failed: {cause}; told once until a write works", cause=cause)
            raise ServerBusy("the database is not available", retry_after_ms=1000) from None
        if self._failing and begin == "IMMEDIATE":
            self._failing = False
            self._log.info("database can be written again")
        return result

    def _submit(self, call: _Call) -> Deferred[Any]:
        self._calls += 1
        running = self._threads(call.run)
        # The place is free when the thread is, not when somebody stops waiting.
        result: Deferred[Any] = Deferred()
        running.addBoth(self._ended)
        running.chainDeferred(result)
        return result

    def _ended(self, result: T) -> T:
        self._calls -= 1
        return result


class _Call:
    """One transaction on its way to a thread."""

    def __init__(self, engine: Engine, work: Callable[[Connection], Any], begin: str) -> None:
        self._engine = engine
        self._work = work
        self._begin = begin
        #: Taken by whichever comes first, in its own thread: the beginning or the giving up.
        self._decided = Lock()

    def abandon(self) -> bool:
        """Nobody waits any more; whether it may have had an effect."""
        return not self._decided.acquire(blocking=False)

    def run(self) -> Any:
        if not self._decided.acquire(blocking=False):
            return None
        with self._engine.connect() as connection:
            connection = connection.execution_options(imd_begin=self._begin)
            with connection.begin():
                return self._work(connection)


def open_sqlite(path: Path | None) -> Engine:
    """The engine of a SQLite file, made with mode 0600 if it is not there; None: in memory.

    :raises StartupError: the file cannot be used, or does not keep what it is told to.
    """
    if path is None:
        engine = create_engine(
            "sqlite://",
            poolclass=StaticPool,
            connect_args={"check_same_thread": False},
            hide_parameters=True,
        )
    else:
        _private_file(path)
        engine = create_engine(URL.create("sqlite", database=str(path)), hide_parameters=True)
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    if path is not None:
        _check_file(engine, path)
    return engine


def _private_file(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        path.chmod(0o600)
    except OSError as error:
        raise StartupError(f"cannot open the database {path}: {error.strerror}; check the folder's owner, "
                           "mode and free space") from None  # fmt: skip


def _on_connect(connection: Any, _record: object) -> None:
    # The driver would begin transactions by itself, and late; _on_begin does it, and says which.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _on_begin(connection: Connection) -> None:
    # A write that begins as a read can fail as busy in the middle, without waiting.
    mode = connection.get_execution_options().get("imd_begin", "IMMEDIATE")
    connection.exec_driver_sql(f"BEGIN {mode}")


def _check_file(engine: Engine, path: Path) -> None:
    try:
        with engine.connect().execution_options(imd_begin="DEFERRED") as connection:
            journal = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
            synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
            health = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
    except DBAPIError as error:
        engine.dispose()
        raise StartupError(
            f"{path} is not a database that can be read ({error.orig}): restore it from a backup, or move it "
            "and its -wal and -shm files away to begin with an empty one"
        ) from None
    if health != "ok":
        engine.dispose()
        raise StartupError(f"{path} is damaged ({health}): restore it from a backup")
    if journal != "wal" or synchronous != _FULL:
        engine.dispose()
        raise StartupError(
            f"{path} does not keep journal_mode=WAL and synchronous=FULL (it has {journal}, {synchronous}): "
            "put data_dir on a local file system"
        )


#: Steps of a schema: the function at index n brings version n + 1 to n + 2.
Migrations = Sequence[Callable[[Connection], None]]


def prepare_schema(engine: Engine, schema: MetaData, *, name: str, migrations: Migrations = ()) -> None:
    """Make or upgrade the tables; runs once at start, in one transaction.

    :raises StartupError: the database was written by a newer release, or is not ours.
    """
    known = len(migrations) + 1
    versions = Table(
        "schema_version", MetaData(), Column("name", String(32), primary_key=True), Column("version", Integer)
    )
    try:
        with engine.begin() as connection:
            versions.create(connection, checkfirst=True)
            found = connection.execute(select(versions.c.version).where(versions.c.name == name)).scalar()
            if found is None:
                _refuse_foreign_tables(connection, schema, name)
                schema.create_all(connection)
                connection.execute(insert(versions).values(name=name, version=known))
                return
            if not 1 <= found <= known:
                raise StartupError(
                    f"the {name} database has schema version {found}, this release knows {known}: start the "
                    "release that wrote it, or restore a backup made before the upgrade"
                )
            for migrate in migrations[found - 1 :]:
                migrate(connection)
            connection.execute(versions.update().where(versions.c.name == name).values(version=known))
    except SQLAlchemyError as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise StartupError(f"the {name} database cannot be prepared ({cause}): check its disk, or restore a "
                           "backup") from None  # fmt: skip


def _refuse_foreign_tables(connection: Connection, schema: MetaData, name: str) -> None:
    present = set(inspect(connection).get_table_names()) & set(schema.tables)
    if present:
        raise StartupError(
            f"the {name} database holds tables without a schema version ({', '.join(sorted(present))}): it was "
            "not made by this program, or is damaged; restore a backup or choose another data_dir"
        )
