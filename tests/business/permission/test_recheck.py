"""What core let through unjudged is judged by what was true then; what was wrong is taken back, once."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred

from imd.bus.audit import REFUSED, RELEASED
from imd.bus.subjects import AUDIT_LOG, MESSAGE_DECIDED, MESSAGE_SEND_ANY
from imd.kernel.ids import direct_conversation_id
from imd.pb.bus_pb2 import (
    MEDIA,
    MESSAGE,
    AuditEvent,
    AuditEvents,
    Decided,
    Failure,
    Revocation,
    SystemAppend,
    SystemAppended,
)
from imd.pb.connection_pb2 import INTERNAL_ERROR
from imd.pb.message_pb2 import REVOKED
from tests.business.world import WorldCase

MINUTE_S = 60


class RecheckCase(WorldCase):
    """Ann has a group with bob and cyd; time passes between all that happens."""

    core = True

    def setUp(self) -> None:
        self.world = self.make_world(core=self.core)
        self.sessions = {name: self.world.register(name) for name in ("ann", "bob", "cyd", "dan")}
        self.group = self.does("ann", "POST", "/groups", {"title": "g", "memberIds": self.ids("bob", "cyd")})[
            "conversationId"
        ]
        self.decided: list[Decided] = []
        self.world.bus.subscribe(MESSAGE_DECIDED, self.hear_decided)
        self.pass_time()
        self.seq = 0

    async def hear_decided(self, _: str, payload: bytes) -> None:
        self.decided.append(Decided.FromString(payload))

    def id_of(self, name: str) -> int:
        return int(self.sessions[name]["userId"])

    def ids(self, *names: str) -> list[str]:
        return [self.sessions[name]["userId"] for name in names]

    def does(self, name: str, method: str, path: str, body: Any = None) -> Any:
        reply = self.world.call(method, path, body, token=self.sessions[name]["token"])
        self.assertLess(reply.status, 300, reply)
        return reply.json if reply.raw else None

    def pass_time(self) -> int:
        """Some time; and what it is then."""
        self.world.clock.advance(MINUTE_S)
        now_ms = self.world.now_ms()
        self.world.clock.advance(MINUTE_S)
        return now_ms

    def released(
        self, name: str, at_ms: int, *, conversation_id: str = "", peer: str = "", **more: Any
    ) -> Revocation | None:
        """What core is asked after it told that it let a message through; None: nothing."""
        self.seq += 1
        detail = {"at": at_ms, "by": "release", "peer": self.id_of(peer) if peer else 0}
        event = AuditEvent(
            eventId=f"e{self.seq}",
            timestamp=self.world.now_ms(),
            actorId=self.id_of(name),
            conversationId=conversation_id or self.group,
            action="message.send",
            decision=RELEASED,
            requestId=f"m{self.seq}",
            seq=self.seq,
            serverMsgId=100 + self.seq,
            detail=json.dumps(detail),
            right=MESSAGE,
        )
        event.MergeFrom(AuditEvent(**more))
        before = len(self.world.notices)
        self.tell(event)
        asked = [notice for notice in self.world.notices[before:] if notice.HasField("revokes")]
        self.assertLessEqual(len(asked), 1)
        return asked[0].revokes if asked else None

    def tell(self, *events: AuditEvent) -> None:
        payload = AuditEvents(events=events).SerializeToString()
        Deferred.fromCoroutine(self.world.bus.publish_durable(AUDIT_LOG, payload))
        self.world.clock.pump([0.0] * 20)


class RecheckTests(RecheckCase):
    """``Recheck``, ``Revoking``, ``SqlPairsAt``."""

    def test_right(self) -> None:
        """A member's message stays."""
        self.assertIsNone(self.released("bob", self.world.now_ms()))
        self.assertEqual(self.decided, [])

    def test_stranger(self) -> None:
        """Somebody's who never was in goes; core is told which, and why, and the sender hears it."""
        revoked = self.released("dan", self.world.now_ms())
        assert revoked is not None
        self.assertEqual(
            (revoked.seq, revoked.senderId, revoked.clientMsgId, revoked.reason),
            (1, self.id_of("dan"), "m1", "not_member"),
        )
        (told,) = self.decided
        self.assertEqual(told.senderId, self.id_of("dan"))
        self.assertEqual(
            (told.ack.status, told.ack.seq, told.ack.clientMsgId, told.ack.error.reason),
            (REVOKED, 1, "m1", "not_member"),
        )

    def test_kicked(self) -> None:
        """What a member said before the kick stays, what came after goes."""
        before = self.pass_time()
        self.does("ann", "DELETE", f"/groups/{self.group}/members/{self.id_of('bob')}")
        after = self.pass_time()
        self.assertIsNone(self.released("bob", before))
        self.assertIsNotNone(self.released("bob", after))

    def test_muted(self) -> None:
        """A mute counts while it lasts, also after it was lifted."""
        before = self.pass_time()
        self.does("ann", "POST", f"/conv/{self.group}/mute", {"userIds": self.ids("bob")})
        during = self.pass_time()
        self.does("ann", "POST", f"/conv/{self.group}/mute", {"userIds": self.ids("bob"), "seconds": 0})
        after = self.pass_time()
        self.assertIsNone(self.released("bob", before))
        revoked = self.released("bob", during)
        assert revoked is not None
        self.assertEqual(revoked.reason, "muted")
        self.assertIsNone(self.released("bob", after))

    def test_all_muted(self) -> None:
        """A mute of all counts for members, not for the owner."""
        self.does("ann", "POST", f"/conv/{self.group}/mute", {"everybody": True})
        during = self.pass_time()
        self.assertIsNotNone(self.released("bob", during))
        self.assertIsNone(self.released("ann", during))

    def test_no_right(self) -> None:
        """Who reads only in a group of the operator must not have written."""
        official = self.world.operate(
            "POST",
            "/groups",
            {
                "title": "news",
                "kind": "official",
                "ownerId": self.ids("ann")[0],
                "memberIds": self.ids("bob"),
            },
        ).json["conversationId"]
        at_ms = self.pass_time()
        for right in (MESSAGE, MEDIA):
            revoked = self.released("bob", at_ms, conversation_id=official, right=right)
            assert revoked is not None
            self.assertEqual(revoked.reason, "no_right")
        self.assertIsNone(self.released("ann", at_ms, conversation_id=official))

    def test_frozen(self) -> None:
        """A frozen account has no word in a group either, until it is thawed."""
        before = self.pass_time()
        path = f"/accounts/{self.id_of('bob')}/state"
        self.world.operate("PUT", path, {"state": "frozen", "reason": "spam"})
        after = self.pass_time()
        self.assertIsNone(self.released("bob", before))
        revoked = self.released("bob", after)
        assert revoked is not None
        self.assertEqual(revoked.reason, "not_accepted")
        self.world.operate("PUT", path, {"state": "active", "reason": "no spam"})
        self.assertIsNone(self.released("bob", after))

    def test_blocked(self) -> None:
        """A block counts from when it was made, in both directions."""
        direct = self.does("ann", "POST", "/conversations/direct", {"userId": self.ids("bob")[0]})
        conversation_id = direct["conversationId"]
        before = self.pass_time()
        self.does("bob", "PUT", f"/blocks/{self.id_of('ann')}")
        after = self.pass_time()
        for name in ("ann", "bob"):
            self.assertIsNone(self.released(name, before, conversation_id=conversation_id))
            revoked = self.released(name, after, conversation_id=conversation_id)
            assert revoked is not None
            self.assertEqual(revoked.reason, "not_accepted")
        self.assertEqual(
            self.released("cyd", after, conversation_id=conversation_id).reason,  # type: ignore[union-attr]
            "not_member",
        )

    def test_first_words(self) -> None:
        """A 1:1 conversation that core derived is made now, so that both find it."""
        conversation_id = direct_conversation_id(self.id_of("ann"), self.id_of("dan"))
        at_ms = self.pass_time()
        self.assertIsNone(self.released("ann", at_ms, conversation_id=conversation_id, peer="dan"))
        listed = self.does("dan", "GET", "/conversations")["conversations"]
        self.assertEqual([each["conversationId"] for each in listed], [conversation_id])

    def test_nobody(self) -> None:
        """Words to somebody who does not exist go."""
        self.sessions["nobody"] = {"userId": "4711"}
        conversation_id = direct_conversation_id(self.id_of("ann"), 4711)
        revoked = self.released("ann", self.world.now_ms(), conversation_id=conversation_id, peer="nobody")
        assert revoked is not None
        self.assertEqual(revoked.peerUserId, 4711)

    def test_others_events(self) -> None:
        """What was refused, what was never stored, what the server wrote, and what is no event are let be."""
        for more in ({"decision": REFUSED}, {"seq": 0}, {"actorId": 0}):
            event = AuditEvent(
                decision=RELEASED, seq=5, actorId=self.id_of("dan"), conversationId=self.group, eventId="x"
            )
            for name, value in more.items():
                setattr(event, name, value)
            self.tell(event)
        Deferred.fromCoroutine(self.world.bus.publish_durable(AUDIT_LOG, b"\xff"))
        self.world.clock.pump([0.0] * 20)
        self.assertEqual([notice for notice in self.world.notices if notice.HasField("revokes")], [])
        self.assertIsNotNone(self.released("dan", self.world.now_ms()))


