"""imc chat: what the screen shows while a scripted server talks."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.client.client import ClientOptions
from imd.client.commands.chat import DELIVERED, FAILED, READ, RECALLED, SENDING, STORED, Chat
from imd.client.commands.context import Room
from imd.client.commands.render import Painter
from imd.client.errors import SessionOver
from imd.client.events import Event, chat_message
from imd.kernel.errors import RateLimited
from imd.pb.connection_pb2 import SERVER_BUSY, Error
from imd.pb.delivery_pb2 import MemberCursor
from imd.pb.envelope_pb2 import Envelope
from imd.pb.message_pb2 import DELAYED
from imd.pb.message_pb2 import FAILED as NOT_STORED
from tests.client.commands_scene import RememberingScreen
from tests.client.scripted import ALICE, BOB, WALL_MS, Scene, ack, deliver, recall, run, text


def receipt(*, delivered: int = 0, read: int = 0) -> Envelope:
    envelope = Envelope()
    envelope.receiptNotice.conversationId = "c"
    envelope.receiptNotice.cursors.append(MemberCursor(userId=BOB, deliveredSeq=delivered, readSeq=read))
    return envelope


class ChatTests(SynchronousTestCase):
    """Alice chats with Bob."""

    def setUp(self) -> None:
        self.scene = Scene(options=ClientOptions(initial_history=0)).live()
        self.screen = RememberingScreen()
        names = {ALICE: "alice", BOB: "bob"}
        self.chat = Chat(
            client=self.scene.client,
            room=Room("c", "bob", BOB, names),
            painter=Painter(colours=False, names=names, own_id=ALICE),
            clock=self.scene.clock,
            wall_clock=lambda: WALL_MS,
        )
        told = self.scene.events

        def hear(event: Event) -> None:
            told.append(event)
            self.chat.happened(event)

        self.scene.client._session._on_event = hear
        self.chat.open(self.screen, [chat_message(text(1))])

    def sent_ids(self) -> list[str]:
        return [send.clientMsgId for send in self.scene.link.take("send")]

    def test_history(self) -> None:
        """The chat opens with what was said before, and marks it as read."""
        self.assertTrue(self.screen.shows("bob: text 1"))
        self.scene.clock.advance(0.05)
        self.assertEqual([read.readSeq for read in self.scene.link.take("read")], [1])

    def test_marks(self) -> None:
        """An own message shows how far it has come: sending, stored, delivered, read."""
        self.chat.entered("hello")
        self.assertEqual(self.screen.mark_of("alice: hello"), SENDING)
        self.scene.link.say(ack(self.sent_ids()[0], 2))
        self.assertEqual(self.screen.mark_of("alice: hello"), STORED)
        self.scene.link.say(receipt(delivered=2))
        self.assertEqual(self.screen.mark_of("alice: hello"), DELIVERED)
        self.scene.link.say(receipt(read=2))
        self.assertEqual(self.screen.mark_of("alice: hello"), READ)

    def test_held(self) -> None:
        """What somebody looks at first is on its way still, and that is said."""
        self.chat.entered("hello")
        error = Error(code=SERVER_BUSY, reason="content")
        self.scene.link.say(ack(self.sent_ids()[0], 0, status=DELAYED, error=error))
        self.assertTrue(self.screen.shows("somebody looks at your message"))
        self.assertEqual(self.screen.mark_of("alice: hello"), SENDING)

    def test_read_while_away(self) -> None:
        """Marks of what was read while we were away are asked for when the chat opens and after a loss."""
        self.chat.entered("hello")
        self.scene.link.say(ack(self.sent_ids()[0], 2))
        [(request_id, asked)] = self.scene.link.take_requests("receiptsReq")
        self.assertEqual(asked.conversationId, "c")
        self.scene.link.answer(request_id, receiptNotice=receipt(read=2).receiptNotice)
        self.assertEqual(self.screen.mark_of("alice: hello"), READ)
        self.scene.come_back()
        self.assertEqual(len(self.scene.link.take("receiptsReq")), 1)

    def test_not_sent(self) -> None:
        """A refused message is marked and explained, and makes the chat end with that error."""
        self.chat.entered("hello")
        refused = Error(code=1005, message="too fast", retryAfterMs=2000)  # type: ignore[arg-type]
        self.scene.link.say(ack(self.sent_ids()[0], 0, status=NOT_STORED, error=refused))
        self.assertEqual(self.screen.mark_of("alice: hello"), FAILED)
        self.assertTrue(self.screen.shows("not sent: too fast (try again in 2 s)"))
        self.chat.input_ended()
        self.failureResultOf(self.chat.over, RateLimited)

    def test_received(self) -> None:
        """What comes is shown once, as nothing but text, and marked as read."""
        evil = text(2)
        evil.textContent = "\x1b]0;title\x07\u202egnp"
        self.scene.link.say(deliver(evil))
        self.assertFalse(self.screen.shows("\x1b"))
        self.assertFalse(self.screen.shows("\u202e"))
        self.scene.clock.advance(0.05)
        self.assertEqual([read.readSeq for read in self.scene.link.take("read")], [2])

    def test_recall(self) -> None:
        """/recall takes the last own message back, even if it is only on its way yet."""
        self.chat.entered("oops")
        self.chat.entered("/recall")
        self.assertEqual(self.scene.link.take("recall"), [])
        self.scene.link.say(ack(self.sent_ids()[0], 2))
        self.scene.pass_time(0.2)
        [wish] = self.scene.link.take("recall")
        self.assertEqual(wish.seq, 2)
        self.scene.link.say(ack(wish.clientMsgId, 3))
        self.assertEqual(self.screen.mark_of("alice: oops"), RECALLED)

    def test_recalled_by_the_other(self) -> None:
        """A message that the other one takes back is marked where it stands."""
        self.scene.link.say(deliver(text(2)), deliver(recall(3, 2)))
        self.assertEqual(self.screen.mark_of("bob: text 2"), RECALLED)
        self.assertTrue(self.screen.shows("bob recalled a message"))

    def test_prompt(self) -> None:
        """The prompt tells whether the other one is there, and types, and whether we are connected."""
        presence = Envelope()
        presence.presenceNotice.users.add(userId=BOB, online=True)
        self.scene.link.say(presence)
        self.assertEqual(self.screen.prompted, "bob (online)> ")
        typing = Envelope()
        typing.typing.conversationId = "c"
        typing.typing.userId = BOB
        typing.typing.active = True
        self.scene.link.say(typing)
        self.assertEqual(self.screen.prompted, "bob (typing…)> ")
        self.scene.pass_time(10)
        self.assertEqual(self.screen.prompted, "bob (online)> ")
        self.scene.link.close()
        self.assertEqual(self.screen.prompted, "bob (offline)> ")

    def test_typing(self) -> None:
        """A burst of keys is told once, and its end after a silence or with the message."""
        for _ in range(10):
            self.chat.key_pressed()
        self.assertEqual([typing.active for typing in self.scene.link.take("typing")], [True])
        self.scene.pass_time(5)
        self.assertEqual([typing.active for typing in self.scene.link.take("typing")], [False])
        self.chat.key_pressed()
        self.chat.entered("x")
        self.assertEqual([typing.active for typing in self.scene.link.take("typing")], [True, False])

    def test_quit_waits(self) -> None:
        """Leaving waits until what was written is stored."""
        self.chat.entered("last words")
        self.chat.entered("/quit")
        self.scene.pass_time(1)
        self.assertNoResult(self.chat.over)
        self.scene.link.say(ack(self.sent_ids()[0], 2))
        self.scene.pass_time(0.2)
        self.successResultOf(self.chat.over)
        self.successResultOf(run(self.chat.leave()))
        self.assertFalse(self.screen.open)

    def test_commands(self) -> None:
        """Commands are no messages; a doubled slash is a message with one."""
        for line in ("/help", "/nonsense", "", "   "):
            self.chat.entered(line)
        self.assertEqual(self.sent_ids(), [])
        self.assertTrue(self.screen.shows("there is no /nonsense"))
        self.chat.entered("//bin")
        self.assertEqual([send.textContent for send in self.scene.link.take("send")], ["/bin"])

    def test_earlier(self) -> None:
        """/history shows what stands before the oldest message on the screen."""
        self.scene.link.say(deliver(text(10)))
        self.chat._oldest = 9
        self.chat.entered("/history 2")
        [(request_id, request)] = self.scene.link.take_requests("historyReq")
        self.assertEqual((request.fromSeq, request.limit), (8, 2))
        self.scene.link.answer(request_id, historyResp={"messages": [text(7), text(8)], "lastSeq": 10})
        self.assertTrue(self.screen.shows("text 8"))

    def test_taken_over(self) -> None:
        """When another imc takes the session over, the chat ends."""
        kicked = Envelope()
        kicked.kicked.reason = "same_device"
        self.scene.link.say(kicked)
        over: Deferred[None] = self.chat.over
        self.failureResultOf(over, SessionOver)
