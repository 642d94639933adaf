"""A review: its states, and what may happen in each."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, IntEnum
from typing import NamedTuple

from imd.kernel.errors import IdempotentConflict, ImError, PayloadInvalid
from imd.pb.message_pb2 import DELAYED, FAILED, STORED

DAY_MS = 24 * 3600 * 1000
#: What nobody has looked at by then is not sent any more.
EXPIRES_AFTER_MS = 7 * DAY_MS
#: So long a decision can be looked up, and a resend of the message is answered by it.
KEPT_AFTER_MS = 30 * DAY_MS
#: Undecided messages of one sender; a person reads them all.
MAX_PENDING_PER_SENDER = 100
MAX_NOTE = 500
MAX_BY = 64
REVIEWS_PER_PAGE = 100


class State(IntEnum):
    """How a review stands; the numbers are stored."""

    PENDING = 0
    #: On its way into the conversation.
    APPROVED = 1
    DELIVERED = 2
    REFUSED = 3
    EXPIRED = 4


class Input(Enum):
    """What may happen to a review."""

    APPROVE = "approve"
    REFUSE = "refuse"
    #: Nobody has decided for too long.
    EXPIRE = "expire"
    #: Core has it, with its seq.
    STORED = "stored"
    #: Core does not take it: the sender may not write there any more.
    REJECTED = "rejected"


#: What is not here cannot happen, or comes too late.
TRANSITIONS: Mapping[tuple[State, Input], State] = {
    (State.PENDING, Input.APPROVE): State.APPROVED,
    (State.PENDING, Input.REFUSE): State.REFUSED,
    (State.PENDING, Input.EXPIRE): State.EXPIRED,
    (State.APPROVED, Input.STORED): State.DELIVERED,
    (State.APPROVED, Input.REJECTED): State.REFUSED,
    # The same decision once more changes nothing, and neither does what two nodes have done both.
    (State.APPROVED, Input.APPROVE): State.APPROVED,
    (State.DELIVERED, Input.APPROVE): State.DELIVERED,
    (State.DELIVERED, Input.STORED): State.DELIVERED,
    (State.REFUSED, Input.REFUSE): State.REFUSED,
    (State.REFUSED, Input.REJECTED): State.REFUSED,
    (State.EXPIRED, Input.EXPIRE): State.EXPIRED,
}

#: As senders see it, in ACKs.
STATUS = {
    State.PENDING: DELAYED,
    State.APPROVED: DELAYED,
    State.DELIVERED: STORED,
    State.REFUSED: FAILED,
    State.EXPIRED: FAILED,
}
FINAL = frozenset((State.DELIVERED, State.REFUSED, State.EXPIRED))


class Held(NamedTuple):
    """A message that is to be held. ``request`` is a serialised ``im.v1.SendMessageReq``, ``content_hash`` that of
    what the client sent."""

    conversation_id: str
    sender_id: int
    device_id: str
    client_msg_id: str
    request: bytes
    content_hash: bytes
    reason: str


class Review(NamedTuple):
    """One review, whole."""

    review_id: int
    held: Held
    state: State
    created_at_ms: int
    decided_at_ms: int
    decided_by: str
    note: str
    #: In the conversation, once it is delivered.
    seq: int


class Decision(NamedTuple):
    """What an operator says."""

    input: Input
    by: str
    note: str


class NoSuchReview(PayloadInvalid):
    """There is no review of this id, or it is forgotten by now."""

    def __init__(self) -> None:
        super().__init__("there is no such review", field="id")


def after(state: State, happened: Input) -> State:
    """The state that follows.

    :raises IdempotentConflict: it was decided otherwise.
    """
    following = TRANSITIONS.get((state, happened))
    if following is None:
        raise IdempotentConflict(f"this review is {state.name.lower()} already", field="decision")
    return following


def same_content(review: Review, held: Held) -> None:
    """:raises IdempotentConflict: the id was used for another message."""
    if review.held.content_hash != held.content_hash:
        error: ImError = IdempotentConflict(
            "this clientMsgId was used for another message", field="send.clientMsgId"
        )
        raise error
