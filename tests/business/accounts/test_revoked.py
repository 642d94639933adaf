"""Two business nodes on one database and one bus."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.bus.local import LocalBus
from imd.bus.subjects import AUTH_INVALIDATE
from imd.business.accounts.leave import LogOut
from imd.business.accounts.login_rules import LoginRules
from imd.business.accounts.model import ACTIVE, Account, Caller, Login
from imd.business.accounts.revoked import RevokedElsewhere
from imd.business.accounts.sessions import TTL_S, SessionCache
from imd.business.accounts.sql import SqlAccounts
from imd.business.announce import BusAnnouncements
from imd.business.schema import open_business
from imd.business.sql_announced import SqlAnnounced
from imd.kernel.errors import OutcomeUnknown
from imd.kernel.tasks import Tasks
from imd.pb.bus_pb2 import Invalidation
from imd.storage.sql import Database
from tests.business.world import at_once
from tests.contract.driving import drive

ALICE = Account(1, "alice", "Alice", ACTIVE, 1, 0)


class Nodes(SynchronousTestCase):
    """Alice logs out at one node, and asks the other one."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.bus = LocalBus(clock=self.clock)
        self.tasks = Tasks()
        database = Database(connect=lambda: open_business(None), threads=at_once, clock=self.clock)
        self.accounts = SqlAccounts(database)
        self.caches = [
            SessionCache(accounts=self.accounts, clock=self.clock, tasks=self.tasks) for _ in range(2)
        ]
        self.events: list[Invalidation] = []
        self.log_out = LogOut(
            accounts=self.accounts,
            sessions=self.caches[0],
            announcements=BusAnnouncements(
                bus=self.bus,
                waiting=SqlAnnounced(database),
                clock=self.clock,
                wall_clock=lambda: 7,
                tasks=self.tasks,
            ),
        )

        async def hear(_: str, payload: bytes) -> None:
            self.events.append(Invalidation.FromString(payload))

        async def start() -> None:
            await self.bus.start()
            await database.start()
            self.bus.consume(AUTH_INVALIDATE, "test", hear)
            for number, cache in enumerate(self.caches):
                await RevokedElsewhere(bus=self.bus, sessions=cache, node=str(number)).start()
            await self.accounts.add(ALICE, "hash", Login(1, "phone", "first", "ios", 0, 0))
            login = Login(1, "laptop", "second", "mac", 0, 0)
            await self.accounts.put_login(login, rules=LoginRules(5, 1 << 60), verified_hash="hash")

        drive(self.clock, start())

    def logins(self) -> list[dict[str, str]]:
        """What each node says counts."""
        answers = []
        for cache in self.caches:
            sessions: Any = drive(self.clock, cache.of(1))
            answers.append(dict(sessions.logins))
        return answers

    def caller(self) -> Caller:
        return Caller(1, "phone", "first", (), 0)

    def test_noticed(self) -> None:
        """The other node refuses the login without waiting for its cache to age."""
        both = {"phone": "first", "laptop": "second"}
        self.assertEqual(self.logins(), [both, both])
        drive(self.clock, self.log_out.device(self.caller(), ""))
        self.clock.pump([0.0] * 5)
        self.assertEqual(self.logins(), [{"laptop": "second"}] * 2)
        self.assertLess(self.clock.seconds(), TTL_S)

    def test_named(self) -> None:
        """The announcement names the logins that ended: the device's, or all."""
        drive(self.clock, self.log_out.device(self.caller(), ""))
        drive(self.clock, self.log_out.everywhere(self.caller()))
        self.clock.pump([0.0] * 5)
        self.assertEqual([list(event.revoked.loginIds) for event in self.events], [["first"], ["second"]])

    def test_in_doubt(self) -> None:
        """Where nobody knows whether it was done, everybody is told to look, and no login is named."""

        async def in_doubt(*_: object, **__: object) -> None:
            raise OutcomeUnknown("the database is slow")

        self.logins()
        self.patch(self.accounts, "end_logins", in_doubt)
        out = Deferred.fromCoroutine(self.log_out.device(self.caller(), ""))
        self.clock.pump([0.0] * 5)
        self.failureResultOf(out, OutcomeUnknown)
        self.assertEqual([list(event.revoked.loginIds) for event in self.events], [[]])
        self.assertEqual([cache._known for cache in self.caches], [{}, {}])

    def test_garbage(self) -> None:
        """What is no event is dropped, and holds up nobody."""
        drive(
            self.clock, self.bus.publish_durable(AUTH_INVALIDATE, Invalidation(version=1).SerializeToString())
        )
        stage = RevokedElsewhere(bus=self.bus, sessions=self.caches[0], node="x")
        drive(self.clock, stage._invalidated(AUTH_INVALIDATE, b"\xff\xff\xff"))
