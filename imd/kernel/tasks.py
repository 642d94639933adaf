"""The one way to start work that nobody awaits at once."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from imd.kernel.trace_context import run_apart


class Tasks:
    """Background coroutines of one owner: failures are logged, all are cancelled and awaited at stop.

    Each runs in a context of its own: it serves many, and not on behalf of who happened to start it.
    """

    _log = Logger()

    def __init__(self) -> None:
        self._running: dict[Deferred[Any], str] = {}
        self._stopped = False

    def __len__(self) -> int:
        return len(self._running)

    def spawn(self, name: str, work: Coroutine[Deferred[Any], Any, Any]) -> None:
        """Run ``work`` to its end; ``name`` is what the log calls it."""
        if self._stopped:
            work.close()
            return
        running: Deferred[Any] = run_apart(None, Deferred.fromCoroutine, work)
        if running.called and not running.paused:
            running.addErrback(self._failed, name)
            return
        self._running[running] = name
        running.addErrback(self._failed, name)
        running.addBoth(lambda _: self._running.pop(running, None))

    def _failed(self, failure: Failure, name: str) -> None:
        if not (self._stopped and failure.check(CancelledError)):
            self._log.failure("background task {name} failed", failure, name=name)

    async def stop(self) -> None:
        """Cancel what runs and wait until it has ended."""
        self._stopped = True
        for running in list(self._running):
            ended: Deferred[None] = Deferred()
            running.addBoth(_fire, ended)
            running.cancel()
            await ended


def _fire(_: object, ended: Deferred[None]) -> None:
    ended.callback(None)
