"""One user at several nodes, the nodes on one bus, one route table and one set of budgets."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.core.gateway.budgets import MemoryBudgets, Spending
from imd.core.gateway.limits import Rates, UserRates
from imd.core.gateway.shared_rates import REPORT_S, SWEEP_S, SharedBucket, SharedRates
from imd.core.presence.routes import Route
from imd.kernel.errors import ServerBusy
from imd.kernel.token_bucket import TokenBucket
from tests.core.presence.cluster import Cluster, CoreNode, Here

ANN, BOB = 1, 2
#: One a second, ten at once.
RATES = Rates(60, 6, 10, 0, 0, 0)


class Budgets(MemoryBudgets):
    """Knows what it was told, and may be away."""

    down = False

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(clock=cluster.clock)
        self.told: list[Spending] = []

    async def spend(self, spendings: Sequence[Spending]) -> Sequence[float]:
        self.told += spendings
        if self.down:
            raise ServerBusy("away")
        return await super().spend(spendings)


class RatedNode:
    """A node whose users spend; the test plays the gateway and its registry."""

    def __init__(self, core: CoreNode, cluster: Cluster, budgets: Budgets, rates: Rates = RATES) -> None:
        self.core = core
        self._clock = cluster.clock
        self._limits = rates
        #: As the registry: of those who are here, and of those who have left until they are forgotten.
        self.rates: dict[int, UserRates] = {}
        self.shared = SharedRates(
            budgets=budgets,
            rates_of=self._rates_of,
            has_ended=core.feed.has_ended,
            clock=cluster.clock,
            tasks=core.tasks,
        )
        core.feed.add(self.shared)
        core.routes.on_elsewhere(self.shared.found_elsewhere)
        Deferred.fromCoroutine(self.shared.start())

    def _rates_of(self, user_id: int) -> UserRates | None:
        here = any(session.user_id == user_id for session in self.core.here.values())
        return self.rates.get(user_id) if here else None

    def connect(self, user_id: int, device_id: str) -> Here:
        self.rates.setdefault(user_id, UserRates(self._limits, self._clock.seconds()))
        return self.core.connect(user_id, device_id)

    def spends(self, user_id: int, most: int = 100) -> int:
        """How many of so many messages are let through now."""
        text = self.rates[user_id].text
        assert text is not None
        return sum(text.take(self._clock.seconds()) for _ in range(most))

    def retry_after_ms(self, user_id: int) -> int:
        text = self.rates[user_id].text
        assert text is not None
        return text.retry_after_ms()

    def shares(self, user_id: int) -> bool:
        return isinstance(self.rates[user_id].text, SharedBucket)


class SharedRatesCase(SynchronousTestCase):
    """Two nodes with nobody there."""

    def setUp(self) -> None:
        self.begin()

    def begin(self, rates: Rates = RATES) -> None:
        self.cluster = Cluster()
        self.budgets = Budgets(self.cluster)
        self.one, self.two = (
            RatedNode(core, self.cluster, self.budgets, rates) for core in self.cluster.nodes
        )

    def both(self, user_id: int = ANN) -> tuple[Here, Here]:
        """The user's sessions at both nodes, which know of it."""
        phone, tablet = self.one.connect(user_id, "phone"), self.two.connect(user_id, "tablet")
        self.passes(0.2)
        return phone, tablet

    def passes(self, seconds: float) -> None:
        self.cluster.passes(seconds, step_s=0.05)


