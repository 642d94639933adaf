"""When people were last seen, into Redis, where im-core keeps it: a convenience, so nothing depends on it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader

from imd.config.address import parse_host
from imd.config.engines import Redis
from imd.config.secret import read_secret
from imd.core.presence.redis import SLOTS
from imd.ctl.exits import TARGET, CommandFailed
from imd.ctl.migrate.rows import LastSeenRow
from imd.ctl.migrate.source import Folder
from imd.ctl.progress import Progress
from imd.storage.redis import spread

#: Commands sent before their answers are read.
BATCH_ROWS = 1000
_TIMEOUT_S = 10.0
_PREFIX = "core:seen:"


class RedisFailed(Exception):
    """It does not answer, or refuses what it was told."""


class _Line:
    """A blocking connection: as much of the protocol as it takes to write and to count."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._answers: BufferedReader = connection.makefile("rb")

    def ask(self, commands: Sequence[Sequence[object]]) -> list[bytes | int | None]:
        """The answers to all of them, sent at once.

        :raises RedisFailed: one of them was refused, or there is no answer.
        """
        try:
            self._connection.sendall(b"".join(map(_command, commands)))
            return [self._answer() for _ in commands]
        except OSError as error:
            raise RedisFailed(str(error)) from error

    def _answer(self) -> bytes | int | None:
        line = self._answers.readline()
        kind, rest = line[:1], line[1:].rstrip(b"\r\n")
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"$":
            length = int(rest)
            return self._answers.read(length + 2)[:-2] if length >= 0 else None
        raise RedisFailed(rest.decode("utf-8", "replace") or "the connection was closed")


def _command(words: Sequence[object]) -> bytes:
    raw = [str(word).encode() for word in words]
    return b"*%d\r\n" % len(raw) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in raw)


@contextmanager
def open_last_seen(redis: Redis) -> Iterator[LastSeenCopy]:
    """The Redis that [redis] names, logged in.

    :raises CommandFailed: it cannot be used.
    """
    try:
        with _connected(redis) as connection:
            line = _Line(connection)
            if redis.password_file:
                line.ask([("AUTH", redis.user or "default", read_secret(redis.password_file))])
            line.ask([("SELECT", redis.database)])
            yield LastSeenCopy(line)
    except RedisFailed as error:
        raise CommandFailed(
            TARGET,
            f"Redis at {redis.address} failed ({error}): check that it runs, and [redis] in im-core.toml; then run the "
            "same command again",
        ) from None


def _connected(redis: Redis) -> socket.socket:
    host, port = parse_host(redis.address)
    try:
        connection = socket.create_connection((host, port), timeout=_TIMEOUT_S)
        if not redis.ca_file:
            return connection
        return ssl.create_default_context(cafile=redis.ca_file).wrap_socket(connection, server_hostname=host)
    except OSError as error:
        raise RedisFailed(str(error)) from error


class LastSeenCopy:
    """One move of it, and its check."""

    def __init__(self, line: _Line) -> None:
        self._line = line

    def copy(self, folder: Folder, progress: Progress) -> None:
        """All; written twice it is the same."""
        progress.begin("last seen", folder.counts()["last_seen"])
        for rows in _pages(folder):
            self._line.ask([("HSET", _key(row), row.user_id, row.seen_ms) for row in rows])
            progress.advance(len(rows))
        progress.end()

    def verdict(self, folder: Folder) -> str:
        """How many arrived. Redis may forget them, and goes on writing them, so this proves nothing."""
        count = there = 0
        for rows in _pages(folder):
            count += len(rows)
            answers = self._line.ask([("HGET", _key(row), row.user_id) for row in rows])
            there += sum(
                isinstance(answer, bytes) and int(answer) >= row.seen_ms
                for answer, row in zip(answers, rows, strict=True)
            )
        return f"last seen: {there:,} of {count:,} in Redis" + (
            "" if there == count else " (only a convenience)"
        )


def _key(row: LastSeenRow) -> str:
    return f"{_PREFIX}{spread(row.user_id, SLOTS)}"


def _pages(folder: Folder) -> Iterator[list[LastSeenRow]]:
    last = 0
    while rows := folder.last_seen_after(last, BATCH_ROWS):
        yield rows
        last = rows[-1].user_id
