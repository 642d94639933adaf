"""Held messages from the hold to the sender's ACK, over the bus and REST, with a core that answers as it is told."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from google.protobuf.message import DecodeError
from sqlalchemy import update

from imd.bus.port import NoResponder
from imd.bus.subjects import MESSAGE_DECIDED, MESSAGE_SEND_ANY, REVIEW_HOLD, REVIEW_STATE
from imd.business.reviews.model import DAY_MS, MAX_PENDING_PER_SENDER
from imd.business.reviews.relay import CLAIM_MS, POLL_S, RETRY_MS
from imd.business.tables.policy import reviews
from imd.kernel.errors import Code
from imd.kernel.ids import direct_conversation_id
from imd.pb.bus_pb2 import (
    Decided,
    Failure,
    HeldAnswer,
    HeldMessage,
    HeldQuery,
    HoldAnswer,
    SystemAppend,
    SystemAppended,
    TokenCheck,
    TokenVerdict,
)
from imd.pb.connection_pb2 import FORBIDDEN, SERVER_BUSY
from imd.pb.message_pb2 import DELAYED, FAILED, STORED, TEXT, SendMessageReq
from tests.business.world import OPERATOR_TOKEN, Reply, World, WorldCase

HASH = bytes(range(16))


class ReviewCase(WorldCase):
    """Ann and Bea in one group; ``core`` takes what is approved, ``told`` is what senders hear."""

    def setUp(self) -> None:
        self.world: World = self.make_world(core=False)
        self.told: list[Decided] = []
        self.appended: list[SystemAppend] = []
        self.answer: SystemAppended | Exception = SystemAppended(seq=7, serverMsgId=70, serverTime=700)
        self.world.bus.respond(MESSAGE_SEND_ANY, self._append)
        self.world.bus.subscribe(MESSAGE_DECIDED, self._decided)
        ann, bea = (self.world.register(name) for name in ("ann", "bea"))
        self.ann_id, self.bea_id = int(ann["userId"]), int(bea["userId"])
        verdict = self.world.ask(
            "im.auth.token", TokenCheck(token=ann["token"], deviceId="phone"), TokenVerdict
        )
        self.ticket = verdict.ticket
        body = {"title": "Fun", "memberIds": [bea["userId"]]}
        self.group_id = self.world.call("POST", "/groups", body, token=ann["token"]).json["conversationId"]
        self.appended.clear()

    async def _append(self, payload: bytes) -> bytes:
        request = SystemAppend.FromString(payload)
        if not request.HasField("approved"):
            return SystemAppended(seq=1).SerializeToString()
        self.appended.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer.SerializeToString()

    async def _decided(self, _: str, payload: bytes) -> None:
        self.told.append(Decided.FromString(payload))

    def hold(
        self, name: str = "m", *, to: str = "", peer: int = 0, content_hash: bytes = HASH, **other: Any
    ) -> HoldAnswer:
        request = SendMessageReq(
            conversationId=to or self.group_id,
            clientMsgId=name,
            type=TEXT,
            textContent="what the heck",
            peerUserId=peer,
        )
        held: dict[str, Any] = {
            "senderId": self.ann_id,
            "deviceId": "phone",
            "request": request.SerializeToString(),
            "reason": "word",
            "ticket": self.ticket,
            "contentHash": content_hash,
        }
        return self.world.ask(REVIEW_HOLD, HeldMessage(**{**held, **other}), HoldAnswer)

    def held(self, name: str = "m") -> str:
        answer = self.hold(name)
        self.assertEqual(answer.failure.code, 0, answer.failure.message)
        return str(answer.reviewId)

    def statuses(self, *names: str) -> list[int]:
        query = HeldQuery(
            conversationId=self.group_id, senderId=self.ann_id, clientMsgIds=names, ticket=self.ticket
        )
        return list(self.world.ask(REVIEW_STATE, query, HeldAnswer).statuses)

    def operator(self, method: str, path: str, body: Any = None) -> Reply:
        return self.world.call(method, "/operator/reviews" + path, body, token=OPERATOR_TOKEN)

    def audit(self) -> Any:
        """What was written down, the newest first."""
        self.world.clock.pump([0.1] * 20)
        return self.world.operate("GET", "/audit").json["events"]

    def decide(self, review_id: str, decision: str) -> Reply:
        reply = self.operator("POST", f"/{review_id}", {"decision": decision, "note": "n", "by": "Ruth"})
        self.world.clock.pump([0.0] * 10)
        return reply

    def state(self, review_id: str) -> str:
        state: str = self.operator("GET", f"/{review_id}").json["state"]
        return state

    def passes(self, ms: int) -> None:
        """Time in which the relay looks again and again."""
        for _ in range(int(ms / 1000 / POLL_S) + 1):
            self.world.clock.advance(POLL_S)
        self.world.clock.pump([0.0] * 10)


class HoldTests(ReviewCase):
    """What core asks."""

    def test_held(self) -> None:
        """A message is held, with all that is known of it, and waits for operators in the order of its coming."""
        first, second = self.held("a"), self.held("b")
        page = self.operator("GET", "?limit=1").json
        (review,) = page["reviews"]
        self.assertEqual((review["id"], review["state"]), (first, "pending"))
        self.assertEqual(review["message"]["textContent"], "what the heck")
        self.assertEqual((review["senderId"], review["reason"]), (str(self.ann_id), "word"))
        following = self.operator("GET", f"?after={page['next']}").json
        self.assertEqual([one["id"] for one in following["reviews"]], [second])
        self.assertEqual(following["next"], "")

    def test_again(self) -> None:
        """The same message again is the same review; another message under its id is a conflict."""
        first, again = self.hold(), self.hold()
        self.assertEqual((first.reviewId, first.status), (again.reviewId, DELAYED))
        failure = self.hold(content_hash=bytes(16)).failure
        self.assertEqual(failure.code, Code.IDEMPOTENT_CONFLICT)

    def test_status(self) -> None:
        """Core learns how each stands; what was never held has no status."""
        self.decide(self.held("a"), "approve")
        self.decide(self.held("b"), "refuse")
        self.held("c")
        self.assertEqual(self.statuses("a", "b", "c", "x"), [STORED, FAILED, DELAYED, 0])

    def test_foreigners(self) -> None:
        """Nobody has messages held for conversations they are not in, or in the name of others."""
        self.assertEqual(self.hold(to="g_0123").failure.code, Code.FORBIDDEN)
        self.assertEqual(self.hold(senderId=self.bea_id).failure.code, Code.AUTH_FAILED)
        self.assertEqual(self.hold(ticket=b"x").failure.code, Code.AUTH_FAILED)
        query = HeldQuery(
            conversationId=self.group_id, senderId=self.bea_id, clientMsgIds=["m"], ticket=self.ticket
        )
        self.assertEqual(self.world.ask(REVIEW_STATE, query, HeldAnswer).failure.code, Code.AUTH_FAILED)
        audited = [(one["action"], one["reason"], one["actorId"]) for one in self.audit()]
        expected = [
            ("review.state", "anothers_ticket", str(self.bea_id)),
            ("review.hold", "forged_ticket", str(self.ann_id)),
            ("review.hold", "anothers_ticket", str(self.bea_id)),
        ]
        self.assertEqual(audited, expected)

    def test_first_words(self) -> None:
        """The first message to somebody can be held before there is a conversation; to another one it cannot."""
        direct = direct_conversation_id(self.ann_id, self.bea_id)
        self.assertEqual(self.hold(to=direct, peer=self.bea_id).failure.code, 0)
        self.assertEqual(self.hold("n", to="p_0123", peer=self.bea_id).failure.code, Code.FORBIDDEN)

    def test_nonsense(self) -> None:
        """What is no message is refused."""
        for wrong in ({"request": b"\xff"}, {"deviceId": ""}, {"contentHash": b"x"}, {"request": b""}):
            self.assertEqual(self.hold(**wrong).failure.code, Code.PAYLOAD_INVALID, wrong)

    def test_too_many(self) -> None:
        """One sender does not fill the reviewers' desk."""
        for number in range(MAX_PENDING_PER_SENDER):
            self.held(f"m{number}")
        self.assertEqual(self.hold().failure.code, Code.RATE_LIMITED)
        self.assertEqual(self.hold("m0").failure.code, 0)


