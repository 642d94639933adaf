"""The queue of one connection, and the tick that empties many."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.core.gateway.session import (
    EAGER_FLUSH_BYTES,
    EAGER_FLUSH_COUNT,
    MAX_CONTROL_QUEUED,
    QueueLimits,
    Session,
)
from imd.pb.connection_pb2 import Heartbeat
from imd.pb.delivery_pb2 import Deliver
from imd.pb.envelope_pb2 import Envelope
from imd.pb.message_pb2 import Message
from imd.wire.codec import encode
from imd.wire.outbound import Outbound, Priority, control
from tests.core.gateway.world import FakeLink, World

CONTROL, NORMAL, LARGE_GROUP, BULK = Priority


def numbered(seq: int, priority: Priority) -> Outbound:
    return Outbound(encode(Envelope(deliver=Deliver(message=Message(seq=seq)))), priority, 1)


def seqs(link: FakeLink) -> list[int]:
    return [each.deliver.message.seq for each in link.sent if each.HasField("deliver")]


class QueueTests(SynchronousTestCase):
    """What goes out, in which order, and what is dropped."""

    def setUp(self) -> None:
        self.world = World(queue=QueueLimits(100, 1 << 20))
        self.link = self.world.live()
        self.session: Session = self.link.live

    def fill(self, count: int, priority: Priority) -> None:
        """So many frames of one priority, numbered on."""
        for _ in range(count):
            self.session.push(numbered(0, priority))

    def test_priorities(self) -> None:
        """One flush sends control first, then by priority, each in the order of its pushes."""
        for seq, priority in enumerate((BULK, NORMAL, LARGE_GROUP, NORMAL, BULK), 1):
            self.session.push(numbered(seq, priority))
        self.session.push(control(Envelope(hb=Heartbeat())))
        self.assertEqual(self.link.heard()[0], "hb")
        self.assertEqual(seqs(self.link), [2, 4, 3, 1, 5])
        self.assertEqual(self.link.batches, 2)

    def test_eager_by_count(self) -> None:
        """A full batch does not wait for the tick."""
        self.fill(EAGER_FLUSH_COUNT - 1, NORMAL)
        self.assertEqual(self.link.sent, [])
        self.fill(1, NORMAL)
        self.assertEqual(len(self.link.sent), EAGER_FLUSH_COUNT)

    def test_eager_by_bytes(self) -> None:
        """Nor do large frames."""
        self.session.push(numbered(1, NORMAL))
        self.session.push(
            control(Envelope(deliver=Deliver(message=Message(textContent="x" * EAGER_FLUSH_BYTES))))
        )
        self.assertEqual(len(self.link.sent), 2)

    def test_water_marks(self) -> None:
        """A blocked queue takes bulk up to 70 %, large groups to 85 %, others to 95 %."""
        for priority, kept in ((BULK, 71), (LARGE_GROUP, 86), (NORMAL, 96)):
            link = self.world.live(user_id=10 + priority)
            link.live.blocked(0)
            for _ in range(kept):
                link.live.push(numbered(0, priority))
            link.live.unblocked()
            self.assertEqual(link.heard(), ["deliver"] * kept, priority)
            link.sent.clear()
            link.live.blocked(0)
            for _ in range(kept + 1):
                link.live.push(numbered(0, priority))
            link.live.unblocked()
            self.assertEqual(link.heard(), ["resync"], priority)

    def test_water_marks_by_bytes(self) -> None:
        """The marks hold for bytes too."""
        link = World(queue=QueueLimits(100, 1000)).live()
        link.live.blocked(0)
        link.live.push(Outbound(b"\0" * 951, NORMAL))
        link.live.unblocked()
        self.assertEqual(link.heard(), ["resync"])

    def test_one_resync(self) -> None:
        """However much is dropped while it is blocked, one Resync says so; the higher priorities stay."""
        self.session.blocked(0)
        self.session.push(numbered(1, NORMAL))
        self.fill(200, BULK)
        self.fill(200, LARGE_GROUP)
        self.session.push(numbered(2, NORMAL))
        self.session.unblocked()
        self.assertEqual(self.link.heard(), ["resync", "deliver", "deliver"])
        self.assertEqual(seqs(self.link), [1, 2])
        self.fill(1, BULK)
        self.assertEqual(self.link.heard()[3:], ["deliver"])

    def test_control_survives(self) -> None:
        """ACKs and answers are never dropped, whatever else is."""
        self.session.blocked(0)
        for _ in range(150):
            self.session.push(control(Envelope(hb=Heartbeat())))
            self.session.push(numbered(1, NORMAL))
        self.session.unblocked()
        self.assertEqual(self.link.heard().count("hb"), 150)
        self.assertFalse(self.link.aborted)

    def test_control_is_bounded(self) -> None:
        """A peer that asks on and on and reads nothing is cut off."""
        self.session.blocked(0)
        answer = control(Envelope(hb=Heartbeat()))
        for _ in range(MAX_CONTROL_QUEUED):
            self.session.push(answer)
        self.assertFalse(self.link.aborted)
        self.session.push(answer)
        self.assertTrue(self.link.aborted)

    def test_blocked_again_while_unblocking(self) -> None:
        """What is flushed may fill the transport at once; then it is not read."""
        self.session.blocked(0)
        self.session.push(numbered(1, NORMAL))
        send = self.link.send

        def fills_up(batch: list[Outbound]) -> None:
            send(batch)
            self.session.blocked(5)

        self.link.send = fills_up  # type: ignore[method-assign]
        self.session.unblocked()
        self.assertTrue(self.link.paused)
        self.assertEqual(self.session.blocked_for_s(8), 3)


class FlushTickTests(SynchronousTestCase):
    """One timer for everybody."""

    def setUp(self) -> None:
        self.world = World()
        self.links = [self.world.live(user) for user in range(1, 21)]

    def push_all(self, count: int) -> None:
        """So many frames for each session."""
        for link in self.links:
            for _ in range(count):
                link.live.push(numbered(1, NORMAL))

    def test_one_timer(self) -> None:
        """Twenty sessions with something to say wait for one call."""
        self.push_all(3)
        self.assertEqual(len(self.world.clock.getDelayedCalls()), 1)
        self.world.clock.turn()
        self.assertEqual([len(link.sent) for link in self.links], [3] * 20)
        self.assertEqual([link.batches for link in self.links], [2] * 20)

    def test_low_load_waits_for_nothing(self) -> None:
        """Single frames go out at the end of their turn, one after the other."""
        for _ in range(3):
            self.push_all(1)
            self.world.clock.turn()
        self.assertEqual([len(link.sent) for link in self.links], [3] * 20)

    def test_high_load_is_gathered(self) -> None:
        """When there were several frames for each, the next tick is the interval later."""
        self.push_all(5)
        self.world.clock.turn()
        self.push_all(1)
        self.world.clock.turn()
        self.assertEqual(len(self.links[0].sent), 5)
        self.world.clock.advance(0.002)
        self.assertEqual(len(self.links[0].sent), 6)

    def test_one_fault(self) -> None:
        """A session whose flush fails is cut off; those behind it are flushed."""

        def broken(_: list[Outbound]) -> None:
            raise KeyError("oops")

        self.links[0].send = broken  # type: ignore[assignment,method-assign]
        self.push_all(1)
        self.world.clock.turn()
        self.assertTrue(self.links[0].aborted)
        self.assertEqual(len(self.links[19].sent), 1)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_asks_once(self) -> None:
        """A session asks for one flush however much it has, and again after it."""
        asked: list[Session] = []
        session = self.links[0].live
        session._request_flush = asked.append
        for _ in range(5):
            session.push(numbered(1, NORMAL))
        self.assertEqual(asked, [session])
        session.flush()
        session.queued_to_flush = False
        session.push(numbered(1, NORMAL))
        self.assertEqual(asked, [session, session])
