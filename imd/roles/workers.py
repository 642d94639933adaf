"""Several nodes on one machine, sharing its ports: one process a core, and one that looks after them.

The supervisor listens nowhere and holds nothing. A worker is ``twistd im-core`` like any other, told by its
environment which node it is. Between the two are pipes: on one the worker says that it is ready, and the end of the
other tells it that the supervisor is gone, so that no worker is left behind with the port.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from twisted.internet.defer import Deferred, DeferredList, FirstError
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.process import reapAllProcesses
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from imd.kernel.errors import StartupError
from imd.kernel.timeouts import TimeoutError, sleep, with_timeout

#: File descriptors of a worker, beside the usual three.
READY_FD: Final = 3
LEASH_FD: Final = 4

#: A worker that ended is started again after so long, doubled each time it fails again, up to the last.
BACKOFF_S = 0.5
MAX_BACKOFF_S = 30.0
#: A worker that was ready for so long has done well: the next failure is a new one.
GOOD_S = 60.0
#: By then a worker is ready, or something is wrong that it does not notice itself.
READY_TIMEOUT_S = 60.0
#: How often it is looked who has ended. uvloop takes over the pipe by which Twisted would hear of SIGCHLD.
REAP_INTERVAL_S = 0.1


class Worker(NamedTuple):
    """How one is started."""

    node_id: int
    command: Sequence[str]
    environment: Mapping[str, str]


class Workers:
    """All workers of this machine, as a stage.

    ``start`` returns when all are ready. One that cannot start at all fails the whole; one that ends later
    is started again. ``stop`` has them drain, and returns when they have ended.

    :param stop_timeout_s: what is still there by then is killed.
    """

    _log = Logger()

    def __init__(
        self,
        workers: Sequence[Worker],
        *,
        reactor: Any,
        stop_timeout_s: float,
        reap: Callable[[], None] = reapAllProcesses,
    ) -> None:
        self._reactor = reactor
        self._stop_timeout_s = stop_timeout_s
        self._reaping = LoopingCall(reap)
        self._reaping.clock = reactor
        self._watched = [_Watched(worker, reactor=reactor) for worker in workers]

    async def start(self) -> None:
        # Not before the reactor runs.
        await sleep(0, clock=self._reactor)
        self._reaping.start(REAP_INTERVAL_S)
        ready: Deferred[Any] = DeferredList(
            [each.launch() for each in self._watched], fireOnOneErrback=True, consumeErrors=True
        )
        try:
            await ready
        except FirstError as error:
            await self.stop()
            error.subFailure.raiseException()
        except BaseException:
            await self.stop()
            raise
        self._log.info("{count} workers are ready", count=len(self._watched))

    def hang_up(self) -> None:
        """Pass SIGHUP on."""
        for each in self._watched:
            each.signal("HUP")

    async def stop(self) -> None:
        ends = [each.end() for each in self._watched]
        deadline_s = self._reactor.seconds() + self._stop_timeout_s
        for each, ended in zip(self._watched, ends, strict=True):
            left_s = max(0.0, deadline_s - self._reactor.seconds())
            try:
                await with_timeout(ended, timeout_s=left_s, clock=self._reactor)
            except TimeoutError:
                self._log.error("node {node} did not end in time; killed", node=each.node_id)
                each.signal("KILL")
        if self._reaping.running:
            self._reaping.stop()


class _Watched:
    """One worker and those that follow it."""

    _log = Logger()

    def __init__(self, worker: Worker, *, reactor: Any) -> None:
        self._worker = worker
        self._reactor = reactor
        self._transport: Any = None
        self._ready: Deferred[None] = Deferred()
        self._ended: Deferred[None] | None = None
        self._was_ready = False
        self._ready_at_s: float | None = None
        self._failures = 0
        self._timer: IDelayedCall | None = None

    @property
    def node_id(self) -> int:
        return self._worker.node_id

    def launch(self) -> Deferred[None]:
        """Start it; fires when it is ready for the first time, or fails."""
        self._timer = self._reactor.callLater(READY_TIMEOUT_S, self._too_slow)
        self._ready_at_s = None
        command = self._worker.command
        self._transport = self._reactor.spawnProcess(
            _Pipes(self),
            command[0],
            list(command),
            env=dict(self._worker.environment),
            childFDs={0: "w", 1: 1, 2: 2, READY_FD: "r", LEASH_FD: "w"},
        )
        return self._ready

    def end(self) -> Deferred[None]:
        """Have it drain; fires when it is gone, and no other follows."""
        self._ended = Deferred()
        if self._transport is None:
            self._cancel_timer()
            self._ended.callback(None)
        else:
            self.signal("TERM")
        return self._ended

    def signal(self, name: str) -> None:
        """Send a signal to it, if it is there."""
        if self._transport is not None:
            try:
                self._transport.signalProcess(name)
            except ProcessExitedAlready:
                """Its end is being told."""

    def is_ready(self) -> None:
        """It has said so."""
        self._cancel_timer()
        self._ready_at_s = self._reactor.seconds()
        self._log.info("node {node} is ready", node=self.node_id)
        if not self._was_ready:
            self._was_ready = True
            self._ready.callback(None)

    def gone(self, how: str) -> None:
        """The process has ended."""
        self._transport = None
        self._cancel_timer()
        if self._ended is not None:
            if not self._ended.called:
                self._ended.callback(None)
            return
        if not self._was_ready:
            if not self._ready.called:
                self._ready.errback(StartupError(f"worker node {self.node_id} could not start: {how}"))
            return
        if self._ready_at_s is not None and self._reactor.seconds() - self._ready_at_s >= GOOD_S:
            self._failures = 0
        delay_s = min(BACKOFF_S * 2 ** min(self._failures, 10), MAX_BACKOFF_S)
        self._failures += 1
        self._log.error(
            "node {node} ended: {how}; again in {delay_s:g} s", node=self.node_id, how=how, delay_s=delay_s
        )
        self._timer = self._reactor.callLater(delay_s, self.launch)

    def _too_slow(self) -> None:
        self._log.error(
            "node {node} is not ready after {limit_s:g} s; killed", node=self.node_id, limit_s=READY_TIMEOUT_S
        )
        self.signal("KILL")

    def _cancel_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()


class _Pipes(ProcessProtocol):
    """What comes from a worker: that it is ready, and its end."""

    def __init__(self, watched: _Watched) -> None:
        self._watched = watched

    def connectionMade(self) -> None:
        transport: Any = self.transport
        # It has nothing to read.
        transport.closeStdin()

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        if childFD == READY_FD:
            self._watched.is_ready()

    def processExited(self, reason: Failure) -> None:
        # Not processEnded, which waits for the pipes as well: not every loop notices the end of the one written to.
        transport: Any = self.transport
        transport.closeChildFD(READY_FD)
        transport.closeChildFD(LEASH_FD)
        self._watched.gone(_ending(reason.value))


def _ending(error: BaseException | None) -> str:
    if isinstance(error, ProcessDone):
        return "it ended by itself"
    if isinstance(error, ProcessTerminated) and error.signal is not None:
        return f"killed by signal {error.signal}"
    return f"exit code {getattr(error, 'exitCode', error)}; see its lines above"
