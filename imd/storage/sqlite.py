"""Embedded SQLite: one durable file, one writer, readers beside it, none of them on the reactor thread.

Python gives its global lock away for every ``sqlite3_step``, and while the reactor is busy taking it back
may wait a switch interval. What takes long, a commit above all, should therefore be few statements: a
batch as one ``INSERT`` of many rows, which outside of ``transaction`` commits itself.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger

from imd.kernel.errors import ImError, OutcomeUnknown, ServerBusy, StartupError
from imd.storage.lanes import Lane, Threads, Work, start_thread
from imd.storage.switching import switch_often

__all__ = [
    "FolderLock",
    "SqliteDatabase",
    "Threads",
    "read_error",
    "start_thread",
    "transaction",
    "write_error",
]

T = TypeVar("T")

#: Below it a checkpoint comes so often that it costs a third of the throughput (35,000 rows/s at 1,000
#: pages, 57,000 at 4,000); above, each one holds up a commit for longer (18 ms, at 16,000 pages 30 ms).
_WAL_AUTOCHECKPOINT_PAGES = 4000
#: KiB; the hot ends of the unique indexes of some thousand conversations.
_WRITER_CACHE_KIB = 32 * 1024
_READER_CACHE_KIB = 8 * 1024
_READERS = 2
#: After an unclean stop the whole file is checked up to this size, about a second; larger ones
#: rest on SQLite's own recovery and on the checks of every page it reads.
_CHECKED_BYTES = 256 * 1024 * 1024
#: For foreign processes only, such as a backup or a shell; ours never wait for one another.
_BUSY_TIMEOUT_S = 2.0


class FolderLock:
    """A stage that holds the data folder for this process alone, and makes the folder at first start."""

    def __init__(self, *, folder: Path) -> None:
        self._folder = folder
        self._descriptor = -1

    async def start(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._folder / "imd.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StartupError(
                f"cannot write to the data folder {self._folder}: {error.strerror}; check its owner and mode"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            pid = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise StartupError(
                f"another imd process (pid {pid}) uses {self._folder}; stop it, or choose another data_dir"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    async def stop(self) -> None:
        """Let go. The file stays: removing it would let two processes lock two different files."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)
        self._descriptor = -1


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing. What fails before COMMIT is rolled back and becomes ``ServerBusy``."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
    except BaseException as error:
        with suppress(sqlite3.Error):
            connection.rollback()
        if isinstance(error, sqlite3.Error):
            raise ServerBusy("the store cannot write now") from error
        raise
    try:
        connection.execute("COMMIT")
    except sqlite3.Error:
        with suppress(sqlite3.Error):
            connection.rollback()
        raise


