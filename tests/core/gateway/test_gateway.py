"""The gateway: who has to leave, and how much one connection may ask for."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.core.directory import GROUP, Membership
from imd.core.gateway.acks import MAX_IN_FLIGHT
from imd.core.gateway.gateway import FRAMES_PER_TURN
from imd.core.gateway.requests import MAX_REQUESTS, TYPING_MAX_MEMBERS
from imd.core.screening.chain import Step
from imd.core.screening.model import Action, FailureMode, Verdict
from imd.kernel.errors import ServerBusy
from imd.pb.connection_pb2 import (
    AUTH_FAILED,
    FORBIDDEN,
    INTERNAL_ERROR,
    PAYLOAD_INVALID,
    RATE_LIMITED,
    SERVER_BUSY,
    Heartbeat,
    RefreshToken,
)
from imd.pb.delivery_pb2 import Deliver, Typing
from imd.pb.envelope_pb2 import Envelope, Header
from imd.pb.message_pb2 import CUSTOM, DELAYED, FAILED, Message, SendMessageReq
from imd.pb.sync_pb2 import HistoryReq, RecallReq
from imd.wire.outbound import Outbound, Priority, deliver
from tests.core.gateway.world import HOUR_MS, NO_RATES, NOW_MS, World, connect, text
from tests.core.screening.checks import AtOnce, Slow

BEAT = Envelope(hb=Heartbeat(sentAt=7))
HISTORY = Envelope(historyReq=HistoryReq(conversationId="c"))


class LeavingTests(SynchronousTestCase):
    """Kicked, revoked, refreshed."""

    def test_same_device(self) -> None:
        """The same device again: the old session hears Kicked and nothing more, the new one lives."""
        world = World()
        old = world.live(1, "phone")
        old.live.push(deliver(Message(seq=1).SerializeToString(), Priority.NORMAL))
        new = world.link()
        new.says(connect(1, "phone"))
        self.assertEqual(old.heard(), ["deliver", "kicked"])
        self.assertEqual(old.last().kicked.reason, "same_device")
        old.live.push(deliver(b"", Priority.NORMAL))
        old.leaves()
        self.assertEqual(old.heard(), ["deliver", "kicked"])
        self.assertIs(world.registry.find(1, "phone"), new.session)
        self.assertEqual(world.pipeline.online, [new.live])

    def test_kick_race(self) -> None:
        """Two logins of one device that are checked together leave exactly one session."""
        world = World()
        world.directory.slow = True
        links = [world.link(), world.link()]
        for link in links:
            link.says(connect(1, "phone"))
        world.directory.answer()
        self.assertEqual([link.heard()[-1] for link in links], ["kicked", "syncResp"])
        self.assertEqual(world.registry.of_user(1), [links[1].session])

    def test_kicked_though_it_does_not_read(self) -> None:
        """A peer that reads slowly still gets Kicked, instead of what was queued for it."""
        world = World()
        old = world.live(1, "phone")
        old.live.blocked(0)
        old.live.push(deliver(b"", Priority.NORMAL))
        world.live(1, "phone")
        self.assertEqual(old.heard(), ["kicked"])

    def test_too_many_devices(self) -> None:
        """One device too many ends the oldest."""
        world = World(max_devices=2)
        first, second = world.live(1, "a"), world.live(1, "b")
        third = world.live(1, "c")
        self.assertEqual(first.last().kicked.reason, "too_many_devices")
        self.assertEqual(world.registry.of_user(1), [second.session, third.session])

    def revoke(self, world: World, *, device: str = "", spared: str = "", age_ms: int = 0) -> int:
        return world.gateway.revoke(1, device_id=device, except_device_id=spared, reason="", age_ms=age_ms)

    def test_old_revocation(self) -> None:
        """A revocation that comes late spares who has logged in since."""
        world = World()
        link = world.live(1, "a")
        world.clock.advance(10)
        self.assertEqual(self.revoke(world, age_ms=11_000), 0)
        self.assertEqual(link.heard(), [])
        self.assertEqual(self.revoke(world, age_ms=10_000), 1)

    def test_revoke(self) -> None:
        """A revocation ends the devices that it names, and spares the one that it spares."""
        world = World()
        a, b, other = world.live(1, "a"), world.live(1, "b"), world.live(2, "a")
        self.assertEqual(self.revoke(world, spared="b"), 1)
        self.assertEqual((a.heard(), b.heard(), other.heard()), (["kicked"], [], []))
        self.assertEqual(self.revoke(world, device="b"), 1)
        self.assertEqual(b.last().kicked.reason, "revoked")

    def test_refresh(self) -> None:
        """A new token of the same user and device lengthens the session; others are refused, and it lives."""
        world = World()
        link = world.live(1, "a")
        world.directory.expires_at_ms = NOW_MS + 2 * HOUR_MS
        link.says(Envelope(refreshToken=RefreshToken(token="1:a")))
        self.assertEqual(link.heard(), ["tokenRefreshed"])
        for foreign in ("2:a", "1:b", "", "x" * 5000):
            link.says(Envelope(refreshToken=RefreshToken(token=foreign)))
            self.assertEqual(link.last().error.code, AUTH_FAILED, foreign[:10])
        self.assertFalse(link.closed)
        self.assertEqual(link.live.expires_at_ms, NOW_MS + 2 * HOUR_MS)

    def test_scope(self) -> None:
        """A token that is not for sending does not send, recall or type; it may read."""
        world = World()
        world.directory.scopes = frozenset({"presence:update"})
        link = world.live(1, "a")
        link.says(text())
        self.assertEqual((link.last().ack.status, link.last().ack.error.code), (FAILED, FORBIDDEN))
        recall = RecallReq(conversationId="g_1", seq=1, clientMsgId="r1")
        link.says(Envelope(recall=recall))
        self.assertEqual(link.last().ack.error.code, FORBIDDEN)
        link.says(Envelope(typing=Typing(conversationId="g_1", active=True)))
        self.assertEqual(link.last().error.code, FORBIDDEN)
        world.directory.scopes = frozenset({"message:send"})
        link.says(Envelope(refreshToken=RefreshToken(token="1:a")))
        link.says(text("m2"))
        self.assertEqual(link.last().WhichOneof("payload"), "tokenRefreshed")
        self.assertEqual(len(world.pipeline.submitted), 1)

    def test_closed_once(self) -> None:
        """A connection that is closing, or gone, is not closed again."""
        world = World()
        link, gone = world.live(1, "a"), world.live(1, "b")
        gone.leaves()
        for session in (link.live, link.live, gone.live):
            world.gateway.close(session, ServerBusy("enough"))
        self.assertEqual((link.heard(), gone.heard(), gone.closed), (["error"], [], False))

    def test_after_too_many_bad_requests(self) -> None:
        """What stands behind the frame that closes a connection is not served any more."""
        world = World()
        link = world.live()
        link.says(*[text("?!") for _ in range(10)], text("good"))
        self.assertEqual(link.heard()[-1], "error")
        self.assertTrue(link.last().error.closing)
        self.assertEqual(world.pipeline.submitted, [])


class HeartbeatTests(SynchronousTestCase):
    """deliveredCount tells a client what it should have seen."""

    def test_echo(self) -> None:
        """The answer carries the client's time and request id back."""
        link = World().live()
        link.says(Envelope(header=Header(requestId=4), hb=Heartbeat(sentAt=99)))
        self.assertEqual((link.last().hb.sentAt, link.last().header.requestId), (99, 4))

    def test_degraded(self) -> None:
        """A node that is cut off says so."""
        world = World()
        link = world.live()
        world.gateway.is_degraded = lambda: True
        link.says(BEAT)
        self.assertTrue(link.last().hb.degraded)
        world.gateway.is_degraded = lambda: False
        link.says(BEAT)
        self.assertFalse(link.last().hb.degraded)

    def test_counts_what_is_before_it(self) -> None:
        """The answer counts what goes before it, and not what it overtakes at a peer that reads slowly."""
        world = World()
        link = world.live()
        for _ in range(3):
            link.live.push(deliver(b"", Priority.NORMAL))
        link.says(BEAT)
        self.assertEqual(link.heard(), ["deliver", "deliver", "deliver", "hb"])
        self.assertEqual(link.last().hb.deliveredCount, 3)
        link.sent.clear()
        link.live.blocked(0)
        link.live.push(deliver(b"", Priority.NORMAL))
        link.says(BEAT)
        link.live.unblocked()
        self.assertEqual(link.heard(), ["hb", "deliver"])
        self.assertEqual(link.sent[0].hb.deliveredCount, 3)

    def test_counts_what_was_dropped(self) -> None:
        """What was dropped is counted, so that the client finds out."""
        world = World()
        link = world.live()
        link.live.blocked(0)
        for _ in range(200):
            link.live.push(Outbound(b"", Priority.BULK, 1))
        link.live.unblocked()
        link.says(BEAT)
        self.assertEqual(link.last().hb.deliveredCount, 200)


