"""Durable events in one SQLite file: what was published, how far each consumer is, what was given up.

One transaction is under way at a time; whatever is asked meanwhile goes into the next one, so that
many events share one flush to the disk.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from twisted.internet.defer import Deferred, execute
from twisted.logger import Logger

from imd.bus.matching import matcher
from imd.bus.subjects import FADES_AFTER_S, NEWEST_COUNTS
from imd.kernel.clocks import WallClock
from imd.kernel.errors import ImError, OutcomeUnknown, ServerBusy, StartupError

T = TypeVar("T")

SCHEMA_VERSION = 1
#: Events that a known consumer has not acknowledged, or that nobody asked for yet (spec 3.5).
KEEP_DAYS = 7
#: Dead letters wait for a person, and people go on holiday.
KEEP_DEAD_DAYS = 30
_DAY_MS = 24 * 3600 * 1000
_PURGE_INTERVAL_MS = 3600 * 1000
#: One read brings at most this, or a single event that is longer.
_PAGE_EVENTS = 100
_PAGE_BYTES = 1024 * 1024
_FULL = 2
#: For a backup only, which holds the file for some milliseconds.
_BUSY_TIMEOUT_MS = 2_000

_SCHEMA = """
create table event (
    id integer primary key autoincrement,
    subject text not null,
    payload blob not null,
    recorded_ms integer not null
);
create index event_by_subject on event (subject, id);
create table consumer (
    name text not null,
    pattern text not null,
    acked_id integer not null,
    tries integer not null,
    primary key (name, pattern)
) without rowid;
create table dead_letter (
    consumer text not null,
    event_id integer not null,
    subject text not null,
    payload blob not null,
    reason text not null,
    buried_ms integer not null,
    primary key (consumer, event_id)
) without rowid;
"""

_BEGIN_WITH_NEWEST = """
update consumer set tries = 0, acked_id = coalesce((select max(id) - 1 from event where subject = ?), acked_id)
where name = ? and pattern = ?
"""
_SKIP_WHAT_FADED = """
update consumer set tries = 0, acked_id = (select max(id) from event where subject = :pattern and recorded_ms < :until)
where name = :name and pattern = :pattern
and acked_id < (select max(id) from event where subject = :pattern and recorded_ms < :until)
"""


class Threads(Protocol):
    """Runs ``work`` off the reactor thread and fires with what it returned or raised."""

    def __call__(self, work: Callable[[], T], /) -> Deferred[T]: ...


class Event(NamedTuple):
    """A recorded event; ids rise in the order of recording."""

    id: int
    subject: str
    payload: bytes


class Progress(NamedTuple):
    """Where a consumer stands: the last event it is done with, and failed tries of the next."""

    acked_id: int
    tries: int


class Journal:
    """``path`` may be ``:memory:``. ``threads`` runs one call of ours at a time.

    Methods raise ``ServerBusy`` when nothing was recorded (disk full, closed) and
    ``OutcomeUnknown`` when the disk failed in the middle of a commit.
    """

    _log = Logger()

    def __init__(self, path: Path | str, *, wall_clock: WallClock, threads: Threads = execute) -> None:
        self._path = str(path)
        self._wall_clock = wall_clock
        self._threads = threads
        self._connection: sqlite3.Connection | None = None
        self._claim = -1
        self._asked: list[tuple[Callable[[sqlite3.Connection], Any], Deferred[Any]]] = []
        self._working = False
        self._purged_ms = 0

    async def open(self) -> None:
        """Open or create the file; StartupError says what is wrong with it."""
        self._connection = await self._threads(self._connect)

    async def close(self) -> None:
        """Finish what was asked, then close the file."""
        if self._connection is None:
            return
        await self._transact(lambda _: None)
        connection, self._connection = self._connection, None
        await self._threads(lambda: self._disconnect(connection))

    async def append(self, subject: str, payload: bytes) -> None:
        """Returns when the event is on the disk."""

        def insert(connection: sqlite3.Connection) -> None:
            now_ms = self._wall_clock()
            self._purge(connection, now_ms)
            connection.execute(
                "insert into event (subject, payload, recorded_ms) values (?, ?, ?)",
                (subject, payload, now_ms),
            )

        await self._transact(insert)

    async def register(self, consumer: str, pattern: str) -> Progress:
        """Make the consumer known, from the oldest event that is kept; or find where it was.

        Of ``NEWEST_COUNTS`` it begins with the newest, every time; of ``FADES_AFTER_S`` what is old is left out.
        """

        def insert(connection: sqlite3.Connection) -> Progress:
            key = (consumer, pattern)
            connection.execute("insert or ignore into consumer values (?, ?, 0, 0)", key)
            if pattern in NEWEST_COUNTS:
                connection.execute(_BEGIN_WITH_NEWEST, (pattern, *key))
            if pattern in FADES_AFTER_S:
                until_ms = self._wall_clock() - int(FADES_AFTER_S[pattern] * 1000)
                connection.execute(
                    _SKIP_WHAT_FADED, {"name": consumer, "pattern": pattern, "until": until_ms}
                )
            row = connection.execute(
                "select acked_id, tries from consumer where name = ? and pattern = ?", key
            ).fetchone()
            return Progress(*row)

        return await self._transact(insert)

    async def read(self, after_id: int) -> list[Event]:
        """The next events of all subjects, a page of them."""
        return await self._transact(lambda connection: _page(connection, after_id))

    async def acknowledge(self, consumer: str, pattern: str, event_id: int, subjects: Iterable[str]) -> None:
        """The consumer is done with everything up to here. Events of these subjects with which all
        consumers are done are deleted."""

        def update(connection: sqlite3.Connection) -> None:
            _advance(connection, consumer, pattern, event_id)
            for subject in subjects:
                _forget(connection, subject)

        await self._transact(update)

    async def record_try(self, consumer: str, pattern: str, tries: int) -> None:
        """So many tries of the consumer's next event have failed."""
        await self._transact(
            lambda connection: connection.execute(
                "update consumer set tries = ? where name = ? and pattern = ?", (tries, consumer, pattern)
            )
        )

    async def bury(self, consumer: str, pattern: str, event: Event, reason: str) -> None:
        """Put the event aside for a person to look at, and let the consumer go on."""

        def move(connection: sqlite3.Connection) -> None:
            connection.execute(
                "insert or replace into dead_letter values (?, ?, ?, ?, ?, ?)",
                (consumer, event.id, event.subject, event.payload, reason, self._wall_clock()),
            )
            _advance(connection, consumer, pattern, event.id)
            _forget(connection, event.subject)

        await self._transact(move)

    async def dead_letters(self) -> list[tuple[str, Event, str]]:
        """(consumer, event, reason) of at most 1,000 that were given up, oldest first."""
        query = "select consumer, event_id, subject, payload, reason from dead_letter order by event_id limit 1000"
        rows = await self._transact(lambda connection: connection.execute(query).fetchall())
        return [(row[0], Event(*row[1:4]), row[4]) for row in rows]

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> Deferred[T]:
        """``work``'s result, when the transaction that it shared with others is on the disk."""
        done: Deferred[T] = Deferred()
        self._asked.append((work, done))
        if not self._working:
            self._working = True
            Deferred.fromCoroutine(self._work_off())
        return done

    async def _work_off(self) -> None:
        while self._asked:
            asked, self._asked = self._asked, []
            outcome = await self._attempt([work for work, _ in asked])
            for index, (_, done) in enumerate(asked):
                if isinstance(outcome, Exception):
                    done.errback(outcome)
                else:
                    done.callback(outcome[index])
        self._working = False

    async def _attempt(self, works: list[Callable[[sqlite3.Connection], Any]]) -> list[Any] | ImError:
        connection = self._connection
        if connection is None:
            return ServerBusy("the event journal is closed")
        try:
            return await self._threads(lambda: _commit(connection, works))
        except ImError as error:
            return error
        except Exception:
            self._log.failure("the event journal failed")
            return OutcomeUnknown("the event journal failed")

    def _purge(self, connection: sqlite3.Connection, now_ms: int) -> None:
        if now_ms - self._purged_ms < _PURGE_INTERVAL_MS:
            return
        self._purged_ms = now_ms
        connection.execute("delete from event where recorded_ms < ?", (now_ms - KEEP_DAYS * _DAY_MS,))
        connection.execute(
            "delete from dead_letter where buried_ms < ?", (now_ms - KEEP_DEAD_DAYS * _DAY_MS,)
        )

    def _connect(self) -> sqlite3.Connection:
        if self._path != ":memory:":
            self._claim = _claimed(self._path)
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection, self._path)
        except sqlite3.DatabaseError as error:
            self._disconnect(connection)
            raise StartupError(f"{self._path} cannot be used as event journal: {error}") from error
        except StartupError:
            self._disconnect(connection)
            raise
        return connection

    def _disconnect(self, connection: sqlite3.Connection) -> None:
        """In this order: closing the file anywhere in the process would take SQLite's own locks away."""
        connection.close()
        if self._claim >= 0:
            os.close(self._claim)
            self._claim = -1


