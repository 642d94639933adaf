"""The client against a scripted server: login, sending, losing the line and coming back."""

from __future__ import annotations

from itertools import pairwise

from twisted.trial.unittest import SynchronousTestCase

from imd.client.client import ClientOptions
from imd.client.errors import Disconnected, SessionOver, Unreachable
from imd.client.events import (
    ConnectionState,
    ConnectionStateChanged,
    MessageAccepted,
    MessageHeld,
    MessageReceived,
    MessageRevoked,
    MessageStored,
    SentMessage,
    SessionEnded,
)
from imd.client.sender import ACK_TIMEOUT_S
from imd.kernel.errors import (
    AuthFailed,
    Forbidden,
    IdempotentConflict,
    OutcomeUnknown,
    RateLimited,
    ServerBusy,
)
from imd.kernel.ids import is_client_msg_id
from imd.pb.connection_pb2 import ACK_ALL, FORBIDDEN, SERVER_BUSY, Error
from imd.pb.envelope_pb2 import Envelope
from imd.pb.message_pb2 import ACCEPTED, DELAYED, FAILED, REVOKED
from tests.client.scripted import ALICE, HOUR_MS, Scene, ack, deliver, run, text


def closing(code: int, message: str) -> Envelope:
    """The last frame of a connection."""
    return Envelope(error=Error(code=code, message=message, closing=True))  # type: ignore[arg-type]


class StartTests(SynchronousTestCase):
    """The first login."""

    def test_start(self) -> None:
        """start says Connect with the token, and returns when the server lets us in."""
        scene = Scene()
        starting = run(scene.client.start())
        [connect] = scene.link.take("connect")
        self.assertEqual((connect.token, connect.deviceId), ("token", "laptop"))
        self.assertNoResult(starting)
        scene.server.accept()
        self.successResultOf(starting)
        self.assertEqual((scene.client.user_id, scene.client.live), (ALICE, True))
        self.assertEqual(
            [event.state for event in scene.told(ConnectionStateChanged)],
            [ConnectionState.CONNECTING, ConnectionState.LIVE],
        )

    def test_unreachable(self) -> None:
        """start fails at once when nobody listens, and does not go on trying."""
        scene = Scene()
        scene.server.up = False
        self.failureResultOf(run(scene.client.start()), Unreachable)
        scene.pass_time(100)
        self.assertEqual(scene.server.attempts, 1)

    def test_keep_trying(self) -> None:
        """With keep_trying start waits for the server to come."""
        scene = Scene(options=ClientOptions(keep_trying=True))
        scene.server.up = False
        starting = run(scene.client.start())
        scene.pass_time(40)
        self.assertGreater(scene.server.attempts, 4)
        self.assertNoResult(starting)
        scene.server.up = True
        scene.pass_time(40)
        scene.server.accept()
        self.successResultOf(starting)

    def test_refused(self) -> None:
        """A refused token is asked for again; the same token again is the end, with the server's reason."""
        scene = Scene()
        starting = run(scene.client.start())
        scene.link.say(closing(1001, "expired"))
        scene.clock.advance(0)
        self.assertEqual(self.failureResultOf(starting, AuthFailed).value.message, "expired")
        self.assertEqual((scene.server.attempts, scene.token_calls), (1, 2))

    def test_fresh_token(self) -> None:
        """A fresh token after a refusal is tried at once."""
        scene = Scene(tokens=["old", "new"])
        starting = run(scene.client.start())
        scene.link.say(closing(1001, "expired"))
        scene.clock.advance(0)
        self.assertEqual(scene.link.take("connect")[0].token, "new")
        scene.server.accept()
        self.successResultOf(starting)

    def test_no_token(self) -> None:
        """A token source that says no ends it before any connection."""
        scene = Scene(tokens=[AuthFailed("log in first")])
        self.failureResultOf(run(scene.client.start()), AuthFailed)
        self.assertEqual(scene.server.attempts, 0)

    def test_silent_server(self) -> None:
        """A server that does not answer Connect is as good as none."""
        scene = Scene()
        starting = run(scene.client.start())
        scene.pass_time(20)
        self.failureResultOf(starting, Unreachable)

    def test_nothing_left_behind(self) -> None:
        """After stop no timer runs."""
        scene = Scene().live()
        scene.link.say(deliver(text(1)), deliver(text(5)))
        sending = run(scene.client.send_text("x", conversation_id="c"))
        self.successResultOf(run(scene.client.stop()))
        self.failureResultOf(sending, OutcomeUnknown)
        self.assertEqual(scene.clock.getDelayedCalls(), [])
        self.assertFalse(scene.link.open)
        self.successResultOf(run(scene.client.stop()))


