"""The databases of the data folder: whole, durable, of this release. They are only read."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from imd.business.schema import MIGRATIONS
from imd.ctl.doctor.finding import Check, Finding
from imd.ctl.doctor.folder import is_held

INTEGRITY = Check("sqlite.integrity", "what is stored there may be lost or wrong; the server may not start")
WAL = Check("sqlite.wal", "commits are not durable, or wait for readers")
LOG_SIZE = Check(
    "sqlite.log_size", "somebody reads without an end, so that the log cannot be folded into the file"
)
SCHEMA = Check("sqlite.schema", "a release only knows the schema of its own time, and older ones")

#: Of one file; what is larger is looked at as far as one gets. Shorter beside a server: it shares the disk, and its log
#: grows meanwhile.
LOOK_TIMEOUT_S = 20.0
SERVED_TIMEOUT_S = 5.0
#: A checkpoint comes at 16 MiB; sixteen times that is no delay any more.
_LOG_BYTES = 256 * 1024 * 1024
#: A writer is done by then, one that keeps the file never is.
_BUSY_TIMEOUT_S = 0.5
#: Steps of SQLite between two looks at the clock: a millisecond or so.
_STEPS = 10_000
_BUSINESS = "business.db"


def databases(folder: Path, *, seconds: Callable[[], float]) -> Iterator[Finding]:
    """All that are there."""
    for file in sorted(folder.glob("*.db")):
        yield from database(file, seconds=seconds)


def database(file: Path, *, seconds: Callable[[], float]) -> Iterator[Finding]:
    """One of them."""
    yield log_size(file)
    served = is_held(folder := file.parent)
    try:
        with closing(_opened(file)) as connection:
            limit_s = SERVED_TIMEOUT_S if served else LOOK_TIMEOUT_S
            found = [integrity(file, connection, seconds=seconds, limit_s=limit_s), wal(file)]
            if file.name == _BUSINESS:
                found.append(schema(file, connection))
    except sqlite3.Error as error:
        found = [unreadable(file, error, served=served)]
    if not served and is_held(folder):
        # It was read as a file that nobody writes.
        found = [INTEGRITY.note(str(file), "its server started in the middle of the look", "run this again")]
    yield from found


def unreadable(file: Path, error: sqlite3.Error, *, served: bool) -> Finding:
    """A server may have a file to itself, as it does with bus.db."""
    if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY:
        return INTEGRITY.fail(str(file), f"cannot be read: {error}", _RESTORE)
    if served:
        return INTEGRITY.note(str(file), "its server has it to itself", "to have it looked at, run this while the server is stopped",
                              means="it was not looked at")  # fmt: skip
    return INTEGRITY.warn(str(file), "another program has it to itself", "end that program (fuser -v FILE)",
                          means="the server cannot open it")  # fmt: skip


_RESTORE = "stop the server, keep a copy of the folder, and restore a backup"


def log_size(file: Path) -> Finding:
    log = Path(f"{file}-wal")
    try:
        size = log.stat().st_size
    except OSError:
        size = 0
    if size > _LOG_BYTES:
        return LOG_SIZE.warn(
            str(log),
            f"has {size // 1024**2:,} MiB",
            "end whatever keeps the database open: a shell, a backup that hangs; then restart the server",
        )
    return LOG_SIZE.ok(str(log), f"{size // 1024:,} KiB")


def integrity(
    file: Path, connection: sqlite3.Connection, *, seconds: Callable[[], float], limit_s: float
) -> Finding:
    """PRAGMA quick_check, for so long."""
    deadline_s = seconds() + limit_s
    connection.set_progress_handler(lambda: seconds() > deadline_s, _STEPS)
    try:
        verdicts = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return INTEGRITY.note(
            str(file),
            f"nothing wrong within {limit_s:.0f} s, and it was not looked at to its end",
            f"for the rest: sqlite3 -readonly {file} 'PRAGMA quick_check'",
            means="it is large",
        )
    finally:
        connection.set_progress_handler(None, 0)
    if verdicts != ["ok"]:
        return INTEGRITY.fail(str(file), "; ".join(verdicts), _RESTORE)
    return INTEGRITY.ok(str(file), "quick_check says ok")


def wal(file: Path) -> Finding:
    """As the file's header says it (https://sqlite.org/fileformat2.html, offsets 18 and 19)."""
    with file.open("rb") as opened:
        header = opened.read(20)
    if header and header[18:20] != b"\2\2":
        return WAL.warn(
            str(file),
            "journal_mode is not wal",
            "start the server, which sets it; if it stays so, put the folder on a local file system",
        )
    return WAL.ok(str(file), "journal_mode is wal")


def schema(file: Path, connection: sqlite3.Connection) -> Finding:
    try:
        row = connection.execute("SELECT version_num FROM alembic_business").fetchone()
    except sqlite3.OperationalError:
        row = None
    return schema_step(SCHEMA, str(file), row[0] if row else "")


def schema_step(check: Check, about: str, found: str) -> Finding:
    """:param found: the newest step that was done; empty: none was."""
    head = MIGRATIONS.head
    if found == head:
        return check.ok(about, f"schema {found}, this release's")
    if not found:
        return check.note(about, "has no schema yet", "nothing: the next start makes it", means="it is new")
    if found.isdigit() and int(found) < int(head):
        return check.note(
            about,
            f"schema {found}; this release has {head}",
            "make a backup before the next start",
            means="the next start upgrades it, and older releases cannot use it then",
        )
    return check.fail(
        about,
        f"schema {found}, which this release ({head}) does not know",
        "start the release that wrote it, or restore a backup made before the upgrade",
    )


def _opened(file: Path) -> sqlite3.Connection:
    # Without a log there is no server and nothing to recover; a look that needs the shared memory file would
    # make one, and leave it behind.
    how = "mode=ro" if Path(f"{file}-wal").exists() else "immutable=1"
    return sqlite3.connect(
        f"{file.resolve().as_uri()}?{how}",
        uri=True,
        isolation_level=None,
        timeout=_BUSY_TIMEOUT_S,
        check_same_thread=False,
    )
