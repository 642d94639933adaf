"""SQL databases: one engine, one thread pool, one transaction a call.

Everything above writes SQLAlchemy Core against this. Engines come from ``sql_sqlite`` for one machine and
from ``sql_mysql`` for many; what they do differently when a transaction begins, or fails, is said there
and in ``sql_faults``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any, Protocol, TypeVar

from sqlalchemy import BigInteger, Connection, Engine, Integer, MetaData, Table, insert
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from twisted.internet.defer import Deferred, TimeoutError
from twisted.logger import Logger

from imd.kernel.clocks import Clock
from imd.kernel.errors import OutcomeUnknown, ServerBusy
from imd.kernel.histogram import Calls
from imd.kernel.timeouts import with_timeout
from imd.ops.metrics import buckets
from imd.storage.sql_faults import commit_is_in_doubt, is_conflict
from imd.storage.switching import switch_often

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

#: What a ``Table`` says for MySQL: transactions, all of Unicode, and text that is compared and sorted by
#: code point, as SQLite does. (Only trailing spaces count there and not here; no id may hold any.)
MYSQL_TABLE: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}

#: SQLite takes 32,766 parameters a statement, MySQL more; one statement stays far below both.
ROWS_PER_STATEMENT = 500

#: Calls that wait for a thread or run in one: as many as the bus has requests, 1 KB each.
MAX_CALLS = 10_000
#: Once a call has waited so long for a thread, the database is slow: by then whoever asked over the bus has
#: gone, and most of what came in behind it would time out as well.
SLOW_AFTER_S = 2.0
#: How often a transaction runs that others stood in the way of. Of those in one another's way one always gets
#: through, so this many at once on the same rows lose nothing.
TRIES = 5

#: How a transaction begins; the engines' listeners read it from the connection.
READ = "read"
WRITE = "write"


class Threads(Protocol):
    """Runs ``work`` off the reactor thread and fires with what it returned or raised."""

    def __call__(self, work: Callable[[], T], /) -> Deferred[T]: ...


def metadata() -> MetaData:
    """An empty schema whose constraints will have stable names."""
    return MetaData(naming_convention=NAMING)


def begins_as(connection: Connection) -> str:
    """``READ`` or ``WRITE``; whoever does not say may write."""
    return str(connection.get_execution_options().get("imd_begin", WRITE))


def insert_ignore(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert the rows whose keys are not there yet; how many that were.

    MySQL forgives more than that (a parent row that is missing), so this is for rows that were checked. A row that
    is there it locks for reading: whoever goes on to change it takes ``insert_or_lock``.
    """
    if not rows:
        return 0
    statement = insert(table).prefix_with("IGNORE" if _is_mysql(connection) else "OR IGNORE")
    return connection.execute(statement, rows).rowcount


