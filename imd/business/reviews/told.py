"""What the outside hears of reviews, and what a sender's devices do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict

from imd.business.reviews.model import STATUS, Review, State
from imd.business.webhooks.model import Event, payload_of
from imd.kernel.errors import Code
from imd.pb.bus_pb2 import Decided
from imd.pb.connection_pb2 import Error
from imd.pb.delivery_pb2 import Ack
from imd.pb.message_pb2 import STORED, SendMessageReq

HELD, DECIDED = "review.held", "review.decided"
#: As ``ImError.reason`` of all that content policy refuses.
CONTENT = "content"


def events_of(review: Review) -> Sequence[Event]:
    """That a message is held, or what has become of it; nothing while it is on its way."""
    if review.state is State.APPROVED:
        return ()
    kind = HELD if review.state is State.PENDING else DECIDED
    review_id = str(review.review_id)
    body: dict[str, Any] = {
        "review": {
            "id": review_id,
            "state": review.state.name.lower(),
            "conversationId": review.held.conversation_id,
            "senderId": str(review.held.sender_id),
            "clientMsgId": review.held.client_msg_id,
            "reason": review.held.reason,
            "note": review.note,
            "seq": str(review.seq),
        }
    }
    if kind == HELD:
        # In the form of im.v1.json, as of all messages in events.
        body["message"] = MessageToDict(SendMessageReq.FromString(review.held.request))
    event_id = f"review:{review_id}:{review.state.name.lower()}"
    at_ms = review.decided_at_ms or review.created_at_ms
    return (
        Event(
            event_id=event_id,
            order_key=f"review:{review_id}",
            kind=kind,
            payload=payload_of(event_id, kind, at_ms, body),
        ),
    )


def decided(review: Review) -> Decided:
    """What core tells the devices of the sender."""
    held = review.held
    status = STATUS[review.state]
    ack = Ack(
        clientMsgId=held.client_msg_id,
        conversationId=held.conversation_id,
        status=status,
        seq=review.seq,
    )
    if status != STORED:
        text = "this message was not looked at in time"
        if review.state is State.REFUSED:
            text = "this message is against the rules for content here"
        ack.error.CopyFrom(Error(code=int(Code.FORBIDDEN), message=text, reason=CONTENT))  # type: ignore[arg-type]
    return Decided(senderId=held.sender_id, ack=ack)