class RateTests(SharedRatesCase):
    """How much a user may send."""

    def test_one_rate(self) -> None:
        """Who sends at two nodes as fast as they let for ten minutes has sent no more than at one, nor less."""
        self.both()
        sent = 0
        for _ in range(1200):
            self.cluster.clock.advance(0.5)
            sent += self.one.spends(ANN) + self.two.spends(ANN)
        self.assertTrue(600 <= sent <= 622, sent)

    def test_second_burst_is_owed(self) -> None:
        """A second burst at another node, before that has heard of the first, is paid back before anything else."""
        self.both()
        self.assertEqual(self.one.spends(ANN), 10)
        self.passes(REPORT_S)
        self.assertEqual(self.two.spends(ANN), 10)
        self.passes(REPORT_S)
        self.assertEqual(self.two.spends(ANN), 0)
        self.assertTrue(8_000 < self.two.retry_after_ms(ANN) <= 11_000)
        self.passes(self.two.retry_after_ms(ANN) / 1000 + 0.05)
        self.assertEqual(self.two.spends(ANN), 1)

    def test_spent_before(self) -> None:
        """What the first node has let through before the second one was there counts."""
        self.one.connect(ANN, "phone")
        self.passes(0.2)
        self.assertEqual(self.one.spends(ANN, 9), 9)
        self.two.connect(ANN, "tablet")
        self.passes(0.2)
        self.assertEqual(self.two.spends(ANN, 1), 1)
        self.passes(REPORT_S)
        self.assertLessEqual(self.two.spends(ANN), 2)

    def test_both_kinds(self) -> None:
        """Media have a budget of their own."""
        self.both()
        media = self.one.rates[ANN].media
        assert media is not None
        self.assertTrue(media.take(self.cluster.clock.seconds()))
        self.passes(REPORT_S)
        self.assertEqual([(each.key, each.spent) for each in self.budgets.told], [("1:media", 1.0)])
        self.assertEqual(self.one.spends(ANN), 10)

    def test_while_asked(self) -> None:
        """What is spent while the budgets are being asked is not given back by their answer."""
        self.both()
        answer: Deferred[None] = Deferred()

        class Slow(Budgets):
            async def spend(self, spendings: Sequence[Spending]) -> Sequence[float]:
                left = await super().spend(spendings)
                await answer
                return left

        self.one.shared._budgets = Slow(self.cluster)
        self.assertEqual(self.one.spends(ANN, 4), 4)
        self.passes(REPORT_S)
        self.assertEqual(self.one.spends(ANN, 3), 3)
        answer.callback(None)
        self.assertLessEqual(self.one.spends(ANN), 5)

    def test_off(self) -> None:
        """Where there is no limit nothing is counted."""
        self.begin(Rates(0, 0, 10, 0, 0, 0))
        self.both()
        self.passes(2 * REPORT_S)
        self.assertIsNone(self.one.rates[ANN].text)
        self.assertEqual(self.budgets.told, [])


class AwayTests(SharedRatesCase):
    """Without the budgets."""

    def test_half(self) -> None:
        """While they are away each node grants half to those who are at several, and all to the others."""
        self.both()
        self.one.connect(BOB, "phone")
        self.budgets.down = True
        for node in (self.one, self.two):
            node.spends(ANN)
        self.one.spends(BOB)
        self.passes(REPORT_S)
        for node, user_id in ((self.one, ANN), (self.two, ANN), (self.one, BOB)):
            node.spends(user_id)
        self.passes(8.0)
        for node, user_id, expected in ((self.one, ANN, 4), (self.two, ANN, 4), (self.one, BOB, 8)):
            self.assertEqual(node.spends(user_id), expected)

    def test_back(self) -> None:
        """When they are back everybody has the whole rate within a second, and owes nothing for the time between."""
        self.both()
        self.budgets.down = True
        self.one.spends(ANN)
        for _ in range(60):
            self.passes(1.0)
            self.one.spends(ANN)
        self.budgets.down = False
        self.passes(2 * REPORT_S)
        self.assertEqual(self.one.shared.counts(), {"users": 1, "slowed": 0})
        self.one.spends(ANN)
        self.passes(5.0)
        self.assertEqual(self.one.spends(ANN), 5)

    def test_left_meanwhile(self) -> None:
        """Who is at one node only while they are away has the whole rate there."""
        _, tablet = self.both()
        self.budgets.down = True
        self.one.spends(ANN)
        self.passes(2 * REPORT_S)
        self.two.core.leave(tablet)
        self.passes(0.2)
        self.one.spends(ANN)
        self.passes(8.0)
        self.assertEqual(self.one.spends(ANN), 8)
        self.assertEqual(self.one.shared.counts(), {"users": 0, "slowed": 0})

    def test_left_just_before(self) -> None:
        """Also who has left the other one since sending what is about to be told."""
        _, tablet = self.both()
        self.budgets.down = True
        self.one.spends(ANN)
        self.two.core.leave(tablet)
        self.passes(2 * REPORT_S)
        self.one.spends(ANN)
        self.passes(8.0)
        self.assertEqual(self.one.spends(ANN), 8)
        self.assertEqual(self.one.shared.counts(), {"users": 0, "slowed": 0})


