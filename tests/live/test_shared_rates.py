"""One user at two nodes that share a Redis, which then goes away; and at two nodes of a whole cluster."""

from __future__ import annotations

from imd.core.gateway.budgets_redis import RedisBudgets
from imd.core.gateway.limits import Rates, UserRates
from imd.core.gateway.shared_rates import SharedRates
from imd.core.presence.routes import Route
from imd.kernel.errors import Code, ImError
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep
from imd.storage.redis import RedisStore
from tests.dialogue.house import House
from tests.dialogue.stage import SHORTER, Dialogue, Stage
from tests.dialogue.wire import Transport
from tests.live.cluster import ClusterHouse
from tests.live.redis_stage import OnRedis, reactor
from tests.live.server import Settings

ANN = 1
#: One in 10 s, which no machine is too busy for; twenty at once.
RATES = Rates(6, 6, 20, 0, 0, 0)
BURST = 5
LIMITED: Settings = {**SHORTER, "limits": {**SHORTER["limits"], "user_text_per_min": 6, "user_burst": BURST}}


class RatedNode:
    """A node where Ann is, as she is at another; the test says when it reports."""

    def __init__(self, redis: RedisStore) -> None:
        self.rates = UserRates(RATES, reactor.seconds())
        self.shared = SharedRates(
            budgets=RedisBudgets(redis=redis),
            rates_of={ANN: self.rates}.get,
            has_ended=lambda route: False,
            clock=reactor,
            tasks=Tasks(),
        )
        self.shared.session_came(Route(ANN, "tablet", 2, 7, "ios", 1))

    def spends(self, most: int = 100) -> int:
        """How many of so many messages are let through now."""
        assert self.rates.text is not None
        return sum(self.rates.text.take(reactor.seconds()) for _ in range(most))

    def retry_after_ms(self) -> int:
        assert self.rates.text is not None
        return self.rates.text.retry_after_ms()


class SharedRatesTests(OnRedis):
    """What the nodes let through together."""

    async def test_together(self) -> None:
        """What both spend is counted together, what is too much is owed, and without Redis each grants half."""
        redis = await self.redis()
        one, two = RatedNode(redis), RatedNode(redis)
        self.assertEqual((one.spends(12), two.spends(10)), (12, 10))
        for node in (one, two, one):
            await node.shared.report()
        # Two are owed, and a third is to be there.
        self.assertEqual(two.spends(), 0)
        self.assertTrue(20_000 < two.retry_after_ms() <= 30_001, two.retry_after_ms())

        await redis.stop()
        three = RatedNode(redis)
        self.assertEqual(three.spends(20), 20)
        await three.shared.report()
        self.assertEqual(three.spends(1), 0)
        self.assertTrue(15_000 < three.retry_after_ms() <= 20_001, three.retry_after_ms())


class ClusterRatesTests(Dialogue):
    """In a cluster."""

    def house_of(self, settings: Settings) -> House:
        return ClusterHouse.of(settings)

    async def test_two_devices(self) -> None:
        """Who has sent all that one may from one device gets little more through from another, at another node."""
        stage = await Stage.open(self, Transport.TCP, LIMITED)
        ann = await stage.person("ann")
        phone, tablet = await ann.device("phone"), await ann.device("tablet")
        (bob,) = await stage.people("bob")
        await phone.sends_all([f"from the phone {number}" for number in range(BURST)], to=bob)
        sent = 0
        while sent < BURST:
            try:
                await tablet.sends(f"from the tablet {sent}", to=bob)
            except ImError as error:
                self.assertEqual(error.code, Code.RATE_LIMITED)
                break
            sent += 1
            await sleep(0.4, clock=reactor)
        self.assertLess(sent, BURST)
