"""How many messages of each kind somebody may send a day."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.core.gateway import quotas
from imd.core.gateway.quotas import DAY_MS, REPORT_S, DailyLimits, MemoryDayCounts, Quotas, Used
from imd.kernel.errors import ServerBusy
from imd.kernel.tasks import Tasks
from imd.pb.connection_pb2 import RATE_LIMITED
from imd.pb.message_pb2 import AUDIO, CUSTOM, FAILED, FILE, IMAGE, TEXT, VIDEO
from tests.contract import day_counts
from tests.core.gateway.world import World, text

ANN, BOB = 1, 2
NOON_MS = 20_000 * DAY_MS + DAY_MS // 2


class MemoryDayCountsTests(day_counts.DayCountsContract):
    """MemoryDayCounts keeps the contract."""

    def drive(self, work: Coroutine[Any, Any, None]) -> None:
        self.successResultOf(Deferred.fromCoroutine(work))

    async def make(self) -> MemoryDayCounts:
        return MemoryDayCounts()


class FailingCounts:
    """Counts that cannot be reached while ``away``."""

    def __init__(self) -> None:
        self.real = MemoryDayCounts()
        self.away = False

    async def count(self, used: Sequence[Used]) -> Sequence[int]:
        if self.away:
            raise ServerBusy("planted")
        return await self.real.count(used)


class QuotasCase(SynchronousTestCase):
    """Two nodes that count together, at noon."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.now_ms = NOON_MS
        self.shared = FailingCounts()
        self.one, self.two = self.node(), self.node()

    def node(self, limits: DailyLimits | None = None) -> Quotas:
        tasks = Tasks()
        node = Quotas(
            limits=limits or DailyLimits(text=5, image=2),
            clock=self.clock,
            wall_clock=lambda: self.now_ms,
            tasks=tasks,
            shared=self.shared,
        )
        self.successResultOf(Deferred.fromCoroutine(node.start()))
        self.addCleanup(lambda: self.successResultOf(Deferred.fromCoroutine(tasks.stop())))
        return node

    def sent(self, node: Quotas, times: int = 10, *, user_id: int = ANN, message_type: int = TEXT) -> int:
        """How many of so many pass."""
        return sum(node.take(user_id, message_type) is None for _ in range(times))

    def tell(self) -> None:
        self.clock.advance(REPORT_S)


