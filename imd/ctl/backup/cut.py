"""All SQLite files of a folder as they were at one moment, while a server writes to them.

For some milliseconds every file's write lock is held at once, and meanwhile a reading transaction is opened on each.
SQLite's write-ahead log keeps what these see until they end, however long they are read. So together they show what a
crash of the server at that moment would have left, and nothing else has to be argued: whatever reads these files has
been written to survive a crash at any moment, and is tested for it.

What holds a lock is the kernel, on behalf of this process: it is gone if this process dies.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from imd.ctl.exits import SOURCE, CommandFailed

#: Under full load the log of messages is free for a moment after each commit: some tries, not some seconds.
_PATIENCE_S = 30.0
#: So long the first ones are held while the next one is waited for; writers of the server wait 2 s at least.
_HELD_PATIENCE_S = 0.25
_POLL_S = 0.0005


class Cut(NamedTuple):
    """Reading connections by the name of their file, each in a transaction; and how long writers were held up."""

    snapshots: Mapping[str, sqlite3.Connection]
    held_s: float


@contextmanager
def cut(paths: Sequence[Path]) -> Iterator[Cut]:
    """The files as of one moment. The busiest should come first.

    :raises CommandFailed: one of them is not ours, or does not come free.
    """
    with ExitStack() as stack:
        snapshots = {path.name: stack.enter_context(_opened(path)) for path in paths}
        with ExitStack() as locks:
            writers = {path: locks.enter_context(_opened(path)) for path in paths}
            begun_s = _hold_all(writers)
            for snapshot in snapshots.values():
                snapshot.execute("PRAGMA query_only = ON")
                snapshot.execute("BEGIN")
                # The transaction begins with the first thing that is read.
                snapshot.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            for writer in writers.values():
                writer.rollback()
            held_s = time.monotonic() - begun_s
        yield Cut(snapshots, held_s)


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        connection = sqlite3.connect(
            path.resolve().as_uri() + "?mode=rw", uri=True, timeout=0, isolation_level=None
        )
    except sqlite3.Error as error:
        raise CommandFailed(SOURCE, f"cannot open {path}: {error}; check its owner and mode") from None
    try:
        (journal,) = _ask_journal_mode(connection, path)
        if journal != "wal":
            raise CommandFailed(
                SOURCE,
                f"{path} is no database of imd (its journal_mode is {journal}): move it out of the folder",
            )
        yield connection
    finally:
        # A snapshot that is read to its end is in a transaction still.
        with suppress(sqlite3.Error):
            connection.rollback()
        connection.close()


def _ask_journal_mode(connection: sqlite3.Connection, path: Path) -> tuple[str]:
    try:
        row: tuple[str] = connection.execute("PRAGMA journal_mode").fetchone()
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.Error as error:
        raise CommandFailed(SOURCE, _unreadable(path, error)) from None
    return row


def _unreadable(path: Path, error: sqlite3.Error) -> str:
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
        return (
            f"{path} is kept by another process: a server of an older release does that; start it again with this "
            "release, or stop it for the time of the backup"
        )
    return f"cannot read {path}: {error}; bring back an earlier backup, or start the server, which says more"


def _hold_all(writers: Mapping[Path, sqlite3.Connection]) -> float:
    """Take every write lock; the time at which the first was taken."""
    deadline_s = time.monotonic() + _PATIENCE_S
    while True:
        taken_s = 0.0
        until_s = deadline_s
        busy = Path()
        for path, writer in writers.items():
            if not _hold(writer, until_s=until_s):
                busy = path
                break
            if not taken_s:
                taken_s = time.monotonic()
                until_s = taken_s + _HELD_PATIENCE_S
        else:
            return taken_s
        # Nobody is kept waiting for longer, and two backups at once cannot wait for one another for ever.
        for writer in writers.values():
            writer.rollback()
        if time.monotonic() >= deadline_s:
            raise CommandFailed(
                SOURCE, f"{busy} was busy for {_PATIENCE_S:g} s: try again when less is written to it"
            )
        time.sleep(_HELD_PATIENCE_S)


def _hold(writer: sqlite3.Connection, *, until_s: float) -> bool:
    while True:
        try:
            writer.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY:
                raise CommandFailed(SOURCE, f"cannot lock the database: {error}") from None
            if time.monotonic() >= until_s:
                return False
            time.sleep(_POLL_S)
        else:
            return True
