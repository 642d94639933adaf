"""Stands in for a reactor where threads want to come back to one."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from queue import SimpleQueue
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")

#: Of real time; a call that takes longer is lost.
PATIENCE_S = 20


class Calls:
    """``call_in_reactor`` for a test without one: ``drive`` runs what the threads want run."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Callable[..., object], tuple[object, ...]]] = SimpleQueue()

    def call_in_reactor(self, call: Callable[..., object], *args: object) -> None:
        self._calls.put((call, args))

    def drive(self, work: Coroutine[Deferred[Any], Any, T]) -> T:
        """What ``work`` returns or raises."""
        outcome: list[T | Failure] = []
        Deferred.fromCoroutine(work).addBoth(outcome.append)
        while not outcome:
            call, args = self._calls.get(timeout=PATIENCE_S)
            call(*args)
        result = outcome[0]
        if isinstance(result, Failure):
            result.raiseException()
        return result