class WhoTests(SharedRatesCase):
    """Whose rates are shared."""

    def test_alone(self) -> None:
        """Who is at one node, on whatever devices, has its plain bucket, and nobody is told of it."""
        self.one.connect(ANN, "phone")
        self.two.connect(BOB, "phone")
        bucket = self.one.rates[ANN].text
        self.one.connect(ANN, "tablet")
        self.passes(0.2)
        self.one.spends(ANN)
        self.passes(2 * REPORT_S)
        self.assertIs(self.one.rates[ANN].text, bucket)
        self.assertIsInstance(bucket, TokenBucket)
        self.assertEqual(self.budgets.told, [])

    def test_only_who_spends(self) -> None:
        """Of those who are at several nodes only they are told of who have sent something since."""
        self.both(ANN)
        self.both(BOB)
        self.passes(2 * REPORT_S)
        self.assertEqual(self.budgets.told, [])
        self.two.spends(BOB, 2)
        self.passes(3 * REPORT_S)
        self.assertEqual([(each.key, each.spent) for each in self.budgets.told], [("2:text", 2.0)])

    def test_left_the_other(self) -> None:
        """With the last session elsewhere the user is alone again, with what is left."""
        _, tablet = self.both()
        laptop = self.two.connect(ANN, "laptop")
        self.one.spends(ANN, 4)
        self.passes(REPORT_S)
        self.two.core.leave(tablet)
        self.passes(0.2)
        self.assertTrue(self.one.shares(ANN))
        self.two.core.leave(laptop)
        self.passes(0.2)
        self.assertFalse(self.one.shares(ANN))
        self.assertLessEqual(self.one.spends(ANN), 8)

    def test_other_died(self) -> None:
        """The sessions of a node that died count no more."""
        self.both()
        self.cluster.dies(self.two.core)
        self.assertFalse(self.one.shares(ANN))

    def test_events_missed(self) -> None:
        """After a gap of the bus both know again soon, whoever has come or gone meanwhile."""
        self.both()
        self.one.core.bus.cut = True
        cut = self.two.connect(BOB, "phone")
        self.one.connect(BOB, "tablet")
        self.passes(0.2)
        self.one.core.bus.cut = False
        self.two.core.leave(cut)
        for node in (self.one, self.two):
            node.core.feed.missed()
        self.passes(3.0)
        self.assertEqual((self.one.shares(ANN), self.two.shares(ANN)), (True, True))
        self.assertFalse(self.one.shares(BOB))

    def test_left_here(self) -> None:
        """Who has left is forgotten within a minute; who comes back meanwhile still shares."""
        phone, _ = self.both()
        self.one.core.leave(phone)
        phone = self.one.connect(ANN, "phone")
        self.passes(0.2)
        self.assertTrue(self.one.shares(ANN))
        self.one.core.leave(phone)
        del self.one.rates[ANN]
        phone = self.one.connect(ANN, "phone")
        self.passes(0.2)
        self.assertTrue(self.one.shares(ANN))
        self.one.core.leave(phone)
        self.passes(SWEEP_S + REPORT_S)
        self.assertEqual(self.one.shared.counts(), {"users": 0, "slowed": 0})

    def test_late_word(self) -> None:
        """A session that the table still names, but that is known to have ended, is not counted."""
        _, tablet = self.both()
        route = Route(ANN, tablet.device_id, self.two.core.node_id, tablet.session_id, "ios", 1)
        self.two.core.leave(tablet)
        self.passes(0.2)
        self.one.shared.found_elsewhere(route)
        self.assertFalse(self.one.shares(ANN))
