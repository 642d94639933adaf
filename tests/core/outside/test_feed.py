"""Stored messages on their way to business: on a real pipeline, with a bus that takes them or does not."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from imd.bus.port import BusRefused
from imd.core.outside.feed import BATCH_MESSAGES, LINGER_S, STOP_TIMEOUT_S, StoredFeed
from imd.core.outside.recover import Recovery
from imd.pb.bus_pb2 import StoredMessages
from imd.pb.message_pb2 import Message
from tests.core.message.harness import ANN, GROUP_ID, PipelineCase


class TakingBus:
    """Takes events when it is up; ``told`` is (conversation, seq), in order."""

    def __init__(self) -> None:
        self.up = True
        self.told: list[tuple[str, int]] = []
        self.batches: list[int] = []

    async def publish_durable(self, subject: str, payload: bytes) -> None:
        assert subject == "im.hook.message"
        if not self.up:
            raise BusRefused("away")
        messages = [Message.FromString(body) for body in StoredMessages.FromString(payload).messages]
        self.batches.append(len(messages))
        self.told += [(message.conversationId, message.seq) for message in messages]


class FeedCase(PipelineCase):
    """Ann talks; somebody outside listens."""

    def setUp(self) -> None:
        super().setUp()
        self.bus = TakingBus()
        self.people.put("other", ANN)
        self.feed = self.make_feed()

    def make_feed(self, **options: Any) -> StoredFeed:
        bus: Any = self.bus
        feed = StoredFeed(bus=bus, log=self.log, clock=self.clock, tasks=self.now.tasks, **options)
        # The one before, if there was one, is forgotten with all it had not told.
        self.now.appender.on_committed = feed.take
        self.wait(feed.start())
        return feed

    def recovery(self, feed: StoredFeed) -> Recovery:
        tails: Any = self.log.real
        return Recovery(
            feed=feed,
            log=self.log,
            tails=tails,
            clock=self.clock,
            wall_clock=self.wall_clock,
            tasks=self.now.tasks,
        )

    def talk(self, count: int, *, to: str = GROUP_ID, first: int = 1) -> None:
        for number in range(first, first + count):
            self.send(f"{to}-{number}", conversation_id=to)
        self.settle()

    def settle(self) -> None:
        self.clock.pump([LINGER_S] * 20)


class FeedTests(FeedCase):
    """What business hears."""

    def test_told(self) -> None:
        """Each stored message is told, in the order of its conversation."""
        self.talk(3)
        self.talk(2, to="other")
        self.assertEqual(self.bus.told, [(GROUP_ID, seq) for seq in (1, 2, 3)] + [("other", 1), ("other", 2)])

    def test_bus_away(self) -> None:
        """While the bus is away messages wait, and go in batches when it is back."""
        self.bus.up = False
        self.talk(BATCH_MESSAGES + 5)
        self.assertEqual(self.bus.told, [])
        self.bus.up = True
        self.clock.pump([1.0] * 10)
        self.assertEqual(self.bus.told, [(GROUP_ID, seq) for seq in range(1, BATCH_MESSAGES + 6)])
        self.assertEqual(max(self.bus.batches), BATCH_MESSAGES)

    def test_no_room(self) -> None:
        """What there is no room for is read back from the log: nothing is left out, nothing comes before its turn."""
        feed = self.make_feed(max_queued_bytes=300)
        self.bus.up = False
        for number in range(1, 20):
            self.talk(1, first=number)
            self.talk(1, to="other", first=number)
        self.assertLess(feed.untold, 10)
        self.bus.up = True
        self.clock.pump([1.0] * 10)
        self.talk(1, first=20)
        for conversation_id, count in ((GROUP_ID, 20), ("other", 19)):
            told = [seq for name, seq in self.bus.told if name == conversation_id]
            self.assertEqual(told, list(range(1, count + 1)))
        self.assertEqual(feed.untold, 0)

    def test_stop(self) -> None:
        """At a stop what can be told still is; a bus that is away is not waited for long."""
        self.bus.up = False
        self.talk(1)
        stopping = Deferred.fromCoroutine(self.feed.stop())
        self.clock.pump([0.0] * 5)
        self.assertNoResult(stopping)
        self.bus.up = True
        self.clock.pump([0.1] * 20)
        self.successResultOf(stopping)
        self.bus.up = False
        self.talk(1, first=2)
        stopping = Deferred.fromCoroutine(self.feed.stop())
        self.clock.pump([0.1] * int(10 * STOP_TIMEOUT_S + 2))
        self.successResultOf(stopping)


class RecoveryTests(FeedCase):
    """What a process had stored and not told when it died."""

    def test_next_life(self) -> None:
        """The only node there is tells, after its start, what was stored last, however long ago that is."""
        self.talk(3)
        self.bus.told.clear()
        self.clock.advance(10_000)
        feed = self.make_feed()
        self.wait(self.recovery(feed).start())
        self.settle()
        self.assertEqual(self.bus.told, [(GROUP_ID, 1), (GROUP_ID, 2), (GROUP_ID, 3)])

    def test_only_the_last(self) -> None:
        """What is older than two minutes before the end was told."""
        self.talk(2)
        self.clock.advance(500)
        self.talk(2, first=3)
        self.bus.told.clear()
        feed = self.make_feed()
        self.wait(self.recovery(feed).start())
        self.settle()
        self.assertEqual(self.bus.told, [(GROUP_ID, 3), (GROUP_ID, 4)])

    def test_inherited(self) -> None:
        """Of a dead node only the shards taken over are told."""
        self.talk(2)
        self.bus.told.clear()
        feed = self.make_feed()
        self.recovery(feed).inherited(frozenset())
        self.settle()
        self.assertEqual(self.bus.told, [])
        self.recovery(feed).inherited(frozenset(range(256)))
        self.settle()
        self.assertEqual(self.bus.told, [(GROUP_ID, 1), (GROUP_ID, 2)])
        self.clock.advance(500)
        self.bus.told.clear()
        self.recovery(feed).inherited(frozenset(range(256)))
        self.settle()
        self.assertEqual(self.bus.told, [])