def _settle(connection: sqlite3.Connection) -> None:
    """The smallest commit there is: the same number again rewrites the first page."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.execute(f"PRAGMA user_version = {version}")


def write_error(error: sqlite3.Error) -> ImError:
    """What a failed write means.

    SQLite has rolled it back, and nobody in this process will see it. But when the file system fails
    while a commit is written or synced (SQLITE_IOERR), its frames may be whole in the log on disk, and
    a crash before the next commit overwrites them would bring them back at the next start: in doubt,
    until ``read_settled``.
    A full disk (SQLITE_FULL) cuts the frames before the one that commits; their checksums then
    fail, as with every error before the log is written (busy, read-only, no memory): not stored.
    """
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_IOERR:
        return OutcomeUnknown("the store failed while it was writing")
    return ServerBusy("the store cannot write now")


def read_error(_error: sqlite3.Error) -> ImError:
    """What a failed read means: nothing was done, try again later."""
    return ServerBusy("the store cannot read now")


class SqliteDatabase:
    """One file, as a stage. ``write`` runs one job at a time; ``read`` two, and they see what is committed.

    A commit is visible only after it is synced (WAL, ``synchronous=FULL``), so a read is a durable read.
    After an error the next job simply tries again: when there is space again, it works again.

    :param application_id: 32 bits that tell our files from those of others.
    :param migrations: scripts in order; ``user_version`` counts those that are done.
    :param threads: None runs every job at once in the caller, for tests and tools.
    :param seconds: by which jobs are timed, for the metrics.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        path: Path,
        application_id: int,
        migrations: Sequence[str],
        threads: Threads | None,
        seconds: Callable[[], float] = monotonic,
    ) -> None:
        self._path = path
        self._application_id = application_id
        self._migrations = migrations
        self._threads = threads
        self._seconds = seconds
        self._connections: list[sqlite3.Connection] = []
        self._writer: Lane | None = None
        self._reader: Lane | None = None
        self._failing = False
        self._in_doubt = False

    def write(self, work: Work[T]) -> Deferred[T]:
        """Run ``work`` on the writing connection. Outside of ``transaction`` each statement commits itself."""
        if self._writer is None:
            return fail(ServerBusy("the store is closed"))
        return self._writer.submit(work)

    def read(self, work: Work[T]) -> Deferred[T]:
        """Run ``work`` on a connection that cannot write."""
        if self._reader is None:
            return fail(ServerBusy("the store is closed"))
        return self._reader.submit(work)

    @property
    def lanes(self) -> Mapping[str, Lane]:
        """Those that run jobs, by what these do; none before the start and after the stop."""
        lanes = {"read": self._reader, "write": self._writer}
        return {name: lane for name, lane in lanes.items() if lane is not None}

    async def read_settled(self, work: Work[T]) -> T:
        """A read on which somebody's fate may rest: what it does not show will never come back.

        After a write in doubt, a commit is made first, over the frames of the one that failed;
        if that fails too, so does this.
        """
        if self._in_doubt:
            await self.write(_settle)
            self._in_doubt = False
        return await self.read(work)

    async def start(self) -> None:
        """Open, check and bring the schema up to date, or say why not. Blocks: nothing else runs yet.

        Lowers Python's switch interval for the whole process, if there are threads.
        """
        if self._threads is not None:
            switch_often()
        try:
            writer = self._open_writer()
            readers = [self._open_reader() for _ in range(1 if self._threads is None else _READERS)]
        except BaseException:
            self._close()
            raise
        name = self._path.stem
        self._writer = Lane(
            f"{name}-write",
            [writer],
            threads=self._threads,
            translate=write_error,
            on_outcome=self._note_write,
            seconds=self._seconds,
        )
        self._reader = Lane(
            f"{name}-read",
            readers,
            threads=self._threads,
            translate=read_error,
            on_outcome=lambda error: None,
            seconds=self._seconds,
        )

    async def stop(self) -> None:
        """Finish what was submitted, fold the log into the file, close."""
        writer, reader = self._writer, self._reader
        assert writer is not None and reader is not None
        self._writer = self._reader = None
        await reader.drain()
        await writer.drain()
        self._close()

    def _close(self) -> None:
        # The writer is the first of them: closed last, it checkpoints and removes the log.
        while self._connections:
            with suppress(sqlite3.Error):
                self._connections.pop().close()

    def _note_write(self, error: BaseException | None) -> None:
        if isinstance(error, OutcomeUnknown):
            self._in_doubt = True
        if error is None:
            if self._failing:
                self._failing = False
                self._log.info("{path} can be written again", path=self._path)
        elif not self._failing:
            self._failing = True
            self._log.critical(
                "cannot write {path}: {error}; messages are refused until it works again",
                path=self._path,
                error=error.__cause__ or error,
            )

    def _open_writer(self) -> sqlite3.Connection:
        log_path = Path(f"{self._path}-wal")
        unclean = log_path.exists() and log_path.stat().st_size > 0
        try:
            # SQLite gives the log the mode of the database.
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            os.fchmod(descriptor, 0o600)
            os.close(descriptor)
        except OSError as error:
            raise StartupError(
                f"cannot write {self._path}: {error.strerror}; check owner and mode of it and of its folder"
            ) from error
        try:
            connection = self._connect(_WRITER_CACHE_KIB)
            self._check_identity(connection)
            self._set_durable(connection)
            if unclean and self._path.stat().st_size <= _CHECKED_BYTES:
                (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
                if verdict != "ok":
                    raise StartupError(self._damaged(verdict))
            self._migrate(connection)
        except (sqlite3.Error, ServerBusy) as error:
            raise self._startup_error(error.__cause__ or error) from error
        return connection

    def _open_reader(self) -> sqlite3.Connection:
        connection = self._connect(_READER_CACHE_KIB)
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _connect(self, cache_kib: int) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path,
            timeout=_BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        self._connections.append(connection)
        connection.execute(f"PRAGMA cache_size = -{cache_kib}")
        return connection

    def _check_identity(self, connection: sqlite3.Connection) -> None:
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (objects,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if application_id != self._application_id and (application_id or version or objects):
            raise StartupError(
                f"{self._path} is a database of some other program; move it away, or choose another data_dir"
            )
        if version > len(self._migrations):
            raise StartupError(
                f"{self._path} was written by a newer imd (schema {version}, this one knows "
                f"{len(self._migrations)}); start that version, or restore an older backup"
            )

    def _set_durable(self, connection: sqlite3.Connection) -> None:
        (journal,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_AUTOCHECKPOINT_PAGES}")
        (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
        if journal != "wal" or synchronous != 2:
            raise StartupError(
                f"{self._path} cannot be made durable (journal_mode {journal}, synchronous {synchronous}); "
                "put data_dir on a local file system"
            )

    def _migrate(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        for number, script in enumerate(self._migrations[version:], version + 1):
            with transaction(connection):
                for statement in script.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {self._application_id}")
                connection.execute(f"PRAGMA user_version = {number}")

    def _startup_error(self, error: BaseException) -> StartupError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return StartupError(self._damaged(str(error)))
        return StartupError(
            f"cannot open {self._path}: {error}; check that its folder can be written, the disk is not full "
            "and no other program holds it"
        )

    def _damaged(self, verdict: str) -> str:
        return (
            f"{self._path} is damaged ({verdict}); restore it from a backup, or move it away to start empty"
        )