class RateTests(SynchronousTestCase):
    """Each limit answers 1005 with a time to wait, and that time suffices."""

    def test_device(self) -> None:
        """Frames of one connection: refused above the burst, and another connection is not."""
        world = World(rates=NO_RATES._replace(device_frames_per_s=2))
        link, other = world.live(1, "a"), world.live(2, "a")
        link.says(*[BEAT] * 6)
        self.assertEqual(link.heard(), ["hb"] * 4 + ["error"] * 2)
        error = link.last().error
        self.assertEqual((error.code, error.retryable, error.closing), (RATE_LIMITED, True, False))
        other.says(BEAT)
        self.assertEqual(other.heard(), ["hb"])
        world.clock.advance(error.retryAfterMs / 1000)
        link.says(BEAT)
        self.assertEqual(link.heard()[-1], "hb")

    def test_device_before_login(self) -> None:
        """A stranger who floods is closed."""
        link = World(rates=NO_RATES._replace(device_frames_per_s=1)).link()
        link.says(*[BEAT] * 5)
        self.assertEqual(link.heard(), ["hb", "hb", "error"])
        self.assertTrue(link.closed)

    def test_address(self) -> None:
        """All connections of an address share one bucket."""
        world = World(rates=NO_RATES._replace(ip_frames_per_s=1))
        a, b, elsewhere = world.live(1, "a"), world.live(2, "a"), world.live(3, "a", "192.0.2.7")
        a.says(BEAT)
        b.says(BEAT, BEAT)
        elsewhere.says(BEAT)
        self.assertEqual((a.heard(), b.heard(), elsewhere.heard()), (["hb"], ["hb", "error"], ["hb"]))

    def test_user_text(self) -> None:
        """A send too many is answered by an ACK, FAILED and retryable; all devices share the bucket."""
        world = World(rates=NO_RATES._replace(user_text_per_min=60, user_burst=2))
        a, b = world.live(1, "a"), world.live(1, "b")
        a.says(text("m1"), text("m2"))
        b.says(text("m3"))
        ack = b.last().ack
        self.assertEqual((ack.status, ack.error.code, ack.clientMsgId), (FAILED, RATE_LIMITED, "m3"))
        self.assertGreater(ack.error.retryAfterMs, 0)
        self.assertEqual(len(world.pipeline.submitted), 2)

    def test_coming_back_refills_nothing(self) -> None:
        """Reconnecting does not give new tokens; time does."""
        world = World(rates=NO_RATES._replace(user_text_per_min=60, user_burst=1))
        first = world.live(1, "a")
        first.says(text("m1"))
        first.leaves()
        again = world.live(1, "a")
        again.says(text("m2"))
        self.assertEqual(again.last().ack.status, FAILED)
        world.clock.advance(1)
        again.says(text("m3"))
        self.assertEqual(len(world.pipeline.submitted), 2)

    def test_typing(self) -> None:
        """Who types costs others the more the larger the group, and is charged for that; nobody is told why."""
        for members, passed in ((2, 5), (TYPING_MAX_MEMBERS, 3), (TYPING_MAX_MEMBERS + 1, 0)):
            world = World(rates=NO_RATES._replace(device_frames_per_s=20))
            roles = dict.fromkeys(range(1, members + 1), 0)
            world.pipeline.conversation.membership = Membership("c", GROUP, 1, roles)
            link = world.live(1, "a")
            link.says(*[Envelope(typing=Typing(conversationId="c", active=True))] * 5)
            world.clock.advance(0)
            self.assertEqual((link.heard(), world.pipeline.broadcasts), ([], passed))

    def test_pings_of_the_transport(self) -> None:
        """What the transport answers by itself is charged like a heartbeat."""
        world = World(rates=NO_RATES._replace(device_frames_per_s=1))
        link = world.live()
        self.assertEqual([world.gateway.charge(link.live) for _ in range(3)], [True, True, False])


