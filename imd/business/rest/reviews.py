"""The operations by which operators look at what is held, and decide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
from google.protobuf.json_format import MessageToDict
from msgspec import Meta, Struct

from imd.bus.audit import DONE, MEDIUM, AuditEntry
from imd.business.audit.ports import Audit
from imd.business.rest.bodies import Milliseconds, Request
from imd.business.rest.operation import Asked, Operation, Parameter
from imd.business.rest.problems import Unanswerable
from imd.business.reviews.model import (
    MAX_BY,
    MAX_NOTE,
    REVIEWS_PER_PAGE,
    Decision,
    Input,
    Review,
    State,
)
from imd.business.reviews.ports import Reviews
from imd.kernel.clocks import WallClock
from imd.kernel.errors import PayloadInvalid
from imd.pb.message_pb2 import SendMessageReq

StateName = Literal["pending", "approved", "delivered", "refused", "expired"]

REVIEW_ID = Parameter("id", {"type": "string"}, "A review's id.")
STATE = Parameter(
    "state",
    {"type": "string", "enum": [state.name.lower() for state in State]},
    "Only those; else pending ones.",
)
AFTER = Parameter("after", {"type": "string"}, "The page's ``next`` of the page before.")
LIMIT = Parameter("limit", {"type": "integer", "minimum": 1, "maximum": REVIEWS_PER_PAGE}, "At most so many.")


class DecisionBody(Request):
    """What shall become of a message."""

    decision: Literal["approve", "refuse"]
    note: Annotated[str, Meta(max_length=MAX_NOTE, description="Why; for those who look it up later.")] = ""
    by: Annotated[str, Meta(max_length=MAX_BY, description="Who decides, by whatever name.")] = ""


class ReviewAnswer(Struct):
    """A message that was held, and how it stands."""

    id: str
    state: StateName
    conversationId: str
    senderId: str
    deviceId: str
    clientMsgId: str
    reason: Annotated[str, Meta(description="Why it is held.")]
    message: Annotated[dict[str, Any], Meta(description="im.v1.SendMessageReq, in the form of im.v1.json.")]
    createdAt: Milliseconds
    decidedAt: Annotated[int, Meta(description="Milliseconds since 1970; 0: not yet.")]
    decidedBy: str
    note: str
    seq: Annotated[str, Meta(description="In the conversation, once it is delivered; until then 0.")]


class ReviewsAnswer(Struct):
    """A page, oldest first; ``next`` goes into ``after``, empty: that was all."""

    reviews: list[ReviewAnswer]
    next: str


class ReviewApi:
    """For operators only.

    :param decided: somebody who goes on with what was decided.
    """

    def __init__(
        self, *, reviews: Reviews, decided: Callable[[], None], audit: Audit, wall_clock: WallClock
    ) -> None:
        self._reviews = reviews
        self._decided = decided
        self._audit = audit
        self._wall_clock = wall_clock

    def operations(self) -> list[Operation]:
        """All of them."""
        one = "/operator/reviews/{id}"
        return [
            Operation("GET", "/operator/reviews", "reviews", "Messages that wait for a decision, or did",
                      self.page, ReviewsAnswer, query_parameters=(STATE, AFTER, LIMIT), operator=True),
            Operation("GET", one, "review", "One of them", self.one, ReviewAnswer,
                      path_parameters=(REVIEW_ID,), operator=True),
            Operation("POST", one, "decideReview", "Approve or refuse; the same once more changes nothing",
                      self.decide, ReviewAnswer, body=DecisionBody, path_parameters=(REVIEW_ID,),
                      operator=True),
        ]  # fmt: skip

    async def page(self, asked: Asked) -> ReviewsAnswer:
        name = asked.query.get("state", "pending")
        state = State.__members__.get(name.upper())
        if state is None or name != name.lower():
            raise PayloadInvalid("state is none of those there are", field="state")
        limit = _number(asked.query.get("limit", str(REVIEWS_PER_PAGE)), "limit")
        if not 1 <= limit <= REVIEWS_PER_PAGE:
            raise PayloadInvalid(f"limit must be 1 to {REVIEWS_PER_PAGE}", field="limit")
        after = _number(asked.query.get("after") or "0", "after")
        found = await self._reviews.page(state, after_id=after, limit=limit + 1)
        page = [_review(review) for review in found[:limit]]
        return ReviewsAnswer(page, page[-1].id if len(found) > limit else "")

    async def one(self, asked: Asked) -> ReviewAnswer:
        review = await self._reviews.one(_id(asked))
        if review is None:
            raise _no_such_review()
        return _review(review)

    async def decide(self, asked: Asked) -> ReviewAnswer:
        body: DecisionBody = asked.body
        decision = Decision(Input(body.decision), body.by or _name(asked), body.note)
        review = await self._reviews.decide(_id(asked), decision, self._wall_clock())
        if review is None:
            raise _no_such_review()
        self._decided()
        self._audit.record(
            AuditEntry(
                action=f"review.{body.decision}",
                decision=DONE,
                reason=review.held.reason,
                subject_id=review.held.sender_id,
                conversation_id=review.held.conversation_id,
                request_id=review.held.client_msg_id,
                level=MEDIUM,
                detail=msgspec.json.encode({"by": decision.by, "note": decision.note}).decode(),
            )
        )
        return _review(review)


def _id(asked: Asked) -> int:
    try:
        return _number(asked.path["id"], "id")
    except PayloadInvalid:
        raise _no_such_review() from None


def _no_such_review() -> Unanswerable:
    return Unanswerable(404, "there is no such review, or it is forgotten by now", field="id")


def _number(text: str, field: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise PayloadInvalid(f"{field} is no number", field=field)
    return int(text)


def _review(review: Review) -> ReviewAnswer:
    held = review.held
    return ReviewAnswer(
        id=str(review.review_id),
        state=review.state.name.lower(),  # type: ignore[arg-type]
        conversationId=held.conversation_id,
        senderId=str(held.sender_id),
        deviceId=held.device_id,
        clientMsgId=held.client_msg_id,
        reason=held.reason,
        message=MessageToDict(SendMessageReq.FromString(held.request)),
        createdAt=review.created_at_ms,
        decidedAt=review.decided_at_ms,
        decidedBy=review.decided_by,
        note=review.note,
        seq=str(review.seq),
    )


def _name(asked: Asked) -> str:
    return asked.operator.name if asked.operator is not None else "operator"
