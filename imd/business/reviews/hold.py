"""Answers core: hold this message until somebody has looked at it; what has become of those?"""

from __future__ import annotations

from google.protobuf.message import DecodeError

from imd.bus.answering import respond
from imd.bus.audit import HIGH, REFUSED, AuditEntry
from imd.bus.port import Bus
from imd.bus.subjects import REVIEW_HOLD, REVIEW_STATE
from imd.business.accounts.model import Caller
from imd.business.audit.ports import Audit
from imd.business.permission.authority import SEND_SCOPE
from imd.business.permission.check import CheckRights
from imd.business.permission.tickets import TicketRefused, Tickets
from imd.business.reviews.model import STATUS, Held, same_content
from imd.business.reviews.ports import Reviews
from imd.kernel.clocks import WallClock
from imd.kernel.errors import Forbidden, PayloadInvalid
from imd.kernel.ids import Snowflake, check_id, direct_conversation_id, is_client_msg_id
from imd.pb.bus_pb2 import MEDIA, MESSAGE, HeldAnswer, HeldMessage, HeldQuery, HoldAnswer
from imd.pb.message_pb2 import MESSAGE_STATUS_UNSPECIFIED, SendMessageReq

#: As many as a client may ask for at once.
MAX_IDS = 200
MAX_REASON = 200
CONTENT_HASH_BYTES = 16


class HoldForReview:
    """A stage. An expected no is a ``Failure`` in the answer, never an exception."""

    def __init__(
        self,
        *,
        bus: Bus,
        reviews: Reviews,
        check: CheckRights,
        tickets: Tickets,
        audit: Audit,
        ids: Snowflake,
        wall_clock: WallClock,
    ) -> None:
        self._bus = bus
        self._reviews = reviews
        self._check = check
        self._tickets = tickets
        self._audit = audit
        self._ids = ids
        self._wall_clock = wall_clock

    async def start(self) -> None:
        """From here on, core gets answers."""
        respond(self._bus, REVIEW_HOLD, HeldMessage, HoldAnswer, self.hold)
        respond(self._bus, REVIEW_STATE, HeldQuery, HeldAnswer, self.states)

    async def stop(self) -> None:
        """The bus stops asking when it stops."""

    async def hold(self, given: HeldMessage) -> HoldAnswer:
        """Durable when this returns, and once however often it is asked."""
        held, request = _held(given)
        holder = await self._proven(
            REVIEW_HOLD, given.ticket, held.sender_id, held.conversation_id, held.client_msg_id
        )
        if SEND_SCOPE not in holder.scopes:
            raise Forbidden("this token is not for sending messages", reason="no_scope")
        await self._check_sender(held, request)
        review = await self._reviews.hold(self._ids.next(), held, self._wall_clock())
        same_content(review, held)
        return HoldAnswer(reviewId=review.review_id, status=STATUS[review.state])

    async def _proven(
        self, subject: str, ticket: bytes, sender_id: int, conversation_id: str, request_id: str
    ) -> Caller:
        """Who sends is who core says; whoever forges is written down."""
        try:
            return await self._tickets.holder(ticket, sender_id)
        except TicketRefused as refused:
            self._audit.record(
                AuditEntry(
                    subject.removeprefix("im."),
                    REFUSED,
                    reason=refused.why,
                    actor_id=sender_id,
                    conversation_id=conversation_id,
                    request_id=request_id,
                    level=HIGH,
                )
            )
            raise

    async def _check_sender(self, held: Held, request: SendMessageReq) -> None:
        """Nobody fills the desk of reviewers with what could not be sent anyway; it is judged again when it is sent."""
        right = MEDIA if request.HasField("mediaRef") else MESSAGE
        ((refusal, version),) = await self._check([(held.conversation_id, held.sender_id, right)])
        if refusal is None:
            return
        if not version and request.peerUserId > 0:
            # The first message to somebody; the conversation is made with it.
            direct_id = direct_conversation_id(held.sender_id, request.peerUserId)
            if held.conversation_id == direct_id:
                return
        raise refusal

    async def states(self, query: HeldQuery) -> HeldAnswer:
        """Of the sender's own messages in one conversation."""
        client_msg_ids = list(query.clientMsgIds[: MAX_IDS + 1])
        if len(client_msg_ids) > MAX_IDS:
            raise PayloadInvalid(f"at most {MAX_IDS} ids at once", field="clientMsgIds")
        await self._proven(REVIEW_STATE, query.ticket, query.senderId, query.conversationId, "")
        states = await self._reviews.states(query.conversationId, query.senderId, client_msg_ids)
        return HeldAnswer(
            statuses=[
                STATUS[states[each]] if each in states else MESSAGE_STATUS_UNSPECIFIED
                for each in client_msg_ids
            ]
        )


def _held(given: HeldMessage) -> tuple[Held, SendMessageReq]:
    try:
        request = SendMessageReq.FromString(given.request)
    except DecodeError:
        raise PayloadInvalid("not a SendMessageReq", field="request") from None
    check_id(request.conversationId, "request.conversationId")
    check_id(given.deviceId, "deviceId")
    if not is_client_msg_id(request.clientMsgId):
        raise PayloadInvalid("clientMsgId is missing or malformed", field="request.clientMsgId")
    if given.senderId <= 0 or len(given.contentHash) != CONTENT_HASH_BYTES:
        raise PayloadInvalid("this is no message of anybody", field="senderId")
    held = Held(
        conversation_id=request.conversationId,
        sender_id=given.senderId,
        device_id=given.deviceId,
        client_msg_id=request.clientMsgId,
        request=given.request,
        content_hash=given.contentHash,
        reason=given.reason[:MAX_REASON],
    )
    return held, request