class QuotasTests(QuotasCase):
    """The count, and who shares it."""

    def test_each_kind(self) -> None:
        """Each kind has a limit of its own, each user a count; without a limit nothing is counted."""
        self.assertEqual(self.sent(self.one, message_type=IMAGE), 2)
        self.assertEqual(self.sent(self.one), 5)
        self.assertEqual(self.sent(self.one, message_type=CUSTOM), 0)
        self.assertEqual(self.sent(self.one, user_id=BOB), 5)
        for kind in (AUDIO, VIDEO, FILE):
            self.assertEqual(self.sent(self.one, message_type=kind), 10)
        self.assertEqual(self.one.counts()["counted"], 3)

    def test_refusal(self) -> None:
        """Who has none left is told so, by a word for programs, and when the next day begins."""
        self.sent(self.one, 5)
        refused = self.one.take(ANN, TEXT)
        assert refused is not None
        self.assertEqual(
            (refused.code, refused.reason, refused.retryable, refused.retry_after_ms),
            (RATE_LIMITED, "quota", True, DAY_MS // 2),
        )

    def test_next_day(self) -> None:
        """At midnight UTC everybody begins anew, and nothing is left in memory of those who do not come."""
        self.sent(self.one)
        self.sent(self.one, user_id=BOB)
        self.tell()
        self.now_ms += DAY_MS // 2 - 1
        self.assertEqual(self.sent(self.one), 0)
        self.now_ms += 1
        self.assertEqual(self.sent(self.one), 5)
        self.assertEqual(self.one.counts()["counted"], 1)

    def test_given_back(self) -> None:
        """What was not stored counts for nothing, also after it was told, and never below nothing."""
        self.sent(self.one, 3)
        self.tell()
        for _ in range(3):
            self.one.give_back(ANN, TEXT)
        self.one.give_back(ANN, TEXT)
        self.one.give_back(BOB, TEXT)
        self.tell()
        self.assertEqual(self.sent(self.one), 5)
        self.tell()
        self.assertEqual(self.sent(self.two), 5)
        self.tell()
        self.assertEqual(self.sent(self.two), 0)

    def test_together(self) -> None:
        """What somebody sends at two nodes counts together, as soon as they have told of it."""
        self.assertEqual(self.sent(self.one, 3), 3)
        self.assertEqual(self.sent(self.two, 1), 1)
        self.tell()
        self.assertEqual(self.sent(self.one, 1), 1)
        self.tell()
        self.assertEqual(self.sent(self.two, 1), 1)
        self.tell()
        self.assertEqual((self.sent(self.one), self.sent(self.two)), (0, 0))

    def test_node_restarts(self) -> None:
        """A node that has lost its memory lets somebody in, and soon knows what was sent before."""
        self.sent(self.one)
        self.tell()
        new = self.node()
        self.assertEqual(self.sent(new, 1), 1)
        self.tell()
        self.assertEqual(self.sent(new), 0)

    def test_memory_lost(self) -> None:
        """When the shared counts are lost, each goes on with what the nodes know: nobody is let in or out for it."""
        self.sent(self.one, 4)
        self.tell()
        self.shared.real = MemoryDayCounts()
        self.assertEqual(self.sent(self.one, 1), 1)
        self.tell()
        self.assertEqual(self.sent(self.one), 0)
        self.assertEqual(self.sent(self.node(), user_id=BOB), 5)

    def test_away(self) -> None:
        """While they cannot be asked each node counts alone; what was not told is told then."""
        self.shared.away = True
        self.assertEqual(self.sent(self.one, 3), 3)
        self.tell()
        self.assertEqual(self.sent(self.two, 1), 1)
        self.tell()
        self.shared.away = False
        self.tell()
        self.assertEqual(self.sent(self.two), 1)

    def test_other_limits(self) -> None:
        """Limits that are set while the server runs hold at once."""
        self.sent(self.one)
        self.one.limits = DailyLimits(text=7)
        self.assertEqual(self.sent(self.one), 2)
        self.one.limits = DailyLimits()
        self.assertEqual(self.sent(self.one), 10)

    def test_bounded(self) -> None:
        """Of too many users those are forgotten who came first."""
        self.patch(quotas, "MAX_COUNTS", 8)
        for user_id in range(100):
            self.one.take(user_id, TEXT)
        self.assertLess(self.one.counts()["counted"], 10)
        self.tell()
        self.assertEqual(self.one.counts()["unsaid"], 0)


class GatewayTests(SynchronousTestCase):
    """What a client sees of it."""

    def test_refused(self) -> None:
        """Above the quota a message is FAILED with the reason and the time; what stored nothing is not counted."""
        world = World(daily=DailyLimits(text=2))
        link = world.live()
        link.says(text("m1"), text("m2"), text("m3"))
        ack = link.last().ack
        self.assertEqual((ack.clientMsgId, ack.status), ("m3", FAILED))
        self.assertEqual((ack.error.code, ack.error.reason), (RATE_LIMITED, "quota"))
        self.assertEqual(ack.error.retryAfterMs, DAY_MS - world.now_ms % DAY_MS)
        acks = world.acks
        failed, again = world.pipeline.submitted
        acks.failed(failed, ServerBusy("planted"))
        acks.stored(again, duplicate=True)
        link.says(text("m4"), text("m5"), text("m6"))
        self.assertEqual(
            [send.key.client_msg_id for send in world.pipeline.submitted], ["m1", "m2", "m4", "m5"]
        )
