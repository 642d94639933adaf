"""Taking a message back: an event with a seq of its own, and the content is gone in the same commit."""

from __future__ import annotations

from contextlib import suppress

from imd.core.directory import CONTROL, RECALL_OTHERS, Membership
from imd.core.message.content import Origin, recall_body, revoked_body
from imd.core.message.live import LiveConversations
from imd.core.message.ports import MessageLog
from imd.core.message.recipients import Recipient
from imd.core.message.sends import PendingSend, SendKey, Submitter
from imd.core.message.visible import first_visible
from imd.core.permission.decide import refusal
from imd.kernel.clocks import WallClock
from imd.kernel.errors import Forbidden, PayloadInvalid, ServerBusy
from imd.kernel.ids import Snowflake, check_id, is_client_msg_id
from imd.pb.message_pb2 import RECALL, REVOKED, SYSTEM, Message
from imd.pb.sync_pb2 import RecallReq

_NOT_YOURS = "there is no such message that you may take back"


class Recaller:
    """Turns a RecallReq into a send, if the caller may."""

    def __init__(
        self,
        *,
        live: LiveConversations,
        log: MessageLog,
        ids: Snowflake,
        wall_clock: WallClock,
        window_s: float,
    ) -> None:
        self._live = live
        self._log = log
        self._ids = ids
        self._wall_clock = wall_clock
        self.window_ms = int(window_s * 1000)

    async def prepare(self, recipient: Recipient, request: RecallReq, submitter: Submitter) -> PendingSend:
        """The send that takes the message back.

        :raises Forbidden: not the author, nor an admin; too late; or no such message, all alike.
        """
        conversation_id = check_id(request.conversationId, "recall.conversationId")
        if not is_client_msg_id(request.clientMsgId):
            raise PayloadInvalid("clientMsgId is missing or malformed", field="recall.clientMsgId")
        if request.seq < 1:
            raise PayloadInvalid("seq starts at 1", field="recall.seq")
        key = SendKey(conversation_id, recipient.user_id, request.clientMsgId)
        target = await self._find(key, request.seq)
        now_ms = self._wall_clock()
        origin = Origin(*key[:2], recipient.device_id, key.client_msg_id, self._ids.next(), now_ms)
        return PendingSend(
            key=key,
            body=recall_body(target.seq, target.serverMsgId, origin),
            content_hash=b"recall|%d" % request.seq,
            server_msg_id=origin.server_msg_id,
            server_time_ms=now_ms,
            submitter=submitter,
            recipient=recipient,
            revokes=(target.seq, revoked_body(target)),
            right=_needed(target, key),
        )

    async def _find(self, key: SendKey, seq: int) -> Message:
        # Whoever takes the send in judges it by what is true then. Here nobody waits for the authority unless what
        # is known says no, and may be out of date.
        known = self._live.last_known(key.conversation_id)
        if known is not None:
            with suppress(Forbidden):
                return await self._target(known, key, seq)
        try:
            live = await self._live.of_member(key.conversation_id, key.sender_id, sparing=True)
        except ServerBusy:
            target = await self._stored(key, seq)
            if target is None or target.senderId != key.sender_id:
                raise
            return await self._still_there(key, target)
        return await self._target(live.membership, key, seq)

    async def _stored(self, key: SendKey, seq: int) -> Message | None:
        """What somebody said there; None if that is nothing."""
        body = await self._log.read_one(key.conversation_id, seq)
        target = Message.FromString(body) if body is not None else None
        return None if target is None or target.type in (RECALL, SYSTEM) else target

    async def _target(self, membership: Membership | None, key: SendKey, seq: int) -> Message:
        target = await self._stored(key, seq)
        if target is None:
            raise Forbidden(_NOT_YOURS, reason="no_right")
        if seq < first_visible(membership, key.sender_id) or (
            refusal(membership, key.sender_id, _needed(target, key), self._wall_clock()) is not None
        ):
            raise Forbidden(_NOT_YOURS, reason="no_right")
        return await self._still_there(key, target)

    async def _still_there(self, key: SendKey, target: Message) -> Message:
        if target.status == REVOKED:
            # A resend of the recall that did it finds its own first result under its key.
            mine = await self._log.find(key.conversation_id, key.sender_id, [key.client_msg_id])
            if not mine:
                raise PayloadInvalid("this message is recalled already", field="recall.seq")
        elif self._wall_clock() - target.serverTime > self.window_ms:
            raise Forbidden(f"a message can be recalled for {self.window_ms // 1000} s")
        return target


def _needed(target: Message, key: SendKey) -> int:
    return CONTROL if target.senderId == key.sender_id else RECALL_OTHERS
