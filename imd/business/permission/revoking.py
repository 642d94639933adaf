"""Having a message taken back by core, and telling its sender."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from imd.bus.failures import error_of
from imd.bus.port import Bus, BusFailure, NoResponder
from imd.bus.subjects import DEFAULT_TIMEOUT_S, MESSAGE_DECIDED, message_send, shard_of
from imd.kernel.errors import PayloadInvalid, ServerBusy
from imd.kernel.timeouts import TimeoutError
from imd.pb.bus_pb2 import AuditEvent, Decided, Revocation, SystemAppend, SystemAppended
from imd.pb.connection_pb2 import FORBIDDEN, Error
from imd.pb.delivery_pb2 import Ack
from imd.pb.message_pb2 import REVOKED

_TOLD = "this message was let through in doubt, and is taken back"


class Revoking:
    """Asks the owner of the conversation; once it is done, the sender's devices hear REVOKED, whatever node they are
    at. The members hear of it as of every recall."""

    def __init__(self, *, bus: Bus) -> None:
        self._bus = bus

    async def revoke(self, event: AuditEvent, reason: str, *, peer_id: int = 0) -> bool:
        """Whether it is gone by this; False: it was gone already, or never there.

        :param peer_id: the other one of a 1:1 conversation.
        :raises ServerBusy: it may be done or not; again is harmless.
        :raises ImError: core will not, however often it is asked.
        """
        request = SystemAppend(
            conversationId=event.conversationId,
            # Names what is taken back, so that a repeat writes nothing twice.
            clientMsgId=f"revoke:{event.seq}",
            revokes=Revocation(
                seq=event.seq,
                senderId=event.actorId,
                clientMsgId=event.requestId,
                reason=reason,
                peerUserId=peer_id,
            ),
        )
        subject = message_send(shard_of(event.conversationId))
        try:
            payload = await self._bus.request(
                subject, request.SerializeToString(), timeout_s=DEFAULT_TIMEOUT_S
            )
            failure = SystemAppended.FromString(payload).failure
        except (NoResponder, BusFailure, TimeoutError, DecodeError) as error:
            # The shard may have no owner just now, or the answer was lost.
            raise ServerBusy(f"core does not take a message back: {error!r}") from error
        if failure.code:
            refused = error_of(failure)
            if isinstance(refused, PayloadInvalid):
                return False
            raise refused
        self._tell(event, reason)
        return True

    def _tell(self, event: AuditEvent, reason: str) -> None:
        """At most once: a device that is away finds the message gone when it syncs."""
        ack = Ack(
            clientMsgId=event.requestId,
            serverMsgId=event.serverMsgId,
            seq=event.seq,
            status=REVOKED,
            conversationId=event.conversationId,
            error=Error(code=FORBIDDEN, message=_TOLD, reason=reason),
        )
        self._bus.publish(MESSAGE_DECIDED, Decided(senderId=event.actorId, ack=ack).SerializeToString())
