"""What an error of a database means: try again, not done, or nobody knows."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError

#: MySQL has undone the transaction, or has to, because of another one: a lock that was not given up in
#: time, a deadlock, a row that changed since it was read (MariaDB with innodb_snapshot_isolation).
_CONFLICTS = frozenset({1205, 1213, 1020})


def mysql_code(error: BaseException | None) -> int:
    """The number of a MySQL error; 0 for what is none."""
    if isinstance(error, sqlite3.Error) or error is None or not error.args:
        return 0
    return error.args[0] if isinstance(error.args[0], int) else 0


def is_conflict(error: DBAPIError) -> bool:
    """Whether the whole transaction may be run again at once, and has not been done."""
    return mysql_code(error.orig) in _CONFLICTS


def commit_is_in_doubt(error: DBAPIError) -> bool:
    """Whether what a failed commit should have made durable may be there.

    SQLite says clearly that it is not, except where the file system fails in the middle. Whatever MySQL says in
    answer to a commit is said of one that is on its way, unless another transaction was preferred.
    """
    if isinstance(error.orig, sqlite3.Error):
        return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_IOERR
    return not is_conflict(error)
