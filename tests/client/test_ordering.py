"""Each conversation's contiguous sequence, whatever comes in whatever order."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.client.client import ClientOptions
from imd.client.cursors import MemoryCursors
from imd.client.events import CaughtUp, MessageStored, Recalled
from imd.client.ordering import MAX_EARLY, ConversationOrder
from imd.pb.connection_pb2 import Error
from imd.pb.envelope_pb2 import Envelope
from imd.pb.sync_pb2 import ConversationState
from tests.client.scripted import ALICE, Scene, ScriptedLink, ack, deliver, recall, run, text


def hint(last_seq: int, conversation: str = "c") -> Envelope:
    envelope = Envelope()
    envelope.hint.conversationId = conversation
    envelope.hint.lastSeq = last_seq
    return envelope


def behind(last_seq: int, conversation: str = "c", token: str = "") -> Envelope:
    envelope = Envelope()
    envelope.syncResp.behind.append(ConversationState(conversationId=conversation, lastSeq=last_seq))
    envelope.syncResp.nextPageToken = token
    return envelope


def pong(count: int) -> Envelope:
    envelope = Envelope()
    envelope.hb.deliveredCount = count
    return envelope


def serve_history(link: ScriptedLink, last_seq: int) -> list[tuple[int, int]]:
    """Answer every HistoryReq of a conversation that holds 1..last_seq; what was asked: (from, limit)."""
    asked: list[tuple[int, int]] = []
    while requests := link.take_requests("historyReq"):
        for request_id, request in requests:
            asked.append((request.fromSeq, request.limit))
            end = min(last_seq, request.fromSeq + request.limit - 1)
            messages = [
                text(seq, conversation=request.conversationId) for seq in range(request.fromSeq, end + 1)
            ]
            answer = {"messages": messages, "more": end < last_seq, "lastSeq": last_seq}
            link.answer(request_id, historyResp=answer)
    return asked


class OrderTests(SynchronousTestCase):
    """The pure part."""

    def test_early(self) -> None:
        """What comes early waits for its turn."""
        order = ConversationOrder(0)
        self.assertEqual(order.offer(text(3)), [])
        self.assertEqual((order.behind, order.missing), (True, (1, 2)))
        self.assertEqual([m.seq for m in order.offer(text(1))], [1])
        self.assertEqual([m.seq for m in order.offer(text(2))], [2, 3])
        self.assertFalse(order.behind)

    def test_bounded(self) -> None:
        """Too many early messages: the farthest are forgotten, and known to be missing again later."""
        order = ConversationOrder(0)
        for seq in range(2, MAX_EARLY + 100):
            order.offer(text(seq))
        applied = order.offer(text(1))
        self.assertEqual(applied[-1].seq, MAX_EARLY + 1)
        self.assertEqual(order.missing, (MAX_EARLY + 2, MAX_EARLY + 99))

    def test_skip(self) -> None:
        """What the server no longer holds is stepped over, and what waited behind it follows."""
        order = ConversationOrder(0)
        order.offer(text(5))
        self.assertEqual([m.seq for m in order.skip_to(4)], [5])


class PullTests(SynchronousTestCase):
    """Gaps, hints and sync."""

    def test_gap(self) -> None:
        """A gap is pulled after a moment, exactly what is missing, and everything is told in order."""
        scene = Scene().live()
        scene.link.say(deliver(text(1)), deliver(text(4)))
        self.assertEqual(scene.applied(), [1])
        scene.pass_time(0.2)
        self.assertEqual(serve_history(scene.link, 4), [(2, 2)])
        self.assertEqual(scene.applied(), [1, 2, 3, 4])

    def test_gap_that_closes(self) -> None:
        """What only came in another order is not pulled."""
        scene = Scene().live()
        scene.link.say(deliver(text(2)))
        scene.link.say(deliver(text(1)))
        scene.pass_time(1)
        self.assertEqual(scene.link.take("historyReq"), [])
        self.assertEqual(scene.applied(), [1, 2])

    def test_own_ack_fills(self) -> None:
        """An own message has its place in the order, whether its ACK comes before or after the next one."""
        scene = Scene().live()
        run(scene.client.send_text("mine", conversation_id="c"))
        [send] = scene.link.take("send")
        scene.link.say(deliver(text(1)), deliver(text(3)), ack(send.clientMsgId, 2))
        self.assertEqual(scene.applied(), [1, 2, 3])
        self.assertEqual([event.message.text for event in scene.told(MessageStored)], ["mine"])

    def test_own_from_history(self) -> None:
        """An own message whose ACK was lost comes with the history, and its late ACK tells it no second time."""
        scene = Scene().live()
        sending = run(scene.client.send_text("mine", conversation_id="c", client_msg_id="m1"))
        scene.link.say(deliver(text(2)))
        scene.pass_time(0.2)
        [(request_id, _)] = scene.link.take_requests("historyReq")
        mine = text(1, sender=ALICE, device="laptop")
        scene.link.answer(request_id, historyResp={"messages": [mine], "lastSeq": 2})
        scene.link.say(ack("m1", 1, duplicate=True))
        self.assertTrue(self.successResultOf(sending).duplicate)
        self.assertEqual(scene.applied(), [1, 2])
        self.assertEqual(len(scene.told(MessageStored)), 1)

    def test_hint(self) -> None:
        """A hint is pulled, page by page."""
        scene = Scene().live()
        scene.link.say(hint(450))
        self.assertEqual(serve_history(scene.link, 450), [(1, 200), (201, 200), (401, 50)])
        self.assertEqual(scene.applied(), list(range(1, 451)))

    def test_wrong_hint(self) -> None:
        """A hint of what is not there does not pull for ever."""
        scene = Scene().live()
        scene.link.say(hint(5))
        self.assertEqual(serve_history(scene.link, 3), [(1, 5), (4, 2)])
        scene.pass_time(20)
        self.assertEqual(scene.link.take("historyReq"), [])

    def test_sync_after_reconnect(self) -> None:
        """After a reconnect what was missed is pulled, all pages of it, and CaughtUp says when it is done."""
        scene = Scene().live()
        scene.link.say(deliver(text(1)))
        scene.link.close()
        scene.pass_time(60)
        scene.events.clear()
        scene.server.accept(sync=False)
        scene.link.say(behind(3, token="next"))
        [(request_id, request)] = scene.link.take_requests("syncReq")
        self.assertEqual(request.pageToken, "next")
        scene.link.answer(request_id, syncResp=behind(2, "d").syncResp)
        self.assertEqual(scene.told(CaughtUp), [])
        serve_history(scene.link, 3)
        self.assertEqual((scene.applied(), scene.applied("d")), ([2, 3], [1, 2]))
        self.assertEqual(len(scene.told(CaughtUp)), 1)

    def test_lost_tail(self) -> None:
        """A pong that counts more frames than came makes us ask how far the server is."""
        scene = Scene().live()
        scene.link.say(deliver(text(1)), pong(2))
        [(request_id, request)] = scene.link.take_requests("syncReq")
        self.assertEqual([(c.conversationId, c.lastSeq) for c in request.cursors], [("c", 1)])
        scene.link.answer(request_id, syncResp=behind(2).syncResp)
        serve_history(scene.link, 2)
        self.assertEqual(scene.applied(), [1, 2])

    def test_resync(self) -> None:
        """Resync: deliveries and ACKs were dropped; both are asked for again."""
        scene = Scene().live()
        run(scene.client.send_text("mine", conversation_id="c"))
        [send] = scene.link.take("send")
        dropped = Envelope()
        dropped.resync.reason = "slow"
        scene.link.say(dropped)
        self.assertEqual(scene.link.take("send"), [send])
        self.assertEqual(len(scene.link.take("syncReq")), 1)

    def test_forbidden(self) -> None:
        """A conversation that we may not read any more is not asked for again."""
        scene = Scene().live()
        scene.link.say(hint(5))
        [(request_id, _)] = scene.link.take_requests("historyReq")
        scene.link.answer(request_id, error=Error(code=1003))  # type: ignore[arg-type]
        scene.pass_time(30)
        self.assertEqual(scene.link.take("historyReq"), [])

    def test_busy(self) -> None:
        """A busy server is asked again after the time it names."""
        scene = Scene().live()
        scene.link.say(hint(1))
        [(request_id, _)] = scene.link.take_requests("historyReq")
        scene.link.answer(request_id, error=Error(code=1099, retryAfterMs=4000))  # type: ignore[arg-type]
        scene.pass_time(3)
        self.assertEqual(scene.link.take("historyReq"), [])
        scene.pass_time(2)
        self.assertEqual(serve_history(scene.link, 1), [(1, 1)])

    def test_retained(self) -> None:
        """Where the server holds only newer messages, the order goes on with those."""
        scene = Scene().live()
        scene.link.say(hint(4))
        [(request_id, _)] = scene.link.take_requests("historyReq")
        scene.link.answer(request_id, historyResp={"messages": [text(3), text(4)], "lastSeq": 4})
        self.assertEqual(scene.applied(), [3, 4])

    def test_recall(self) -> None:
        """A recall is told at its own place."""
        scene = Scene().live()
        scene.link.say(deliver(text(1)), deliver(recall(2, 1)))
        self.assertEqual([event.recalled_seq for event in scene.told(Recalled)], [1])
        self.assertEqual(scene.applied(), [1, 2])


class FirstSightTests(SynchronousTestCase):
    """Conversations without a cursor."""

    def _scene(self, initial_history: int | None) -> Scene:
        return Scene(options=ClientOptions(initial_history=initial_history)).live()

    def test_old_conversation(self) -> None:
        """Of an old conversation only the newest messages are told first."""
        scene = self._scene(3)
        scene.link.say(behind(10))
        serve_history(scene.link, 10)
        self.assertEqual(scene.applied(), [8, 9, 10])

    def test_none(self) -> None:
        """With 0 nothing old is told, but what comes live always is."""
        scene = self._scene(0)
        scene.link.say(behind(10))
        self.assertEqual(scene.link.take("historyReq"), [])
        scene.link.say(deliver(text(11)), deliver(text(1, conversation="d")))
        self.assertEqual((scene.applied(), scene.applied("d")), ([11], [1]))

    def test_everything(self) -> None:
        """With None it is told from the beginning."""
        scene = self._scene(None)
        scene.link.say(deliver(text(3)))
        scene.pass_time(0.2)
        serve_history(scene.link, 3)
        self.assertEqual(scene.applied(), [1, 2, 3])

    def test_new_epoch(self) -> None:
        """A server that was restored has another epoch: the cursors are dropped and all is synced anew."""
        scene = Scene(cursors=MemoryCursors({"c": 9}, epoch="1"))
        run(scene.client.start())
        scene.server.accept(epoch="2", sync=False)
        [(request_id, request)] = scene.link.take_requests("syncReq")
        self.assertEqual(list(request.cursors), [])
        scene.link.answer(request_id, syncResp=behind(2).syncResp)
        serve_history(scene.link, 2)
        self.assertEqual(scene.applied(), [1, 2])


class Everything(SynchronousTestCase):
    """Properties over any network."""

    @settings(max_examples=150, deadline=None)
    @given(
        total=st.integers(1, 40),
        arrivals=st.lists(st.integers(1, 40), max_size=120),
        own=st.sets(st.integers(1, 40)),
        cuts=st.sets(st.integers(0, 119), max_size=3),
    )
    def test_contiguous_once(self, total: int, arrivals: list[int], own: set[int], cuts: set[int]) -> None:
        """Any order, doubling and loss of deliveries and ACKs, with reconnects between them, tells the
        application 1, 2, 3, ... once each; after a sync nothing is missing."""
        scene = Scene().live()
        for index, seq in enumerate(arrivals):
            if index in cuts:
                scene.come_back()
                scene.link.say(behind(total))
                serve_history(scene.link, total)
            if seq > total:
                continue
            if seq in own:
                run(scene.client.send_text("x", conversation_id="c", client_msg_id=f"o{index}")).addErrback(
                    lambda _: None
                )
                scene.link.say(ack(f"o{index}", seq))
            else:
                scene.link.say(deliver(text(seq)))
        so_far = scene.applied()
        self.assertEqual(so_far, list(range(1, len(so_far) + 1)))
        scene.come_back()
        scene.link.say(behind(total))
        serve_history(scene.link, total)
        self.assertEqual(scene.applied(), list(range(1, total + 1)))
