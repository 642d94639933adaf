"""Taking a message back: an event with a seq of its own, and the content is gone in the same commit."""

from __future__ import annotations

from imd.core.directory import ADMIN
from imd.core.message.content import Origin, recall_body, revoked_body
from imd.core.message.live import LiveConversations
from imd.core.message.ports import MessageLog
from imd.core.message.recipients import Recipient
from imd.core.message.sends import PendingSend, SendKey, Submitter
from imd.kernel.clocks import WallClock
from imd.kernel.errors import Forbidden, PayloadInvalid
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
        self._window_ms = int(window_s * 1000)

    async def prepare(self, recipient: Recipient, request: RecallReq, submitter: Submitter) -> PendingSend:
        """The send that takes the message back.

        :raises Forbidden: not the author, nor an admin; too late; or no such message, all alike.
        """
        conversation_id = check_id(request.conversationId, "recall.conversationId")
        if not is_client_msg_id(request.clientMsgId):
            raise PayloadInvalid("clientMsgId is missing or malformed", field="recall.clientMsgId")
        if request.seq < 1:
            raise PayloadInvalid("seq starts at 1", field="recall.seq")
        live = self._live.hot(conversation_id) or await self._live.load(conversation_id)
        role = None
        if live is not None and live.membership is not None:
            role = live.membership.roles.get(recipient.user_id)
        if role is None:
            raise Forbidden("this conversation does not exist or you are not in it")
        key = SendKey(conversation_id, recipient.user_id, request.clientMsgId)
        target = await self._target(key, request.seq, role)
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
        )

    async def _target(self, key: SendKey, seq: int, role: int) -> Message:
        body = await self._log.read_one(key.conversation_id, seq)
        target = Message.FromString(body) if body is not None else None
        if target is None or target.type in (RECALL, SYSTEM):
            raise Forbidden(_NOT_YOURS)
        if target.senderId != key.sender_id and role < ADMIN:
            raise Forbidden(_NOT_YOURS)
        if target.status == REVOKED:
            # A resend of the recall that did it finds its own first result under its key.
            mine = await self._log.find(key.conversation_id, key.sender_id, [key.client_msg_id])
            if not mine:
                raise PayloadInvalid("this message is recalled already", field="recall.seq")
        elif self._wall_clock() - target.serverTime > self._window_ms:
            raise Forbidden(f"a message can be recalled for {self._window_ms // 1000} s")
        return target
