"""The business role on a real folder, with its real threads."""

from __future__ import annotations

import stat
from collections.abc import Callable, Coroutine
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from imd.bus.local import LocalBus
from imd.bus.subjects import AUTH_MEMBERS, AUTH_TOKEN
from imd.business.rest.bounded import BoundedRequest
from imd.config.sections import Config
from imd.kernel.clocks import system_wall_clock
from imd.kernel.errors import StartupError
from imd.kernel.lifecycle import Stage
from imd.pb.bus_pb2 import MembersAnswer, MembersQuery, TokenCheck, TokenVerdict
from imd.roles.business import BusinessRole, build_business
from imd.roles.business_stores import embedded_business

T = TypeVar("T")


class FromThreads:
    """As much of a reactor as threads need: runs their calls when the test waits."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], Any]] = SimpleQueue()

    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self._calls.put(lambda: callable(*args, **kwargs))

    def run_one(self) -> None:
        self._calls.get(timeout=10.0)()


class Role(SynchronousTestCase):
    """From an empty folder to answers on the bus, and back."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.reactor = FromThreads()
        self.bus = LocalBus(clock=self.clock)
        self.folder = Path(self.mktemp())

    def build(self) -> BusinessRole:
        return build_business(
            Config(),
            reactor=cast(IReactorFromThreads, self.reactor),
            clock=self.clock,
            wall_clock=system_wall_clock,
            bus=self.bus,
            stores=embedded_business(self.folder),
        )

    def wait(self, work: Coroutine[Deferred[Any], Any, T]) -> T:
        outcome: list[T | Failure] = []
        Deferred.fromCoroutine(work).addBoth(outcome.append)
        self.clock.pump([0.0] * 3)
        while not outcome:
            self.reactor.run_one()
            self.clock.pump([0.0] * 3)
        result = outcome[0]
        if isinstance(result, Failure):
            result.raiseException()
        return result

    def start(self, role: BusinessRole) -> None:
        for _, stage in role.stages:
            self.wait(stage.start())
            self.addCleanup(self.stop, stage)

    def stop(self, stage: Stage) -> None:
        self.wait(stage.stop())

    def test_first_start(self) -> None:
        """Building touches nothing; starting makes private files; then core gets its answers."""
        role = self.build()
        self.assertFalse(self.folder.exists())
        self.start(role)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in self.folder.rglob("*")}
        self.assertEqual((modes["business.db"], modes["secrets"], modes["token.key"]), (0o600, 0o700, 0o600))
        self.assertIs(role.request_factory, BoundedRequest)
        query = MembersQuery(conversationId="g_1").SerializeToString()
        answer = MembersAnswer.FromString(self.wait(self.bus.request(AUTH_MEMBERS, query, timeout_s=1.0)))
        self.assertEqual((answer.found, answer.failure.code), (False, 0))
        check = TokenCheck(token="x", deviceId="d").SerializeToString()
        verdict = TokenVerdict.FromString(self.wait(self.bus.request(AUTH_TOKEN, check, timeout_s=1.0)))
        self.assertEqual(verdict.failure.code, 1001)

    def test_newer_database(self) -> None:
        """A database of a newer release ends the start with a message, before anything is served."""
        role = self.build()
        for name, stage in role.stages[:4]:
            self.wait(stage.start())
            self.assertIn(name, ("token secret", "operators' token", "SQL threads", "business database"))
        database = cast(Any, role.stages[3][1])
        self.wait(
            database.write(lambda c: c.exec_driver_sql("UPDATE schema_version SET version = 99").rowcount)
        )
        self.wait(database.stop())
        with self.assertRaises(StartupError) as caught:
            self.wait(database.start())
        self.assertIn("schema version 99", str(caught.exception))
        self.wait(role.stages[2][1].stop())
