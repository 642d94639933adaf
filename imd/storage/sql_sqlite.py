"""A SQLite file as the engine of a ``Database``: durable at each commit, private to its owner."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from imd.kernel.errors import StartupError
from imd.storage.sql import READ, WRITE, begins_as

_BUSY_TIMEOUT_MS = 5_000
_FULL = 2


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
    mode = "IMMEDIATE" if begins_as(connection) == WRITE else "DEFERRED"
    connection.exec_driver_sql(f"BEGIN {mode}")


def _check_file(engine: Engine, path: Path) -> None:
    try:
        with engine.connect().execution_options(imd_begin=READ) as connection:
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
