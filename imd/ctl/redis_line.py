"""A blocking connection to Redis, for commands that need few of its."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader
from typing import TypeAlias

from imd.config.address import parse_host
from imd.config.engines import Redis
from imd.config.secret import read_secret
from imd.ctl.exits import TARGET, CommandFailed

_TIMEOUT_S = 10.0

Answer: TypeAlias = "bytes | int | list[Answer] | None"


class RedisFailed(Exception):
    """It does not answer, or refuses what it was told."""


class RedisLine:
    """A blocking connection: as much of the protocol as commands need."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._answers: BufferedReader = connection.makefile("rb")

    def ask(self, commands: Sequence[Sequence[object]]) -> list[Answer]:
        """The answers to all of them, sent at once.

        :raises RedisFailed: one of them was refused, or there is no answer.
        """
        try:
            self._connection.sendall(b"".join(map(_command, commands)))
            return [self._answer() for _ in commands]
        except OSError as error:
            raise RedisFailed(str(error)) from error

    def _answer(self) -> Answer:
        line = self._answers.readline()
        kind, rest = line[:1], line[1:].rstrip(b"\r\n")
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"$":
            length = int(rest)
            return self._answers.read(length + 2)[:-2] if length >= 0 else None
        if kind == b"*":
            return [self._answer() for _ in range(int(rest))]
        raise RedisFailed(rest.decode("utf-8", "replace") or "the connection was closed")


def _command(words: Sequence[object]) -> bytes:
    raw = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(raw) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in raw)


@contextmanager
def open_redis(redis: Redis) -> Iterator[RedisLine]:
    """The Redis that [redis] names, logged in.

    :raises CommandFailed: it cannot be used, now or later.
    """
    try:
        with _connected(redis) as connection:
            line = RedisLine(connection)
            if redis.password_file:
                line.ask([("AUTH", redis.user or "default", read_secret(redis.password_file))])
            line.ask([("SELECT", redis.database)])
            yield line
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
