"""What a node remembers, put in as the gateway and the fan-out do, and asked for as an operator does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from imd.core.explain.budget import BURST, MAX_USERS, PER_HOUR, Budget
from imd.core.explain.model import FANOUT, SEND, SESSION, Ended, Happened, Mode
from imd.core.explain.record import FLUSH_INTERVAL_S, Kept, NodeRecord, in_memory
from imd.core.explain.ring import MAX_WAITING_BYTES, Ring
from imd.core.message.live import LiveConversation
from imd.kernel.errors import Code, Forbidden, RateLimited
from imd.kernel.tasks import Tasks
from imd.pb.explain_pb2 import FanoutMode

START_MS = 1_764_000_000_000


class Records(SynchronousTestCase):
    """A node's record in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.tasks = Tasks()
        self.record = NodeRecord(
            kept=in_memory(self.now_ms), clock=self.clock, wall_clock=self.now_ms, tasks=self.tasks
        )
        self.done(self.record.start())
        self.addCleanup(lambda: self.done(self.tasks.stop()))

    def now_ms(self) -> int:
        return START_MS + round(self.clock.seconds() * 1000)

    def done(self, work: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(work))

    def test_fanout(self) -> None:
        """A batch is found by each message in it, and by no other."""
        live = LiveConversation("c1")
        self.record.fanned(live, 3, 5, Mode.PUSHED, 2)
        self.record.fanned(LiveConversation("c2"), 4, 4, Mode.HINTED, 9)
        for seq in (3, 4, 5):
            (fanned,) = self.done(self.record.fanouts_of("c1", seq))
            self.assertEqual((fanned.mode, fanned.sessions, fanned.at_ms), (Mode.PUSHED, 2, START_MS))
        for seq in (2, 6):
            self.assertEqual(self.done(self.record.fanouts_of("c1", seq)), [])

    def test_out_of_order(self) -> None:
        """What was told again in any order, and a hint for more than a record can count, are remembered all the same."""
        live = LiveConversation("c1")
        self.record.fanned(live, 9, 5, Mode.PUSHED, 2)
        self.record.handed_on(live, 9, 5, [1])
        self.record.fanned(live, 1, 100_000, Mode.HINTED, 2)
        self.assertEqual(len(self.done(self.record.fanouts_of("c1", 5))), 2)
        self.assertEqual(len(self.done(self.record.fanouts_of("c1", 100_000))), 1)

    def test_handed_on(self) -> None:
        """Which nodes it was handed to; of many, some and how many there were."""
        live = LiveConversation("c1")
        self.record.handed_on(live, 1, 1, [1, 1023])
        self.record.handed_on(live, 2, 2, range(10))
        (few,) = self.done(self.record.fanouts_of("c1", 1))
        (many,) = self.done(self.record.fanouts_of("c1", 2))
        self.assertEqual(few.node_ids, [1, 1023])
        self.assertEqual((many.node_ids, many.sessions), ([0, 1, 2, 3], 10))

    def test_sessions(self) -> None:
        """A user's sessions and what concerns all, by time; text that does not fit is cut."""
        self.clock.advance(1)
        self.record.came(7, 11, "phone")
        self.record.came(8, 12, "other")
        self.clock.advance(1)
        self.record.shed(7, 11)
        self.record.gone(7, 11, "é" * 60)
        found = self.done(self.record.sessions_of(7))
        self.assertEqual(
            [one.what for one in found], [Happened.STARTED, Happened.CAME, Happened.SHED, Happened.GONE]
        )
        self.assertEqual((found[1].text, found[1].session_id), ("phone", 11))
        self.assertEqual(found[3].text, "é" * 32)

    def test_sends(self) -> None:
        """How a send ended, under its whole key."""
        self.record.refused("c1", 7, "m1", RateLimited("too many messages a minute"))
        self.record.repeated("c1", 7, "m1")
        self.record.repeated("c1", 7, "m2")
        refused, repeated = self.done(self.record.ends_of("c1", 7, "m1"))
        self.assertEqual(
            (refused.how, refused.code, refused.reason),
            (Ended.REFUSED, Code.RATE_LIMITED, "too many messages a minute"),
        )
        self.assertEqual(repeated.how, Ended.REPEATED)

    def test_modes(self) -> None:
        """A mode is the same number here and on the bus."""
        told = {"FAILED": "FANOUT_FAILED"}
        self.assertEqual({mode: FanoutMode.Value(told.get(mode.name, mode.name)) for mode in Mode}, {
            mode: mode.value for mode in Mode
        })  # fmt: skip
        self.assertEqual(len(FanoutMode.keys()), len(Mode) + 1)

    def test_sizes(self) -> None:
        """Records are as large as the limits were reckoned for."""
        self.assertEqual((FANOUT.size, SESSION.size, SEND.size), (40, 96, 56))


