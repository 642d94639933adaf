"""Real servers for tests: one of each that a trial process shares, and ones that a test may break.

nats = await deferToThread(engine, "nats")
mongo = await deferToThread(fresh, self, "mongo", members=3)
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Literal, TypeVar, overload
from unittest import SkipTest

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from imd.ctl.cluster.engines import Engine, MariaDb, MissingProgram, Mongod, Nats, RedisServer

E = TypeVar("E", bound=Engine)

KINDS: Mapping[str, type[Engine]] = {
    "nats": Nats,
    "mongo": Mongod,
    "redis": RedisServer,
    "mariadb": MariaDb,
}


@overload
def engine(name: Literal["nats"]) -> Nats: ...
@overload
def engine(name: Literal["mongo"]) -> Mongod: ...
@overload
def engine(name: Literal["redis"]) -> RedisServer: ...
@overload
def engine(name: Literal["mariadb"]) -> MariaDb: ...
def engine(name: str) -> Engine:
    """The shared one, started at first use; blocks until it answers. Its data is what others left.

    :raises SkipTest: it is not installed, and $CI is not set.
    """
    return _shared(name)


@overload
def fresh(test: TestCase, name: Literal["nats"], **how: Any) -> Nats: ...
@overload
def fresh(test: TestCase, name: Literal["mongo"], **how: Any) -> Mongod: ...
@overload
def fresh(test: TestCase, name: Literal["redis"], **how: Any) -> RedisServer: ...
@overload
def fresh(test: TestCase, name: Literal["mariadb"], **how: Any) -> MariaDb: ...
def fresh(test: TestCase, name: str, **how: Any) -> Engine:
    """One of the test's own, started and empty, that ends with the test; blocks until it answers.

    :param how: for the constructor: ``members=3``, ``port``.
    :raises SkipTest: as ``engine``.
    """
    return fresh_of(test, KINDS[name], **how)


def fresh_of(test: TestCase, kind: type[E], **how: Any) -> E:
    """As ``fresh``, of a kind that is the test's own."""
    mine = kind(folder=_new_folder(kind.name), **how)
    test.addCleanup(deferToThread, _ender(mine))
    with skipped_without_program():
        mine.start()
    return mine


@contextmanager
def skipped_without_program() -> Iterator[None]:
    """What is started in here may not be installed: then the test is skipped, and fails where $CI is set."""
    try:
        yield
    except MissingProgram as error:
        if os.environ.get("CI"):
            raise
        raise SkipTest(str(error)) from None


class _Shared:
    """What was started so far; all of it ends with the process, and the folders are removed."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._engines: dict[str, Engine] = {}

    def __call__(self, name: str) -> Engine:
        with self._lock:
            if name not in self._engines:
                made = KINDS[name](folder=_new_folder(name))
                atexit.register(_ender(made))
                self._engines[name] = made
            if not self._engines[name].running:
                with skipped_without_program():
                    self._engines[name].start()
            return self._engines[name]


_shared = _Shared()


def _new_folder(name: str) -> Path:
    return Path(tempfile.mkdtemp(prefix=f"imd-{name}-"))


def _ender(made: Engine) -> Callable[[], None]:
    def end() -> None:
        made.kill()
        shutil.rmtree(made.folder, ignore_errors=True)

    return end