class SendTests(SynchronousTestCase):
    """From send to STORED."""

    def test_stored(self) -> None:
        """send returns at STORED with what the server gave, and the app is told at the message's place."""
        scene = Scene().live()
        sending = run(scene.client.send_text("hi", conversation_id="c", meta={"k": "v"}))
        [send] = scene.link.take("send")
        self.assertEqual((send.textContent, send.conversationId, dict(send.meta)), ("hi", "c", {"k": "v"}))
        self.assertNoResult(sending)
        scene.link.say(ack(send.clientMsgId, 1, serverTime=99))
        self.assertEqual(
            self.successResultOf(sending), SentMessage("c", 1, 1001, send.clientMsgId, 99, False)
        )
        [event] = scene.told(MessageStored)
        self.assertEqual((event.message.text, event.message.sender_id), ("hi", ALICE))

    def test_accepted_is_not_stored(self) -> None:
        """ACCEPTED proves nothing; it is told, and send waits on."""
        scene = Scene(options=ClientOptions(all_acks=True))
        starting = run(scene.client.start())
        self.assertEqual(scene.link.take("connect")[0].acks, ACK_ALL)
        scene.server.accept()
        self.successResultOf(starting)
        sending = run(scene.client.send_text("hi", conversation_id="c"))
        [send] = scene.link.take("send")
        scene.link.say(ack(send.clientMsgId, 0, status=ACCEPTED))
        self.assertNoResult(sending)
        self.assertEqual(scene.told(MessageAccepted), [MessageAccepted("c", send.clientMsgId)])
        scene.link.say(ack(send.clientMsgId, 1))
        self.successResultOf(sending)

    def test_taken_back(self) -> None:
        """What was stored and is taken back by the server is told, with the reason."""
        scene = Scene().live()
        sending = run(scene.client.send_text("1", conversation_id="c"))
        [send] = scene.link.take("send")
        scene.link.say(ack(send.clientMsgId, 1))
        self.successResultOf(sending)
        error = Error(code=FORBIDDEN, reason="muted")
        scene.link.say(ack(send.clientMsgId, 1, status=REVOKED, error=error))
        self.assertEqual(scene.told(MessageRevoked), [MessageRevoked("c", 1, send.clientMsgId, "muted")])

    def test_held(self) -> None:
        """What a person has to look at is told once, is in nobody's way, is asked for now and then, and settles."""
        scene = Scene(options=ClientOptions(max_in_flight=1)).live()
        first = run(scene.client.send_text("1", conversation_id="c"))
        second = run(scene.client.send_text("2", conversation_id="c"))
        [held] = scene.link.take("send")
        error = Error(code=SERVER_BUSY, reason="content", retryable=True, retryAfterMs=20_000)
        scene.link.say(ack(held.clientMsgId, 0, status=DELAYED, error=error))
        self.assertEqual(scene.told(MessageHeld), [MessageHeld("c", held.clientMsgId)])
        [plain] = scene.link.take("send")
        scene.link.say(ack(plain.clientMsgId, 1))
        self.successResultOf(second)
        scene.clock.pump([1.0] * 19)
        self.assertEqual(scene.link.take("send"), [])
        scene.clock.pump([1.0] * 2)
        self.assertEqual([again.clientMsgId for again in scene.link.take("send")], [held.clientMsgId])
        scene.link.say(ack(held.clientMsgId, 0, status=DELAYED, error=error))
        self.assertEqual(len(scene.told(MessageHeld)), 1)
        self.assertNoResult(first)
        scene.link.say(ack(held.clientMsgId, 2))
        self.assertEqual(self.successResultOf(first).seq, 2)

    def test_held_across_a_loss(self) -> None:
        """After a loss a held message is sent again: it may have been decided meanwhile."""
        scene = Scene().live()
        sending = run(scene.client.send_text("1", conversation_id="c"))
        [held] = scene.link.take("send")
        scene.link.say(
            ack(held.clientMsgId, 0, status=DELAYED, error=Error(code=SERVER_BUSY, reason="content"))
        )
        scene.client._session.sender.closed()
        scene.client._session.sender.opened()
        [again] = scene.link.take("send")
        scene.link.say(
            ack(again.clientMsgId, 0, status=FAILED, error=Error(code=FORBIDDEN, reason="content"))
        )
        failure = self.failureResultOf(sending, Forbidden)
        self.assertEqual(failure.value.reason, "content")
        self.assertEqual(scene.client.unsettled, 0)

    def test_refusals(self) -> None:
        """FAILED and Error raise the error of their code, whichever way they name the message."""
        scene = Scene().live()
        first = run(scene.client.send_text("1", conversation_id="c"))
        second = run(scene.client.send_text("2", conversation_id="c"))
        third = run(scene.client.send_text("3", conversation_id="c"))
        requests = scene.link.take_requests("send")
        no = Error(code=1003, message="not yours")  # type: ignore[arg-type]
        scene.link.say(ack(requests[0][1].clientMsgId, 0, status=FAILED, error=no))
        self.failureResultOf(first, Forbidden)
        busy = Error(code=1005, message="slow down", retryAfterMs=70)  # type: ignore[arg-type]
        scene.link.answer(requests[1][0], error=busy)
        self.assertEqual(self.failureResultOf(second, RateLimited).value.retry_after_ms, 70)
        named = Envelope(error=Error(code=1099, message="full"))  # type: ignore[arg-type]
        named.header.clientMsgId = requests[2][1].clientMsgId
        scene.link.say(named)
        self.failureResultOf(third, ServerBusy)
        self.assertEqual(scene.client.unsettled, 0)

    def test_ids(self) -> None:
        """Message ids are good ids, and never the same twice, also after a restart in the same millisecond."""
        client = Scene().live().client
        ids = {client.new_id() for _ in range(100)}
        self.assertEqual(len(ids), 100)
        self.assertTrue(all(map(is_client_msg_id, ids)))

    def test_same_id_twice(self) -> None:
        """A second message under an id that is on its way is refused here."""
        scene = Scene().live()
        run(scene.client.send_text("1", conversation_id="c", client_msg_id="x"))
        again = run(scene.client.send_text("2", conversation_id="c", client_msg_id="x"))
        self.failureResultOf(again, IdempotentConflict)

    def test_window(self) -> None:
        """No more than the window is unacknowledged, and the rest follows in the order of the calls."""
        scene = Scene(options=ClientOptions(max_in_flight=2)).live()
        for number in range(4):
            run(scene.client.send_text(str(number), conversation_id="c"))
        first, second = scene.link.take("send")
        self.assertEqual((first.textContent, second.textContent), ("0", "1"))
        scene.link.say(ack(first.clientMsgId, 1))
        self.assertEqual([send.textContent for send in scene.link.take("send")], ["2"])

    def test_overdue(self) -> None:
        """A message whose ACK does not come is written again under the same id."""
        scene = Scene().live()
        sending = run(scene.client.send_text("hi", conversation_id="c"))
        [send] = scene.link.take("send")
        scene.link.say(Envelope(hb={}))
        scene.pass_time(ACK_TIMEOUT_S + 2)
        [again] = scene.link.take("send")
        self.assertEqual(again, send)
        scene.link.say(ack(send.clientMsgId, 1, duplicate=True))
        self.assertTrue(self.successResultOf(sending).duplicate)

    def test_delayed(self) -> None:
        """DELAYED is no answer: the fate is asked for again after the time it names."""
        scene = Scene().live()
        sending = run(scene.client.send_text("hi", conversation_id="c"))
        [send] = scene.link.take("send")
        later = Error(code=1099, retryAfterMs=3000)  # type: ignore[arg-type]
        scene.link.say(ack(send.clientMsgId, 0, status=DELAYED, error=later))
        scene.pass_time(2.5)
        self.assertEqual(scene.link.take("send"), [])
        scene.pass_time(2)
        self.assertEqual(len(scene.link.take("send")), 1)
        self.assertNoResult(sending)

    def test_recall(self) -> None:
        """A recall is sent and acknowledged like a message, and takes its place in the order."""
        scene = Scene().live()
        scene.link.say(deliver(text(1)))
        recalling = run(scene.client.recall("c", 1))
        [wish] = scene.link.take("recall")
        self.assertEqual((wish.conversationId, wish.seq), ("c", 1))
        scene.link.say(ack(wish.clientMsgId, 2))
        self.assertEqual(self.successResultOf(recalling).seq, 2)
        self.assertEqual(scene.applied(), [1, 2])

    def test_cancelled(self) -> None:
        """Who stops waiting for a send disturbs nobody."""
        scene = Scene().live()
        sending = run(scene.client.send_text("hi", conversation_id="c"))
        sending.addErrback(lambda _: None)
        sending.cancel()
        [send] = scene.link.take("send")
        scene.link.say(ack(send.clientMsgId, 1))
        self.assertEqual(scene.applied(), [1])


