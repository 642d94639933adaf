"""The counting is right: a correct server is found correct, and each planted fault is found."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.client.load.device import State
from imd.pb.connection_pb2 import Connected
from imd.pb.envelope_pb2 import Envelope
from imd.pb.message_pb2 import Message
from imd.pb.sync_pb2 import HistoryResp
from imd.wire.codec import deliver_frame, encode
from tests.client.load.fake_server import Faults
from tests.client.load.in_memory import CONVERSATION, Run


class CorrectServerTests(SynchronousTestCase):
    """Nothing is wrong, and nothing is reported as wrong."""

    def test_counts_each_message_at_each_receiver(self) -> None:
        """Three members, two of them sending: every message is stored once and delivered twice."""
        run = Run(members=3, senders=2)
        run.send(5, device=0)
        run.send(4, device=1)
        counts = run.shared.counts
        self.assertEqual((counts.sent, counts.stored, counts.delivered), (9, 9, 18))
        self.assertEqual(run.problems, {})

    def test_shared_bodies_count_like_others(self) -> None:
        """Remembering bodies that many devices get changes no number."""
        run = Run(members=5, shared=True)
        run.send(10)
        self.assertEqual(run.shared.counts.delivered, 40)
        self.assertEqual(run.problems, {})

    def test_window_bounds_what_is_unacknowledged(self) -> None:
        """Without ACKs a sender stops at its window."""
        run = Run(window=3)
        sent = [run.devices[0].send_new(1) for _ in range(5)]
        self.assertEqual(sent, [True, True, True, False, False])

    def test_full_speed_sends_on_every_ack(self) -> None:
        """Without a rate each ACK makes room for the next message at once."""
        run = Run(window=3)
        run.shared.refill = True
        run.devices[0].send_new(1)
        run.devices[0].out[:], frame = [], run.devices[0].out[-1]
        run._sessions[run.devices[0]].received(frame)
        to, data = next(entry for entry in run._to_device if entry[0] is run.devices[0])
        to.received(data, 5)
        self.assertEqual(run.shared.counts.sent, 2)
        self.assertEqual(len(to.out), 1)

    def test_latency_runs_from_when_the_message_was_due(self) -> None:
        """The histogram sees the time between the due moment and the arrival."""
        run = Run()
        run.now_ns = 7_000_000
        run.devices[0].send_new(2_000_000)
        run.pump()
        self.assertEqual(run.shared.delivery_latency.max_ns, 5_000_000)
        self.assertEqual(run.shared.ack_latency.max_ns, 5_000_000)

    def test_refused_for_now_is_sent_again_with_the_same_id(self) -> None:
        """A retryable FAILED is not lost, and not sent before its time."""
        run = Run(faults=Faults(refuse_once={2}))
        run.send(2)
        sender = run.devices[0].sender
        assert sender is not None
        self.assertEqual((run.shared.counts.stored, run.shared.counts.retried), (1, 1))
        self.assertEqual(sender.due_again(run.now_ns), [])
        run.devices[0].out.extend(sender.due_again(run.now_ns + 2_000_000))
        run.pump()
        self.assertEqual(run.shared.counts.stored, 2)
        self.assertEqual(run.problems, {})

    def test_acknowledges_deliveries_cumulatively(self) -> None:
        """About once a second a receiver says how far it is, and says nothing when nothing moved."""
        run = Run()
        run.send(3)
        receiver = run.devices[1]
        receiver.tick(0, heartbeat=False)
        (frame,) = receiver.out
        self.assertEqual(Envelope.FromString(frame[1:]).deliverAck.seq, 3)
        receiver.out.clear()
        receiver.tick(1, heartbeat=False)
        self.assertEqual(receiver.out, [])

    def test_old_messages_are_not_part_of_the_run(self) -> None:
        """What was in a conversation before is neither pulled nor missed."""
        first = Run()
        first.send(3)
        run = Run(members=0)
        run.server = first.server
        run.devices = [run._device(0, sends=True, window=1), run._device(1, sends=False, window=1)]
        for device in run.devices:
            run.connect(device)
        run.devices[0].send_new(99)
        run.pump()
        self.assertEqual(run.shared.counts.delivered, 1)
        self.assertEqual(run.problems, {})


class FaultTests(SynchronousTestCase):
    """Each planted fault is found, and called what it is."""

    def test_lost(self) -> None:
        """An ACKed message that one receiver never gets is lost, and the findings name it."""
        run = Run(faults=Faults(lose={3}))
        run.send(5)
        self.assertEqual(run.problems, {"lost": 1})
        self.assertIn(
            f"misses 1 messages of {CONVERSATION}, the first of them is seq 3", run.verdict().findings[0]
        )

    def test_lost_at_the_end(self) -> None:
        """No gap shows a lost last message; the ACK does."""
        run = Run(faults=Faults(lose={5}))
        run.send(5)
        self.assertEqual(run.problems, {"lost": 1})

    def test_lost_is_counted_at_each_receiver(self) -> None:
        """A message that three receivers miss is lost three times."""
        run = Run(faults=Faults(lose={2}), members=4, shared=True)
        run.send(3)
        self.assertEqual(run.problems, {"lost": 3})

    def test_doubled(self) -> None:
        """The same seq pushed twice is a duplicate."""
        run = Run(faults=Faults(double={2}))
        run.send(4)
        self.assertEqual(run.problems, {"duplicated": 1})

    def test_another_message_at_the_same_seq(self) -> None:
        """What is pushed or pulled again at a seq must be the same message: another one is no mere repetition."""
        run = Run()
        run.send(2)
        other = Message.FromString(run.server.log[CONVERSATION][1])
        other.seq = 1
        run.devices[1].received(deliver_frame(other.SerializeToString()), 1)
        self.assertEqual((run.shared.counts.pushed_again, run.verdict().duplicated), (1, 1))
        page = HistoryResp(conversationId=CONVERSATION, messages=[other], lastSeq=2)
        run.devices[1].received(encode(Envelope(historyResp=page)), 1)
        self.assertEqual(run.verdict().duplicated, 2)

    def test_swapped(self) -> None:
        """A message pushed after its successor is out of order, and not lost."""
        run = Run(faults=Faults(swap={2}))
        run.send(4)
        self.assertEqual(run.problems, {"reordered": 1})

    def test_swapped_in_a_shared_body(self) -> None:
        """Also where bodies are remembered."""
        run = Run(faults=Faults(swap={2}), members=3, shared=True)
        run.send(4)
        self.assertEqual(run.problems, {"reordered": 2})

    def test_stored_under_two_seqs(self) -> None:
        """One send that became two messages is a duplicate, although every seq is there once."""
        run = Run(faults=Faults(store_twice={2}))
        run.send(3)
        self.assertEqual(run.problems, {"duplicated": 1})

    def test_two_sends_with_one_seq(self) -> None:
        """Two messages ACKed with the same seq: one of them is lost."""
        run = Run(faults=Faults(reuse={3}))
        run.send(3)
        self.assertGreaterEqual(run.problems["lost"], 1)
        self.assertIn("1 seqs were ACKed to two messages", run.verdict().findings)

    def test_second_ack_with_another_seq(self) -> None:
        """A send that is ACKed again with another seq was stored twice."""
        run = Run()
        run.send(1)
        (ack,) = run.server.stored.values()
        again = Envelope()
        again.ack.CopyFrom(ack)
        run.devices[0].received(encode(again), 1)
        self.assertEqual(run.shared.counts.acked_twice, 1)
        again.ack.seq = 9
        run.devices[0].received(encode(again), 1)
        self.assertEqual(run.problems, {"duplicated": 1})


class CatchUpTests(SynchronousTestCase):
    """What the server tells to pull is pulled, and counts as delivered."""

    def test_gap_that_lasts_is_pulled(self) -> None:
        """A message lost before its successor is pulled after a tick, in which it could still have come."""
        run = Run(faults=Faults(lose={2}))
        run.send(3)
        receiver = run.devices[1]
        receiver.tick(0, heartbeat=False)
        run.pump()
        self.assertEqual(run.problems, {"lost": 1})
        receiver.tick(1, heartbeat=False)
        run.pump()
        self.assertEqual((run.shared.counts.gaps, run.shared.counts.pulled), (1, 1))
        self.assertEqual(run.problems, {})
        receiver.tick(2, heartbeat=False)
        receiver.tick(3, heartbeat=False)
        self.assertEqual(run.shared.counts.gaps, 1)

    def test_asked_to_leave(self) -> None:
        """A node that goes down is left within the time that it gives; a new connection knows nothing of it."""
        run = Run()
        device = run.devices[1]
        self.assertEqual(device.leave_within_ms, -1)
        asked = Envelope()
        asked.reconnect.spreadMs = 5000
        device.received(encode(asked), 1)
        self.assertEqual((device.leave_within_ms, run.shared.counts.told_to_leave), (5000, 1))
        run.cut(device)
        run.connect(device)
        self.assertEqual(device.leave_within_ms, -1)

    def test_resync(self) -> None:
        """A dropped queue is announced by Resync; history fills the gap, nothing is lost or doubled."""
        run = Run(faults=Faults(drop_and_resync={2}))
        run.send(4)
        self.assertEqual((run.shared.counts.delivered, run.shared.counts.pulled), (4, 1))
        self.assertEqual(run.problems, {})

    def test_hint(self) -> None:
        """A hint instead of the message is followed by a pull."""
        run = Run(faults=Faults(hint={1, 2, 3}))
        run.send(3)
        self.assertEqual((run.shared.counts.hints, run.shared.counts.pulled), (3, 3))
        self.assertEqual(run.problems, {})

    def test_heartbeat_that_counted_more_deliveries(self) -> None:
        """The server has pushed more than arrived, also a moment later: the device syncs, as the protocol asks."""
        run = Run(faults=Faults(lose={2}))
        run.send(2)
        beat = Envelope()
        beat.hb.deliveredCount = 2
        run.devices[1].received(encode(beat), 1)
        self.assertEqual(run.devices[1].out, [])
        run.devices[1].tick(1, heartbeat=False)
        run.pump()
        self.assertEqual((run.shared.counts.resyncs, run.shared.counts.pulled), (1, 1))
        self.assertEqual(run.problems, {})

    def test_unanswered_pull_is_begun_anew(self) -> None:
        """A request whose answer never came does not leave the device behind for ever."""
        run = Run(faults=Faults(hint={1}))
        receiver = run.devices[1]
        run.devices[0].send_new(1)
        run._sessions[run.devices[0]].received(run.devices[0].out.pop())
        for to, data in run._to_device:
            to.received(data, 1)
        run._to_device.clear()
        receiver.out.clear()
        for _ in range(6):
            receiver.tick(1, heartbeat=False)
        run.pump()
        self.assertTrue(receiver.caught_up)
        self.assertEqual(run.problems, {})

    def test_reconnect_pulls_what_was_missed_in_many_pages(self) -> None:
        """A receiver that was away gets everything from history, in order."""
        run = Run()
        receiver = run.devices[1]
        run.send(2)
        run.cut(receiver)
        self.assertIs(receiver.state, State.AWAY)
        run.send(120)
        self.assertEqual(run.problems, {"lost": 120})
        run.connect(receiver)
        self.assertTrue(receiver.caught_up)
        self.assertEqual(run.shared.counts.pulled, 120)
        self.assertEqual(run.problems, {})

    def test_reconnect_sends_again_what_has_no_ack(self) -> None:
        """An ACK that was lost with the connection comes as a duplicate, and nothing is stored twice."""
        run = Run()
        sender = run.devices[0]
        sender.send_new(1)
        frame = sender.out.pop()
        run._sessions[sender].received(frame)
        run.cut(sender)
        run.pump()
        self.assertEqual(run.shared.counts.stored, 0)
        run.connect(sender)
        self.assertEqual(run.shared.counts.stored, 1)
        self.assertEqual(run.problems, {})

    def test_own_message_in_history_is_no_delivery(self) -> None:
        """What a sender finds of its own in history, its ACK cut off, is held but not counted as delivered."""
        run = Run()
        device = run.devices[0]
        assert device.sender is not None
        run.send(1)
        device.send_new(1)
        run._sessions[device].received(device.out.pop())
        run.cut(device)
        unacknowledged, device.sender.pending = device.sender.pending, {}
        run.connect(device)
        self.assertEqual((run.shared.counts.stored, run.shared.counts.delivered), (1, 2))
        device.sender.pending = unacknowledged
        device.out.extend(unacknowledged.values())
        run.pump()
        self.assertEqual((run.shared.counts.stored, run.shared.counts.delivered), (2, 2))
        self.assertEqual(run.problems, {})

    def test_pushed_while_pulling_is_held_back(self) -> None:
        """A live message that overtakes the history page before it is applied after that page."""
        run = Run()
        run.send(1)
        receiver = run.devices[1]
        run.cut(receiver)
        run.send(3)
        log = [Message.FromString(body) for body in run.server.log[CONVERSATION]]
        sync, newest, page = Envelope(), Envelope(), Envelope()
        sync.syncResp.behind.add(conversationId=CONVERSATION, lastSeq=3)
        newest.deliver.message.CopyFrom(log[3])
        page.historyResp.conversationId = CONVERSATION
        page.historyResp.messages.extend(log[1:3])
        page.historyResp.lastSeq = 3
        receiver.connected()
        for envelope in (Envelope(connected=Connected()), sync, newest, page):
            receiver.received(encode(envelope), 1)
        self.assertTrue(receiver.caught_up)
        self.assertEqual((run.shared.counts.delivered, run.shared.counts.overlapping), (4, 0))
        self.assertEqual(run.problems, {})

    def test_pushed_and_pulled_is_no_fault(self) -> None:
        """A message that history gave already may come pushed once more, and no more than once."""
        run = Run()
        run.send(1)
        receiver = run.devices[1]
        run.cut(receiver)
        run.send(2)
        receiver.connected()
        newest = Envelope()
        newest.deliver.message.MergeFromString(run.server.log[CONVERSATION][2])
        receiver.received(encode(newest), 1)
        self.assertEqual(run.shared.counts.delivered, 1)
        run.connect(receiver)
        receiver.received(encode(newest), 1)
        self.assertEqual((run.shared.counts.delivered, run.shared.counts.overlapping), (3, 1))
        self.assertEqual(run.problems, {})
        receiver.received(encode(newest), 1)
        self.assertEqual(run.problems, {"duplicated": 1})
