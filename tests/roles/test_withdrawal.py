"""A node that leaves while its process stays."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.kernel.tasks import Tasks
from imd.ops.health import Readiness
from imd.roles.withdrawal import Withdrawal


class Part:
    """A stage of which is noted that it stops, and that takes its time or fails."""

    def __init__(self, name: str, stopped: list[str], *, answer: Deferred[None] | None = None) -> None:
        self.name = name
        self._stopped = stopped
        self._answer = answer

    async def start(self) -> None:
        """Not asked for."""

    async def stop(self) -> None:
        self._stopped.append(self.name)
        if self._answer is not None:
            await self._answer


class WithdrawalTests(SynchronousTestCase):
    """Shards that take their time to go, a port, and the drain."""

    def setUp(self) -> None:
        self.readiness = Readiness({})
        self.stopped: list[str] = []
        self.handed_over: Deferred[None] = Deferred()
        leaving: list[tuple[str, Any]] = [
            ("shards", Part("shards", self.stopped, answer=self.handed_over)),
            ("tcp", Part("tcp", self.stopped)),
            ("drain", Part("drain", self.stopped)),
        ]
        self.withdrawal = Withdrawal(readiness=self.readiness, leaving=leaving, tasks=Tasks())

    def start(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.readiness.start()))

    def test_begin(self) -> None:
        """Not ready at once, then one part after the other, and all of it only once."""
        self.start()
        self.withdrawal.begin()
        self.assertEqual(self.readiness.missing(), {"node": "draining"})
        self.assertFalse(self.readiness.is_ready())
        self.withdrawal.begin()
        self.assertEqual(self.stopped, ["shards"])
        self.handed_over.callback(None)
        self.assertEqual(self.stopped, ["shards", "tcp", "drain"])

    def test_failure(self) -> None:
        """A part that fails is told, and the others go on."""
        self.start()
        self.withdrawal.begin()
        self.handed_over.errback(ValueError("planted"))
        self.assertEqual(self.stopped, ["shards", "tcp", "drain"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_not_up(self) -> None:
        """A node that starts or stops has nothing to leave."""
        self.assertRaises(ValueError, self.withdrawal.begin)
        self.start()
        self.successResultOf(Deferred.fromCoroutine(self.readiness.stop()))
        self.assertRaises(ValueError, self.withdrawal.begin)
        self.assertEqual((self.withdrawal.begun, self.stopped), (False, []))
        self.assertEqual(self.readiness.missing(), {"node": "stopping"})
