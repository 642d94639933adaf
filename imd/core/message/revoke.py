"""The server takes a message back that should not have been let in: the same event as a recall, by no person."""

from __future__ import annotations

from imd.core.directory import MEMBER, P2P, Membership
from imd.core.message.content import Origin, recall_body, revoked_body
from imd.core.message.ports import MessageLog
from imd.core.message.sends import SYSTEM_SENDER_ID, PendingSend, SendKey, Submitter
from imd.kernel.errors import PayloadInvalid
from imd.pb.bus_pb2 import Revocation
from imd.pb.message_pb2 import RECALL, REVOKED, SYSTEM, Message

#: There is nothing left to take back: never stored, or gone already. The other role need not try again.
NOTHING_THERE = "nothing_there"


class Revoker:
    """Turns a ``Revocation`` into a send; whoever asks has decided already."""

    def __init__(self, *, log: MessageLog) -> None:
        self._log = log

    async def prepare(self, revocation: Revocation, origin: Origin, submitter: Submitter) -> PendingSend:
        """The send that takes the message back. ``origin`` names it: once is enough.

        :raises PayloadInvalid: with ``NOTHING_THERE`` as reason.
        """
        target = await self._target(revocation, origin)
        return PendingSend(
            key=SendKey(origin.conversation_id, SYSTEM_SENDER_ID, origin.client_msg_id),
            body=recall_body(target.seq, target.serverMsgId, origin, reason=revocation.reason),
            content_hash=b"revoke|%d" % target.seq,
            server_msg_id=origin.server_msg_id,
            server_time_ms=origin.server_time_ms,
            submitter=submitter,
            recipient=None,
            revokes=(target.seq, revoked_body(target)),
            peer_user_id=revocation.peerUserId,
        )

    async def _target(self, revocation: Revocation, origin: Origin) -> Message:
        conversation_id = origin.conversation_id
        seq = revocation.seq
        if not seq:
            name = revocation.clientMsgId
            found = await self._log.find(conversation_id, revocation.senderId, [name])
            seq = found[name].seq if name in found else 0
        body = await self._log.read_one(conversation_id, seq) if seq > 0 else None
        target = Message.FromString(body) if body is not None else None
        if target is None or target.type in (RECALL, SYSTEM):
            raise _nothing_there()
        if target.status != REVOKED:
            return target
        # A repeat of the request that did it finds its own first result under its key.
        if not await self._log.find(conversation_id, SYSTEM_SENDER_ID, [origin.client_msg_id]):
            raise _nothing_there()
        return target


def told_of(send: PendingSend) -> Membership:
    """Who hears of it where the conversation never came to be: the two who were taken for its members."""
    assert send.revokes is not None
    sender_id = Message.FromString(send.revokes[1]).senderId
    people = [sender_id, send.peer_user_id] if send.peer_user_id else [sender_id]
    return Membership(send.key.conversation_id, P2P, 0, dict.fromkeys(people, MEMBER))


def _nothing_there() -> PayloadInvalid:
    return PayloadInvalid("there is no such message to take back", field="revokes", reason=NOTHING_THERE)