class DecisionTests(ReviewCase):
    """What operators decide, and what becomes of it."""

    def test_approved(self) -> None:
        """An approved message goes into the conversation in its sender's name, and the sender hears STORED."""
        review_id = self.held()
        self.assertEqual(self.decide(review_id, "approve").json["state"], "approved")
        (request,) = self.appended
        self.assertEqual((request.conversationId, request.clientMsgId), (self.group_id, "m"))
        self.assertEqual((request.approved.senderId, request.approved.contentHash), (self.ann_id, HASH))
        review = self.operator("GET", f"/{review_id}").json
        self.assertEqual((review["state"], review["seq"], review["decidedBy"]), ("delivered", "7", "Ruth"))
        details = {event["action"]: json.loads(event["detail"]) for event in self.audit() if event["detail"]}
        self.assertIn({"by": "Ruth", "note": "n"}, details.values())
        self.assertEqual(details["operator.decideReview"], {"operator": "bootstrap"})
        (told,) = self.told
        self.assertEqual(told.senderId, self.ann_id)
        ack = told.ack
        self.assertEqual((ack.status, ack.seq, ack.serverMsgId, ack.serverTime), (STORED, 7, 70, 700))

    def test_first_words(self) -> None:
        """The first message to somebody opens the conversation when it is approved, and not before."""
        direct = direct_conversation_id(self.ann_id, self.bea_id)
        review_id = str(self.hold(to=direct, peer=self.bea_id).reviewId)
        bea = self.world.login("bea").json["token"]
        listed = [
            one["conversationId"]
            for one in self.world.call("GET", "/conversations", token=bea).json["conversations"]
        ]
        self.assertEqual(listed, [self.group_id])
        self.decide(review_id, "approve")
        (request,) = self.appended
        self.assertEqual((request.conversationId, request.version), (direct, 1))
        listed = [
            one["conversationId"]
            for one in self.world.call("GET", "/conversations", token=bea).json["conversations"]
        ]
        self.assertEqual(sorted(listed), sorted([self.group_id, direct]))

    def test_refused(self) -> None:
        """A refused message is never sent, and the sender hears FAILED, and why."""
        review_id = self.held()
        self.decide(review_id, "refuse")
        self.assertEqual((self.appended, self.state(review_id)), ([], "refused"))
        (told,) = self.told
        self.assertEqual((told.ack.status, told.ack.error.reason), (FAILED, "content"))

    def test_expired(self) -> None:
        """What nobody looks at for a week fails."""
        review_id = self.held()
        self.world.clock.advance(7 * DAY_MS / 1000)
        self.passes(1000)
        self.assertEqual(self.state(review_id), "expired")
        self.assertEqual([told.ack.status for told in self.told], [FAILED])

    def test_too_late(self) -> None:
        """A decision stands: the same again changes nothing, another one is refused."""
        review_id = self.held()
        self.decide(review_id, "approve")
        self.assertEqual(self.decide(review_id, "approve").status, 200)
        self.assertEqual(self.decide(review_id, "refuse").status, 409)
        self.assertEqual((len(self.appended), len(self.told)), (1, 1))

    def test_may_not_write_any_more(self) -> None:
        """Whoever may not write when their message is approved has it refused."""
        failure = Failure(code=FORBIDDEN, message="you are muted", reason="muted")
        self.answer = SystemAppended(failure=failure)
        review_id = self.held()
        self.decide(review_id, "approve")
        review = self.operator("GET", f"/{review_id}").json
        self.assertEqual((review["state"], review["note"]), ("refused", "n (not delivered: you are muted)"))
        self.assertEqual([told.ack.status for told in self.told], [FAILED])

    def test_core_away(self) -> None:
        """While core cannot be reached, or is busy, an approved message waits, and is delivered once."""
        review_id = self.held()
        self.answer = NoResponder()
        self.decide(review_id, "approve")
        self.answer = SystemAppended(failure=Failure(code=SERVER_BUSY, message="busy", retryable=True))
        self.passes(RETRY_MS)
        self.assertEqual((self.state(review_id), self.told), ("approved", []))
        self.answer = SystemAppended(seq=7)
        self.passes(RETRY_MS)
        self.assertEqual((self.state(review_id), len(self.told)), ("delivered", 1))
        self.assertEqual(len(self.flushLoggedErrors(NoResponder)), 1)

    def test_broken(self) -> None:
        """One that cannot be read any more does not keep the others from being delivered."""
        self.answer = NoResponder()
        broken, whole = self.held("a"), self.held("b")
        for review_id in (broken, whole):
            self.decide(review_id, "approve")
        self.flushLoggedErrors(NoResponder)
        self.world.run(self.world.database.write(partial(_break, review_id=int(broken))))
        self.answer = SystemAppended(seq=7)
        self.passes(RETRY_MS)
        self.assertEqual((self.state(whole), len(self.told)), ("delivered", 1))
        self.assertGreaterEqual(len(self.flushLoggedErrors(DecodeError)), 1)

    def test_died_in_between(self) -> None:
        """A node that dies after the delivery leaves it to another, which tells the sender the same."""
        review_id = self.held()
        self.decide(review_id, "approve")
        self.told.clear()
        self.world.run(self.world.database.write(_forget_that_it_was_told))
        self.passes(CLAIM_MS)
        (told,) = self.told
        self.assertEqual((told.ack.status, told.ack.seq, told.ack.serverMsgId), (STORED, 7, 70))
        self.assertEqual(self.state(review_id), "delivered")

    def test_forgotten(self) -> None:
        """A month later a review is forgotten."""
        review_id = self.held()
        self.decide(review_id, "refuse")
        self.world.clock.advance(30 * DAY_MS / 1000)
        self.passes(1000)
        self.assertEqual(self.operator("GET", f"/{review_id}").status, 404)

    def test_not_found(self) -> None:
        """A review that is not there, or is no number, is not found."""
        for review_id in ("1", "x", "9" * 30):
            self.assertEqual(self.operator("GET", f"/{review_id}").status, 404)
            self.assertEqual(self.decide(review_id, "approve").status, 404)

    def test_operators_only(self) -> None:
        """A user's token opens nothing here."""
        token = self.world.login("ann").json["token"]
        self.assertEqual(self.world.call("GET", "/operator/reviews", token=token).status, 401)

    def test_wrong_questions(self) -> None:
        """States, limits and decisions that there are not are refused."""
        for query in ("?state=lost", "?state=PENDING", "?limit=0", "?after=x"):
            self.assertEqual(self.operator("GET", query).status, 400, query)
        self.assertEqual(self.decide(self.held(), "maybe").status, 400)


def _break(connection: Any, *, review_id: int) -> None:
    connection.execute(update(reviews).where(reviews.c.id == review_id).values(request=b"\xff"))


def _forget_that_it_was_told(connection: Any) -> None:
    connection.execute(update(reviews).values(told=0, due_at_ms=0))