class ReconnectTests(SynchronousTestCase):
    """Losing the line and coming back."""

    def test_resend(self) -> None:
        """Unacknowledged messages go again after a reconnect: same ids, same order, before new ones."""
        scene = Scene().live()
        for number in range(3):
            run(scene.client.send_text(str(number), conversation_id="c"))
        before = scene.link.take("send")
        scene.link.say(ack(before[0].clientMsgId, 1))
        scene.link.close()
        run(scene.client.send_text("late", conversation_id="c"))
        scene.pass_time(60)
        scene.server.accept()
        after = scene.link.take("send")
        self.assertEqual(after[:2], before[1:])
        self.assertEqual([send.textContent for send in after], ["1", "2", "late"])

    def test_resend_goes_first(self) -> None:
        """What was in flight goes before what only waited, so the order of the calls is kept."""
        scene = Scene(options=ClientOptions(max_in_flight=2)).live()
        for number in range(4):
            run(scene.client.send_text(str(number), conversation_id="c"))
        scene.come_back()
        self.assertEqual([send.textContent for send in scene.link.take("send")], ["0", "1"])

    def test_cursors(self) -> None:
        """Connect after a loss says how far we are."""
        scene = Scene().live()
        scene.link.say(deliver(text(1)), deliver(text(2)))
        scene.link.close()
        scene.pass_time(60)
        [connect] = scene.link.take("connect")
        self.assertEqual([(c.conversationId, c.lastSeq) for c in connect.cursors], [("c", 2)])

    def test_full_jitter(self) -> None:
        """Tries after a loss spread out: at most 30 s apart, and more and more."""
        scene = Scene().live()
        scene.server.up = False
        scene.link.close()
        times: list[float] = []
        for _ in range(3000):
            before = scene.server.attempts
            scene.clock.advance(0.1)
            if scene.server.attempts > before:
                times.append(scene.clock.seconds())
        gaps = [after - before for before, after in pairwise(times)]
        self.assertLess(times[0], 1.0)
        self.assertLessEqual(max(gaps), 30.2)
        self.assertGreater(max(gaps), 5.0)
        self.assertGreater(len(gaps), 8)

    def test_kicked(self) -> None:
        """Kicked is the end: no reconnect, unsettled sends fail, and the reason is told."""
        scene = Scene().live()
        sending = run(scene.client.send_text("hi", conversation_id="c"))
        kicked = Envelope()
        kicked.kicked.reason = "same_device"
        scene.link.say(kicked)
        scene.pass_time(100)
        self.assertEqual(scene.server.attempts, 1)
        self.failureResultOf(sending, OutcomeUnknown)
        self.assertIn("same_device", scene.told(SessionEnded)[0].reason)
        self.failureResultOf(run(scene.client.send_text("x", conversation_id="c")), SessionOver)

    def test_expired_while_live(self) -> None:
        """When the server ends a connection for its token, a fresh token brings us back."""
        scene = Scene(tokens=["one", "two"]).live()
        scene.link.say(closing(1001, "expired"))
        scene.clock.advance(0)
        self.assertEqual(scene.link.take("connect")[0].token, "two")

    def test_asked_to_reconnect(self) -> None:
        """Reconnect: what is in flight is finished, then a new connection within the spread."""
        scene = Scene().live()
        old = scene.link
        sending = run(scene.client.send_text("hi", conversation_id="c"))
        leave = Envelope()
        leave.reconnect.spreadMs = 1000
        leave.reconnect.deadlineMs = 5000
        old.say(leave)
        self.assertTrue(old.open)
        scene.pass_time(1)
        self.assertTrue(old.open)
        old.say(ack(old.take("send")[0].clientMsgId, 1))
        self.successResultOf(sending)
        self.assertFalse(old.open)
        scene.clock.advance(0)
        self.assertIsNot(scene.link, old)

    def test_reconnect_without_patience(self) -> None:
        """A draining node that does not answer is left all the same, and the message goes again."""
        scene = Scene().live()
        run(scene.client.send_text("hi", conversation_id="c"))
        leave = Envelope()
        leave.reconnect.reason = "upgrade"
        scene.link.say(leave)
        scene.pass_time(3)
        scene.server.accept()
        self.assertEqual(len(scene.link.take("send")), 1)

    def test_token_refresh(self) -> None:
        """Before the token expires a new one is sent over the live connection."""
        scene = Scene(tokens=["one", "two", "three"])
        run(scene.client.start())
        scene.server.accept(expires_in_ms=100_000)
        scene.clock.advance(29)
        scene.link.say(Envelope(hb={}))
        scene.clock.advance(22)
        [(request_id, refresh)] = scene.link.take_requests("refreshToken")
        self.assertEqual(refresh.token, "two")
        scene.link.answer(request_id, tokenRefreshed={"tokenExpiresAt": 1_800_000_000_000 + HOUR_MS})
        self.assertEqual(len(scene.server.links), 1)

    def test_silence(self) -> None:
        """A server that stops answering heartbeats is left for a new connection."""
        scene = Scene().live()
        for _ in range(50):
            scene.clock.advance(1)
        self.assertGreater(len(scene.server.links), 1)
        self.assertEqual(len(scene.server.links[0].take("hb")), 1)

    def test_questions_fail(self) -> None:
        """A question without a connection, or whose connection goes, fails as Disconnected."""
        scene = Scene().live()
        asking = run(scene.client.history("c"))
        scene.link.close()
        self.failureResultOf(asking, Disconnected)
        self.failureResultOf(run(scene.client.history("c")), Disconnected)

    def test_failing_application(self) -> None:
        """An exception in the application's callback does not cost it the next event."""
        scene = Scene().live()
        seen: list[int] = []

        def fails(event: object) -> None:
            if not isinstance(event, MessageReceived):
                return
            seen.append(event.message.seq)
            raise ValueError("application")

        scene.client._session._on_event = fails
        scene.link.say(deliver(text(1)), deliver(text(2)))
        self.assertEqual(seen, [1, 2])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_busy_server(self) -> None:
        """A server that is full is tried again after the time it asks for."""
        scene = Scene().live()
        scene.link.close()
        scene.pass_time(1)
        busy = closing(1099, "full")
        busy.error.retryAfterMs = 20_000
        scene.link.say(busy)
        count = scene.server.attempts
        scene.pass_time(19)
        self.assertEqual(scene.server.attempts, count)
        scene.pass_time(20)
        self.assertGreater(scene.server.attempts, count)
