"""Measures calls of stores, for `slowest()` of the manhole; while it is off, nothing stands between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred

from imd.core.message.ports import MessageLog
from imd.kernel.slowest import Slowest

T = TypeVar("T")

#: Of ``MessageLog``.
METHODS = ("append", "last_seqs", "find", "page", "read_one", "newest", "last_bodies")


class Threads(Protocol):
    """Runs ``work`` in a thread."""

    def __call__(self, work: Callable[[], T], /) -> Deferred[T]: ...


def timed_log(log: MessageLog, *, slowest: Slowest | None, seconds: Callable[[], float]) -> MessageLog:
    """The same log; each call is noted, with how many rows or conversations it was about."""
    if slowest is None:
        return log
    timed: Any = _Timed()
    for name in METHODS:
        setattr(timed, name, _timed_call(name, getattr(log, name), slowest, seconds))
    found: MessageLog = timed
    return found


class _Timed:
    """Has the methods of ``MessageLog``."""


def _timed_call(name: str, call: Callable[..., Any], slowest: Slowest, seconds: Callable[[], float]) -> Any:
    async def timed(first: Sequence[object], *rest: object, **more: object) -> object:
        began_s = seconds()
        try:
            return await call(first, *rest, **more)
        finally:
            slowest.note(f"message log: {name}", seconds() - began_s, lambda: _about(first))

    return timed


def timed_threads(threads: Threads, *, slowest: Slowest | None, seconds: Callable[[], float]) -> Threads:
    """The same threads of a database; each call is noted, from when it was asked for to its end."""
    if slowest is None:
        return threads

    def timed(work: Callable[[], T], /) -> Deferred[T]:
        began_s = seconds()

        def ended(result: T) -> T:
            call: Any = getattr(work, "__self__", work)
            slowest.note("database", seconds() - began_s, lambda: str(getattr(call, "name", "open or close")))
            return result

        return threads(work).addBoth(ended)

    return timed


def _about(first: Sequence[object]) -> str:
    return first if isinstance(first, str) else f"{len(first)} rows"