class CoreAwayTests(RecheckCase):
    """Core cannot be asked, for a while."""

    core = False

    def test_tried_again(self) -> None:
        """It is asked until it has answered, and what was to be judged after that is."""
        self.assertIsNone(self.released("dan", self.world.now_ms()))
        self.assertIsNone(self.released("dan", self.world.now_ms()))
        self.world.answer_for_core()
        self.world.clock.pump([1.0] * 20)
        revoked = [notice.revokes.seq for notice in self.world.notices if notice.HasField("revokes")]
        self.assertEqual(revoked, [1, 2])
        self.assertEqual(self.world.parts.recheck.revoked, 2)

    def test_refused(self) -> None:
        """What core will not take back, however often it is asked, does not hold up what comes after it."""
        answers = [SystemAppended(failure=Failure(code=INTERNAL_ERROR)), SystemAppended(seq=9)]
        asked: list[int] = []

        async def answer(payload: bytes) -> bytes:
            asked.append(SystemAppend.FromString(payload).revokes.seq)
            return answers.pop(0).SerializeToString()

        self.world.bus.respond(MESSAGE_SEND_ANY, answer)
        events = [
            AuditEvent(
                eventId=f"e{seq}",
                decision=RELEASED,
                seq=seq,
                actorId=self.id_of("dan"),
                conversationId=self.group,
                timestamp=self.world.now_ms(),
            )
            for seq in (5, 6)
        ]
        self.tell(*events)
        self.assertEqual((asked, self.world.parts.recheck.revoked), ([5, 6], 1))
        self.assertEqual(len(self.flushLoggedErrors()), 0)

    def test_stop(self) -> None:
        """A node that goes down does not wait for core."""
        self.released("dan", self.world.now_ms())
        self.world.run(self.world.parts.recheck.stop())
        self.assertEqual(len(self.flushLoggedErrors()), 1)