def _claimed(path: str) -> int:
    """The file, made with mode 0600 (payloads are for nobody else's eyes), and ours as long as this stays open.

    Not by SQLite's exclusive mode, which would keep a backup from reading it.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StartupError(f"cannot write {path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StartupError(f"{path} is locked: another process uses it as its event journal") from None
    return descriptor


def _prepare(connection: sqlite3.Connection, path: str) -> None:
    connection.execute(f"pragma busy_timeout = {_BUSY_TIMEOUT_MS}")
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")
    if connection.execute("pragma synchronous").fetchone()[0] != _FULL:
        raise StartupError(f"{path}: SQLite does not keep synchronous=FULL")
    version = connection.execute("pragma user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise StartupError(f"{path} was written by a newer release (version {version})")
    if version == 0:
        connection.executescript(f"begin; {_SCHEMA} pragma user_version = {SCHEMA_VERSION}; commit;")


def _commit(connection: sqlite3.Connection, works: list[Callable[[sqlite3.Connection], T]]) -> list[T]:
    try:
        connection.execute("begin immediate")
        results = [work(connection) for work in works]
    except sqlite3.Error as error:
        _roll_back(connection)
        raise ServerBusy("the event journal cannot be written") from error
    try:
        connection.execute("commit")
    except sqlite3.Error as error:
        _roll_back(connection)
        raise OutcomeUnknown("the event journal failed while it was written") from error
    return results


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("rollback")


def _page(connection: sqlite3.Connection, after_id: int) -> list[Event]:
    page: list[Event] = []
    size = 0
    rows = connection.execute(
        "select id, subject, payload from event where id > ? order by id limit ?", (after_id, _PAGE_EVENTS)
    )
    for row in rows:
        page.append(Event(*row))
        size += len(row[2])
        if size >= _PAGE_BYTES:
            break
    rows.close()
    return page


def _advance(connection: sqlite3.Connection, consumer: str, pattern: str, event_id: int) -> None:
    connection.execute(
        "update consumer set acked_id = max(acked_id, ?), tries = 0 where name = ? and pattern = ?",
        (event_id, consumer, pattern),
    )


def _forget(connection: sqlite3.Connection, subject: str) -> None:
    """Delete what every consumer of this subject is done with."""
    rows = connection.execute("select pattern, acked_id from consumer").fetchall()
    acked = [acked_id for pattern, acked_id in rows if matcher(pattern)(subject)]
    if acked:
        done = min(acked)
        if subject in NEWEST_COUNTS:
            newest = connection.execute("select max(id) from event where subject = ?", (subject,)).fetchone()[
                0
            ]
            done = min(done, (newest or 0) - 1)
        connection.execute("delete from event where subject = ? and id <= ?", (subject, done))
