"""Blocking jobs on threads of their own, each thread with its own connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple, TypeVar

from twisted.internet.defer import Deferred, fail

from imd.kernel.errors import ImError, ServerBusy
from imd.kernel.histogram import Calls
from imd.ops.metrics.buckets import WRITE

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

#: Jobs that wait for one kind of thread; more means that the disk does not keep up.
_MOST_QUEUED = 1000


class Threads(NamedTuple):
    """How to start a thread (name, what to run), and how to get back to the reactor (``callFromThread``)."""

    start: Callable[[str, Callable[[], None]], object]
    call_in_reactor: Callable[..., object]


def start_thread(name: str, run: Callable[[], None]) -> None:
    """A real thread; it does not keep the process alive, since what is committed is safe anyway."""
    Thread(target=run, name=name, daemon=True).start()


class _Job(NamedTuple):
    """Whoever waits for it, and since when."""

    done: Deferred[Any]
    began_s: float


class Lane:
    """Jobs for one kind of connection, in order; a thread for each connection, or none at all."""

    def __init__(
        self,
        name: str,
        connections: Sequence[sqlite3.Connection],
        *,
        threads: Threads | None,
        translate: Callable[[sqlite3.Error], ImError],
        on_outcome: Callable[[BaseException | None], None],
        seconds: Callable[[], float],
    ) -> None:
        self._connections = connections
        self._threads = threads
        self._translate = translate
        self._on_outcome = on_outcome
        self._seconds = seconds
        self._jobs: SimpleQueue[tuple[Work[Any], _Job] | None] = SimpleQueue()
        #: Jobs that run or wait.
        self.waiting = 0
        self.calls = Calls(WRITE.bounds)
        self._running = 0
        self._ended: Deferred[None] = Deferred()
        if threads is not None:
            for number, connection in enumerate(connections):
                self._running += 1
                threads.start(f"{name}-{number}", partial(self._serve, connection))

    def submit(self, work: Work[T]) -> Deferred[T]:
        if self.waiting >= _MOST_QUEUED:
            self.calls.failures += 1
            return fail(ServerBusy("the store has too much to do", retry_after_ms=1000))
        done: Deferred[T] = Deferred()
        job = _Job(done, self._seconds())
        self.waiting += 1
        if self._threads is None:
            self._finish(job, *self._run(work, self._connections[0]))
        else:
            self._jobs.put((work, job))
        return done

    def _serve(self, connection: sqlite3.Connection) -> None:
        assert self._threads is not None
        call_in_reactor = self._threads.call_in_reactor
        while (taken := self._jobs.get()) is not None:
            work, job = taken
            call_in_reactor(self._finish, job, *self._run(work, connection))
        call_in_reactor(self._thread_ended)

    def _run(self, work: Work[T], connection: sqlite3.Connection) -> tuple[T | None, Exception | None]:
        try:
            return work(connection), None
        except sqlite3.Error as error:
            translated = self._translate(error)
            translated.__cause__ = error
            return None, translated
        except Exception as error:
            return None, error

    def _finish(self, job: _Job, result: object, error: Exception | None) -> None:
        self.waiting -= 1
        self.calls.ended(self._seconds() - job.began_s, failed=error is not None)
        self._on_outcome(error)
        if error is None:
            job.done.callback(result)
        else:
            job.done.errback(error)

    def _thread_ended(self) -> None:
        self._running -= 1
        if not self._running:
            self._ended.callback(None)

    async def drain(self) -> None:
        """Returns when all that was submitted is done and the threads have ended."""
        if self._threads is not None:
            for _ in self._connections:
                self._jobs.put(None)
            await self._ended
