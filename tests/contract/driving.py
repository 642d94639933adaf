"""Runs an asynchronous scenario on simulated time, to its end, within the test's own call."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

T = TypeVar("T")

#: More timers than any scenario has; a scenario that goes on for ever fails instead.
MAX_STEPS = 20_000


def drive(clock: Clock, work: Coroutine[Deferred[Any], Any, T]) -> T:
    """What ``work`` returns or raises; time jumps from timer to timer until it does."""
    outcome: list[T | Failure] = []
    Deferred.fromCoroutine(work).addBoth(outcome.append)
    for _ in range(MAX_STEPS):
        if outcome:
            break
        calls = clock.getDelayedCalls()
        if not calls:
            raise AssertionError("the scenario waits for something that will never happen")
        clock.advance(max(0.0, min(call.getTime() for call in calls) - clock.seconds()))
    else:
        raise AssertionError("the scenario does not end")
    result = outcome[0]
    if isinstance(result, Failure):
        result.raiseException()
    return result