def insert_or_lock(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows whose keys are not there yet, and lock the others: all of them are ours to change now.

    With ``insert_ignore`` before a change, two who meet at a row both hold it for reading, and each waits for the
    other to let go before it writes: they deadlock. Callers give several rows in the order of their keys.

    :param table: its primary key is its only unique one, or another row may be locked.
    """
    if not rows:
        return
    if not _is_mysql(connection):
        # Who writes is alone there.
        insert_ignore(connection, table, rows)
        return
    key = table.primary_key.columns.values()[0]
    connection.execute(mysql.insert(table).on_duplicate_key_update({key.name: key}), rows)


def _is_mysql(connection: Connection) -> bool:
    return connection.dialect.name in ("mysql", "mariadb")


class Database:
    """One database. ``read`` and ``write`` run a function as one transaction in the pool.

    Failures of the database become ``ServerBusy`` (nothing was done) or, when a write was cut off by the
    time-out or its commit went unanswered, ``OutcomeUnknown``. ``IntegrityError`` and whatever ``work`` itself
    raises pass through: they are answers, and roll back.

    With several writers a transaction may be undone because of another one (a deadlock, a lock that
    is not given up). The function is then run again, up to ``TRIES`` times: it must have no effect but through its
    connection.

    :param slow_queue: how many calls may wait while the database is slow; more are refused at once.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        connect: Callable[[], Engine],
        threads: Threads,
        clock: Clock,
        timeout_s: float = 10.0,
        slow_queue: int = MAX_CALLS,
    ) -> None:
        self._connect = connect
        self._engine: Engine | None = None
        self._threads = threads
        self._clock = clock
        self._timeout_s = timeout_s
        self._slow_queue = slow_queue
        self._calls = 0
        #: (since when, what) has not begun, as far as was looked; oldest first.
        self._waiting: deque[tuple[float, _Call]] = deque()
        self._failing = False
        #: By how the transaction begins.
        self.calls = {READ: Calls(buckets.WRITE.bounds), WRITE: Calls(buckets.WRITE.bounds)}
        #: Transactions that were run again.
        self.conflicts = 0

    @property
    def in_flight(self) -> int:
        """Calls that run or wait for a thread."""
        return self._calls

    @property
    def waiting(self) -> int:
        """Calls that wait for a thread."""
        return sum(not call.has_begun for _, call in self._waiting)

    async def start(self) -> None:
        """Open it; ``connect`` raises ``StartupError`` if it cannot be used.

        Lowers Python's switch interval for the whole process.
        """
        switch_often()
        self._engine = await self._threads(self._connect)

    async def stop(self) -> None:
        """Close all connections."""
        if self._engine is not None:
            await self._threads(self._engine.dispose)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """``work``'s result; it sees one snapshot, and must not write."""
        return await self._run(work, READ)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """``work``'s result, once it is durable.

        On SQLite it is alone. On MySQL others write as well, and each statement sees what they have committed by
        then: a row on which a decision rests is locked first (``with_for_update``), and from then on stays.
        """
        return await self._run(work, WRITE)

    async def _run(self, work: Callable[[Connection], T], begin: str) -> T:
        if self._engine is None:
            raise ServerBusy("the database is not open", retry_after_ms=1000)
        counted = self.calls[begin]
        if self._calls >= MAX_CALLS or self._is_slow():
            counted.failures += 1
            raise ServerBusy("the database has too much to do", retry_after_ms=1000)
        call, began_s = _Call(self._engine, work, begin), self._clock.seconds()
        try:
            result: T = await with_timeout(self._submit(call), timeout_s=self._timeout_s, clock=self._clock)
        except TimeoutError:
            self._note_failure(counted, TimeoutError(f"no answer within {self._timeout_s} s"))
            if call.abandon() and begin == WRITE:
                raise OutcomeUnknown("the database is slow; ask again") from None
            raise ServerBusy("the database is slow", retry_after_ms=1000) from None
        except IntegrityError:
            raise
        except _CommitInDoubt as doubt:
            self._note_failure(counted, doubt.__cause__)
            raise OutcomeUnknown("the database failed while it was writing; ask again") from None
        except (DBAPIError, PoolTimeout) as error:
            self._note_failure(counted, error)
            raise ServerBusy("the database is not available", retry_after_ms=1000) from None
        finally:
            counted.seconds.observe(self._clock.seconds() - began_s)
            self.conflicts += call.conflicts
        if self._failing and begin == WRITE:
            self._failing = False
            self._log.info("database can be written again")
        return result

    def _is_slow(self) -> bool:
        while self._waiting and self._waiting[0][1].has_begun:
            self._waiting.popleft()
        if len(self._waiting) < self._slow_queue:
            return False
        return self._clock.seconds() - self._waiting[0][0] > SLOW_AFTER_S

    def _note_failure(self, counted: Calls, error: BaseException | None) -> None:
        counted.failures += 1
        if not self._failing:
            self._failing = True
            # The statement and its parameters stay out of the log: they hold people's data.
            cause = error.orig if isinstance(error, DBAPIError) else error
            self._log.error("database failed: {cause}; told once until a write works", cause=cause)

    def _submit(self, call: _Call) -> Deferred[Any]:
        self._calls += 1
        self._waiting.append((self._clock.seconds(), call))
        running = self._threads(call.run)
        # The place is free when the thread is, not when somebody stops waiting.
        result: Deferred[Any] = Deferred()
        running.addBoth(self._ended)
        running.chainDeferred(result)
        return result

    def _ended(self, result: T) -> T:
        self._calls -= 1
        return result


class _CommitInDoubt(Exception):
    """The commit was sent, and nobody knows what became of it."""


class _Call:
    """One transaction on its way to a thread."""

    def __init__(self, engine: Engine, work: Callable[[Connection], Any], begin: str) -> None:
        self._engine = engine
        self._work = work
        self._begin = begin
        #: Taken by whichever comes first, in its own thread: the beginning or the giving up.
        self._decided = Lock()
        self._abandoned = False
        #: How often another transaction stood in the way.
        self.conflicts = 0

    @property
    def name(self) -> str:
        """Where its work is written."""
        return str(getattr(self._work, "__qualname__", self._work)).replace(".<locals>", "")

    @property
    def has_begun(self) -> bool:
        """Whether a thread has taken it, or it never will be."""
        return self._decided.locked()

    def abandon(self) -> bool:
        """Nobody waits any more; whether it may have had an effect."""
        self._abandoned = True
        return not self._decided.acquire(blocking=False)

    def run(self) -> Any:
        if not self._decided.acquire(blocking=False):
            return None
        for _ in range(TRIES - 1):
            try:
                return self._run_once()
            except DBAPIError as error:
                if self._abandoned or not is_conflict(error):
                    raise
                self.conflicts += 1
        return self._run_once()

    def _run_once(self) -> Any:
        with self._engine.connect() as connection:
            connection = connection.execution_options(imd_begin=self._begin)
            committing = False
            try:
                # It commits at its end, and rolls back if that fails.
                with connection.begin():
                    result = self._work(connection)
                    committing = True
            except DBAPIError as error:
                if committing and self._begin == WRITE and commit_is_in_doubt(error):
                    raise _CommitInDoubt from error
                raise
            return result