class FairnessTests(SynchronousTestCase):
    """One connection cannot take what belongs to all."""

    def test_frames_per_turn(self) -> None:
        """Of 1,000 frames in a segment 64 are served a turn, in order; meanwhile nothing is read."""
        world = World()
        greedy, modest = world.live(1, "a"), world.live(2, "a")
        greedy.says(*[text(f"m{number}") for number in range(200)])
        self.assertEqual((len(world.pipeline.submitted), greedy.paused), (FRAMES_PER_TURN, True))
        modest.says(text("mine"))
        self.assertEqual(world.pipeline.submitted[-1].key.client_msg_id, "mine")
        world.clock.turn()
        self.assertEqual(len(world.pipeline.submitted), 2 * FRAMES_PER_TURN + 1)
        world.turn()
        self.assertFalse(greedy.paused)
        ids = [send.key.client_msg_id for send in world.pipeline.submitted if send.key.sender_id == 1]
        self.assertEqual(ids, [f"m{number}" for number in range(200)])

    def test_more_while_a_backlog_is_left(self) -> None:
        """What comes in while a backlog is worked off waits behind it and takes no second turn."""
        world = World()
        link = world.live()
        for segment in range(3):
            link.says(*[text(f"s{segment}m{number}") for number in range(100)])
        self.assertEqual(len(world.pipeline.submitted), FRAMES_PER_TURN)
        world.clock.turn()
        self.assertEqual(len(world.pipeline.submitted), 2 * FRAMES_PER_TURN)

    def test_in_flight(self) -> None:
        """A connection with too many unanswered sends is not read until half are answered."""
        world = World()
        link = world.live()
        for number in range(MAX_IN_FLIGHT):
            self.assertFalse(link.paused)
            link.says(text(f"m{number}"))
        self.assertTrue(link.paused)
        acks = world.acks
        for send in world.pipeline.submitted[: MAX_IN_FLIGHT // 2 - 1]:
            acks.stored(send, duplicate=False)
        self.assertTrue(link.paused)
        acks.failed(world.pipeline.submitted[MAX_IN_FLIGHT // 2], ServerBusy("x"))
        self.assertFalse(link.paused)

    def test_busy_with_judging(self) -> None:
        """Sends that wait for a verdict count: a device that goes on is not read; refusals make room again."""
        world = World()
        slow = Slow()
        world.chain.steps = (Step("check", slow, 0.5, FailureMode.OPEN),)
        link = world.live()
        link.says(*[text(f"m{number}") for number in range(FRAMES_PER_TURN)])
        while not link.paused:
            world.turn()
            link.says(text(f"n{len(slow.asked)}"))
        self.assertEqual(len(slow.asked), MAX_IN_FLIGHT)
        self.assertEqual(world.pipeline.submitted, [])
        link.sent.clear()
        for answer in slow.answers[: MAX_IN_FLIGHT // 2]:
            answer.callback(Verdict(Action.REFUSE))
        self.assertFalse(link.paused)
        self.assertEqual(link.heard(), ["ack"] * (MAX_IN_FLIGHT // 2))
        error = link.last().ack.error
        self.assertEqual((error.code, error.reason), (FORBIDDEN, "content"))

    def test_held_makes_room(self) -> None:
        """A held message is DELAYED for its reason, and no longer in flight."""
        world = World()
        world.chain.steps = (Step("check", AtOnce(lambda _: Verdict(Action.REVIEW)), 1, FailureMode.OPEN),)
        link = world.live()
        link.says(text("m"))
        link.heard()
        (sent,) = link.sent
        self.assertEqual(sent.ack.status, DELAYED)
        self.assertEqual((sent.ack.error.reason, sent.ack.error.retryable), ("content", True))
        self.assertEqual(link.live.in_flight, 0)

    def test_custom_is_not_judged(self) -> None:
        """What only an application understands is not judged."""
        world = World()
        world.chain.steps = (Step("check", AtOnce(lambda _: Verdict(Action.REFUSE)), 1, FailureMode.OPEN),)
        link = world.live()
        request = SendMessageReq(conversationId="c", clientMsgId="m", type=CUSTOM, binaryContent=b"x")
        link.says(Envelope(send=request))
        self.assertEqual(len(world.pipeline.submitted), 1)

    def test_reasons_not_to_read(self) -> None:
        """A peer that does not read is not read, whatever else ends meanwhile."""
        world = World()
        link = world.live()
        link.says(*[text(f"m{number}") for number in range(100)])
        link.live.blocked(0)
        world.turn()
        self.assertEqual((len(world.pipeline.submitted), link.paused), (100, True))
        link.live.unblocked()
        self.assertFalse(link.paused)

    def test_requests_at_once(self) -> None:
        """Above 16 open requests the next is told to come later; an answer makes room."""
        world = World()
        world.pipeline.held = Deferred()
        link = world.live()
        link.says(*[HISTORY] * (MAX_REQUESTS + 1))
        self.assertEqual(link.heard(), ["error"])
        self.assertEqual(link.last().error.code, SERVER_BUSY)
        held, world.pipeline.held = world.pipeline.held, None
        held.callback(None)
        link.says(HISTORY)
        self.assertEqual(link.heard().count("historyResp"), MAX_REQUESTS + 1)

    def test_fault_in_a_send(self) -> None:
        """An exception in the pipeline is this request's alone, and is logged a few times only."""
        world = World()
        link = world.live()

        def broken(_: object) -> None:
            raise KeyError("oops")

        world.pipeline.submit = broken  # type: ignore[assignment,method-assign]
        link.says(*[text(f"m{number}") for number in range(30)])
        self.assertEqual(link.last().ack.error.code, INTERNAL_ERROR)
        self.assertFalse(link.closed)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 10)

    def test_broken_frame(self) -> None:
        """A frame over the limit gets its error and the end; nothing behind it is looked at."""
        link = World().live()
        link.feed(b"\xff\xff\xff\xff\x0f" + b"x" * 100)
        self.assertEqual((link.heard(), link.last().error.code), (["error"], PAYLOAD_INVALID))
        self.assertTrue(link.closed)

    def test_delivery_frames_from_clients(self) -> None:
        """A client that plays server is refused and lives."""
        link = World().live()
        link.says(Envelope(deliver=Deliver()))
        self.assertEqual((link.last().error.code, link.closed), (PAYLOAD_INVALID, False))