class Flood(Records):
    """One user's records against all others'."""

    def test_sends(self) -> None:
        """Whoever has more refused than the ring holds wipes nobody's record, and is themselves told with a number."""
        self.record.refused("c1", 8, "m1", Forbidden("no", reason="muted"))
        for number in range(50_000):
            self.record.refused("nobody", 7, str(number), Forbidden("no", reason="not_member"))
            self.clock.advance(0.01)
        self.assertEqual(len(self.done(self.record.ends_of("c1", 8, "m1"))), 1)
        sums = self.done(self.record.sums_of_sender(7))
        self.assertEqual({(one.code, one.reason) for one in sums}, {(Code.FORBIDDEN, "not_member")})
        counted = sum(one.count_and_since_ms[0] for one in sums)
        self.assertEqual(counted + BURST + 500 * PER_HOUR // 3600, 50_000)
        self.assertEqual(len(sums), 9)
        self.assertEqual(self.record.lost, 0)

    def test_rate_limited(self) -> None:
        """Of refusals for sending too fast one a minute is kept, and the others are told by their number at once."""
        for number in range(90):
            self.record.refused("c1", 7, str(number), RateLimited("too many messages a minute"))
            self.clock.advance(1)
        kept = [name for name in range(90) if self.done(self.record.ends_of("c1", 7, str(name)))]
        self.assertEqual(kept, [0, 60])
        first, second = self.done(self.record.sums_of_sender(7))
        self.assertEqual(
            (first.count_and_since_ms, first.reason), ((59, START_MS + 1000), "too many messages a minute")
        )
        self.assertEqual((second.count_and_since_ms[0], second.reason), (29, "too many messages a minute"))

    def test_sessions(self) -> None:
        """Nor does whoever connects again and again; that much is missing is told."""
        self.record.came(8, 1, "phone")
        for number in range(40_000):
            self.record.came(7, number, "bot")
            self.record.gone(7, number, "left")
        self.assertEqual(
            [one.text for one in self.done(self.record.sessions_of(8)) if one.key == 8], ["phone"]
        )
        self.assertEqual(self.done(self.record.sessions_of(7))[-1].count_and_since_ms[0], 80_000 - BURST)

    def test_many(self) -> None:
        """However many flood, memory is bounded and nothing that was counted goes untold."""
        with_wall = Budget(clock=self.clock, wall_clock=self.now_ms)
        for user_id in range(MAX_USERS + 10):
            for _ in range(BURST + 1):
                with_wall.keeps(user_id)
        self.assertEqual(len(with_wall._users), MAX_USERS)
        self.assertEqual(len(list(with_wall.take_due())), 10)
        self.assertEqual(len(list(with_wall.take_due(all_of_them=True))), MAX_USERS)
        self.assertEqual(with_wall.counted, MAX_USERS + 10)

    def test_stop(self) -> None:
        """What was counted is written before the node ends."""
        for number in range(3):
            self.record.refused("c1", 7, str(number), RateLimited("slowly"))
        self.done(self.record.stop())
        self.assertEqual(len(self.done(self.record.sums_of_sender(7))), 1)
        self.assertIsNone(self.record._sends_budget.of_user(7))


class Broken:
    """A disk that is slow, then full, or cannot be written to at all."""

    since_ms = START_MS

    def __init__(self, *, read_only: bool = False) -> None:
        self.read_only = read_only
        self.waiting: Deferred[None] | None = None

    async def start(self) -> None:
        if self.read_only:
            raise OSError(30, "Read-only file system")

    async def append(self, records: bytes, now_ms: int) -> None:
        if self.waiting is not None:
            await self.waiting
        raise OSError(28, "No space left on device")

    async def find(
        self, key: int, *, keep: Callable[[Sequence[Any]], bool], limit: int
    ) -> list[tuple[Any, ...]]:
        raise OSError(5, "Input/output error")


class DiskTrouble(SynchronousTestCase):
    """Nobody is kept from talking because it cannot be remembered."""

    def setUp(self) -> None:
        self.said: list[str] = []

        @implementer(ILogObserver)
        def observer(event: LogEvent) -> None:
            self.said.append(str(event.get("log_format")))

        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def after_three_fanouts(self, disk: Broken) -> NodeRecord:
        """A node's record on this disk."""
        clock, tasks = Clock(), Tasks()
        record = NodeRecord(
            kept=Kept(disk, disk, disk), clock=clock, wall_clock=lambda: START_MS, tasks=tasks
        )
        self.successResultOf(Deferred.fromCoroutine(record.start()))
        for seq in (1, 2, 3):
            record.fanned(LiveConversation("c"), seq, seq, Mode.PUSHED, 1)
            clock.advance(FLUSH_INTERVAL_S)
        self.successResultOf(Deferred.fromCoroutine(tasks.stop()))
        return record

    def test_lost(self) -> None:
        """What cannot be written is counted, and that is said once of each kind."""
        record = self.after_three_fanouts(Broken())
        self.assertEqual((record.fanouts.lost, record.sessions.lost, record.lost), (3, 1, 4))
        self.assertEqual(len([line for line in self.said if "is not kept" in line]), 2)

    def test_read_only(self) -> None:
        """Where there can be no files it is remembered in memory."""
        record = self.after_three_fanouts(Broken(read_only=True))
        self.assertEqual(record.lost, 0)
        found = self.successResultOf(Deferred.fromCoroutine(record.fanouts_of("c", 2)))
        self.assertEqual([one.last_seq for one in found], [2])
        self.assertEqual(len([line for line in self.said if "in memory only" in line]), 3)

    def test_bounded(self) -> None:
        """While the disk hangs so much waits, and no more."""
        broken = Broken()
        broken.waiting = Deferred()
        ring = Ring(
            name="fan-outs", record=FANOUT, segments=broken, spare=broken, wall_clock=lambda: START_MS
        )
        piece = bytes(FANOUT.size * 1000)
        hanging = []
        for _ in range(2 * MAX_WAITING_BYTES // len(piece) + 10):
            ring.add(piece)
            hanging.append(Deferred.fromCoroutine(ring.flush()))
        self.assertGreater(ring.lost, 0)
        for held_bytes in (ring._writing_bytes, len(ring._waiting)):
            self.assertLessEqual(held_bytes, MAX_WAITING_BYTES + len(piece))
        broken.waiting.callback(None)
        for each in hanging:
            self.successResultOf(each)
        self.assertEqual(ring._writing_bytes, 0)
