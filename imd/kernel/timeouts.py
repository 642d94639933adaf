"""Every outside call has a time-out."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, TimeoutError

from imd.kernel.clocks import Clock

__all__ = ["TimeoutError", "patiently", "sleep", "with_timeout"]

T = TypeVar("T")


def with_timeout(
    work: Coroutine[Deferred[Any], Any, T] | Deferred[T], *, timeout_s: float, clock: Clock
) -> Deferred[T]:
    """``work``'s result, or ``TimeoutError`` after ``timeout_s``; then the work is cancelled."""
    running = work if isinstance(work, Deferred) else Deferred.fromCoroutine(work)
    return running.addTimeout(timeout_s, clock)  # type: ignore[arg-type]


def patiently(work: Coroutine[Deferred[Any], Any, T], *, timeout_s: float, clock: Clock) -> Deferred[T]:
    """``work``'s result, or ``TimeoutError`` after ``timeout_s``; then the work goes on, and ends unheard."""
    waiting: Deferred[T] = Deferred()
    running = Deferred.fromCoroutine(work)
    running.addCallbacks(waiting.callback, waiting.errback)
    # An outcome that comes after the time-out is swallowed by ``waiting``, which was cancelled.
    return waiting.addTimeout(timeout_s, clock)  # type: ignore[arg-type]


def sleep(delay_s: float, *, clock: Clock) -> Deferred[None]:
    """Fires after ``delay_s``; can be cancelled."""
    done: Deferred[None] = Deferred(lambda _: delayed[0].cancel())
    delayed = [clock.callLater(delay_s, done.callback, None)]
    return done
