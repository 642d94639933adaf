"""The supervisor of several nodes, with processes that are only noted down."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from imd.kernel.errors import StartupError
from imd.roles.workers import (
    BACKOFF_S,
    GOOD_S,
    LEASH_FD,
    MAX_BACKOFF_S,
    READY_FD,
    READY_TIMEOUT_S,
    Worker,
    Workers,
)

STOP_TIMEOUT_S = 40.0


class Child:
    """A process: what it was told, and what it tells."""

    def __init__(self, protocol: Any, command: list[str], environment: dict[str, str]) -> None:
        self.command = command
        self.environment = environment
        self.signals: list[str] = []
        self._protocol = protocol
        protocol.makeConnection(self)

    def signalProcess(self, name: str) -> None:
        self.signals.append(name)

    def closeStdin(self) -> None:
        """It has nothing to read."""

    def closeChildFD(self, number: int) -> None:
        """As it ends."""

    def say_ready(self) -> None:
        self._protocol.childDataReceived(READY_FD, b"ready\n")

    def end(self, *, code: int | None = 0, signal: int | None = None) -> None:
        error = ProcessTerminated(code, signal) if code or signal else ProcessDone(0)
        self._protocol.processExited(Failure(error))


class Machine(Clock):
    """As much of a reactor as a supervisor needs."""

    def __init__(self) -> None:
        super().__init__()
        self.children: list[Child] = []

    def spawnProcess(
        self,
        protocol: Any,
        program: str,
        command: list[str],
        *,
        env: dict[str, str],
        childFDs: dict[int, Any],
    ) -> Child:
        assert (command[0], childFDs[READY_FD], childFDs[LEASH_FD]) == (program, "r", "w")
        child = Child(protocol, command, env)
        self.children.append(child)
        return child

    def running(self, node_id: int) -> Child:
        """The newest process of a node."""
        return [child for child in self.children if child.environment["node"] == str(node_id)][-1]


class WorkersTests(SynchronousTestCase):
    """``Workers``."""

    def setUp(self) -> None:
        self.machine = Machine()
        self.reaped = 0
        self.workers = Workers(
            [Worker(node_id, ["twistd"], {"node": str(node_id)}) for node_id in (4, 5)],
            reactor=self.machine,
            stop_timeout_s=STOP_TIMEOUT_S,
            reap=self.reap,
        )

    def reap(self) -> None:
        self.reaped += 1

    def begin(self, work: Coroutine[Deferred[Any], Any, None]) -> Deferred[None]:
        done: Deferred[None] = Deferred.fromCoroutine(work)
        self.machine.advance(0)
        return done

    def start(self) -> None:
        """Both are up."""
        started = self.begin(self.workers.start())
        for child in list(self.machine.children):
            child.say_ready()
        self.successResultOf(started)

    def test_start(self) -> None:
        """The start is over when the last one is ready."""
        started = self.begin(self.workers.start())
        self.assertEqual([child.environment["node"] for child in self.machine.children], ["4", "5"])
        self.machine.children[1].say_ready()
        self.assertNoResult(started)
        self.machine.children[0].say_ready()
        self.successResultOf(started)

    def test_cannot_start(self) -> None:
        """One that ends before it was ever ready fails all, by its name; the others are stopped first."""
        started = self.begin(self.workers.start())
        self.machine.running(5).end(code=1)
        self.assertNoResult(started)
        self.assertEqual(self.machine.running(4).signals, ["TERM"])
        self.machine.running(4).end(code=None, signal=15)
        error = self.failureResultOf(started, StartupError).value
        self.assertIn("worker node 5 could not start: exit code 1", str(error))
        self.assertEqual(len(self.machine.children), 2)

    def test_comes_back(self) -> None:
        """One that ends is started again, later each time, while the other is left alone."""
        self.start()
        delay_s = BACKOFF_S
        for _ in range(10):
            count = len(self.machine.children)
            self.machine.running(4).end(signal=9, code=None)
            self.machine.advance(delay_s * 0.99)
            self.assertEqual(len(self.machine.children), count)
            self.machine.advance(delay_s * 0.02)
            self.assertEqual(len(self.machine.children), count + 1)
            delay_s = min(2 * delay_s, MAX_BACKOFF_S)
        self.assertEqual(self.machine.running(5).signals, [])

    def test_forgives(self) -> None:
        """One that did well for long is started again at once, as if it had never failed."""
        self.start()
        for _ in range(6):
            self.machine.running(4).end(code=1)
            self.machine.advance(MAX_BACKOFF_S)
        self.machine.running(4).say_ready()
        self.machine.advance(GOOD_S)
        count = len(self.machine.children)
        self.machine.running(4).end(code=1)
        self.machine.advance(BACKOFF_S)
        self.assertEqual(len(self.machine.children), count + 1)

    def test_fails_for_days(self) -> None:
        """However often one has failed, it is started again."""
        self.start()
        for count in range(3, 1103):
            self.machine.running(4).end(code=1)
            self.machine.advance(MAX_BACKOFF_S)
            self.assertEqual(len(self.machine.children), count)

    def test_ends_by_itself(self) -> None:
        """One that an operator has asked to end makes room for its successor: new code, for instance."""
        self.start()
        self.machine.running(4).end()
        self.machine.advance(BACKOFF_S)
        self.assertEqual(len(self.machine.children), 3)

    def test_never_ready(self) -> None:
        """One that hangs before it is ready is killed, and then is one that could not start."""
        started = self.begin(self.workers.start())
        self.machine.running(5).say_ready()
        self.machine.advance(READY_TIMEOUT_S)
        self.assertEqual(self.machine.running(4).signals, ["KILL"])
        self.machine.running(4).end(code=None, signal=9)
        self.machine.running(5).end()
        self.failureResultOf(started, StartupError)

    def test_stop(self) -> None:
        """All are asked to end at the same time; the stop is over with the last, and nobody comes back."""
        self.start()
        stopped = self.begin(self.workers.stop())
        self.assertEqual([child.signals for child in self.machine.children], [["TERM"], ["TERM"]])
        self.machine.running(5).end()
        self.machine.advance(STOP_TIMEOUT_S / 2)
        self.assertNoResult(stopped)
        self.machine.running(4).end()
        self.successResultOf(stopped)
        self.machine.advance(10 * MAX_BACKOFF_S)
        self.assertEqual(len(self.machine.children), 2)
        self.assertEqual(self.machine.getDelayedCalls(), [])

    def test_stop_while_one_is_down(self) -> None:
        """One that waits to be started again is not."""
        self.start()
        self.machine.running(4).end(code=1)
        stopped = self.begin(self.workers.stop())
        self.machine.running(5).end()
        self.successResultOf(stopped)
        self.assertEqual(self.machine.getDelayedCalls(), [])

    def test_stop_takes_too_long(self) -> None:
        """Whoever has not ended by the deadline, which is one for all, is killed."""
        self.start()
        stopped = self.begin(self.workers.stop())
        self.machine.advance(STOP_TIMEOUT_S)
        self.machine.advance(0)
        self.assertEqual([child.signals for child in self.machine.children], [["TERM", "KILL"]] * 2)
        self.successResultOf(stopped)

    def test_looks_for_ended(self) -> None:
        """While there are workers it is looked again and again who has ended, whatever signals do."""
        self.start()
        before = self.reaped
        self.machine.pump([0.1] * 10)
        self.assertGreaterEqual(self.reaped, before + 9)
