"""Real servers for tests: one of each that a trial process shares, and ones that a test may break.

nats = await deferToThread(engine, "nats")
mongo = await deferToThread(fresh, self, "mongo", members=3)
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any, Literal, overload
from unittest import SkipTest

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from imd.ctl.cluster.engines import Engine, MariaDb, MissingProgram, Mongod, Nats, RedisServer

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
    folder = _new_folder(name)
    mine = KINDS[name](folder=folder, **how)

    def close() -> None:
        mine.kill()
        shutil.rmtree(folder, ignore_errors=True)

    test.addCleanup(deferToThread, close)
    _started(mine)
    return mine


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
                _started(self._engines[name])
            return self._engines[name]


_shared = _Shared()


def _new_folder(name: str) -> Path:
    return Path(tempfile.mkdtemp(prefix=f"imd-{name}-"))


def _ender(made: Engine) -> Callable[[], None]:
    def end() -> None:
        made.kill()
        shutil.rmtree(made.folder, ignore_errors=True)

    return end


def _started(made: Engine) -> None:
    try:
        made.start()
    except MissingProgram as error:
        if os.environ.get("CI"):
            raise
        raise SkipTest(str(error)) from None
