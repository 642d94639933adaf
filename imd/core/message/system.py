"""What another role writes into a conversation, over the bus: notices, recalls, and what was held and approved."""

from __future__ import annotations

from hashlib import blake2b

from google.protobuf.message import DecodeError
from twisted.internet.defer import Deferred

from imd.bus.failures import failure_of
from imd.bus.port import Bus
from imd.bus.subjects import MESSAGE_SEND_ANY
from imd.core.message.content import Origin, system_body
from imd.core.message.revoke import Revoker
from imd.core.message.sends import SYSTEM_SENDER_ID, PendingSend, SendKey, Submit, Submitter
from imd.core.screening.approved import approved_send
from imd.kernel.clocks import WallClock
from imd.kernel.errors import ImError, PayloadInvalid
from imd.kernel.ids import Snowflake, check_id, is_client_msg_id
from imd.pb.bus_pb2 import SystemAppend, SystemAppended


class SystemMessages:
    """A stage that takes ``im.message.send.*``."""

    def __init__(
        self,
        *,
        bus: Bus,
        submit: Submit,
        revoker: Revoker,
        ids: Snowflake,
        wall_clock: WallClock,
    ) -> None:
        self._bus = bus
        self._submit = submit
        self._revoker = revoker
        self._ids = ids
        self._wall_clock = wall_clock

    async def start(self) -> None:
        self._bus.respond(MESSAGE_SEND_ANY, self._respond)

    async def stop(self) -> None:
        """The bus forgets its responders when it stops."""

    async def _respond(self, payload: bytes) -> bytes:
        try:
            stored = await self.append(_decoded(payload))
        except ImError as error:
            return SystemAppended(failure=failure_of(error)).SerializeToString()
        appended = SystemAppended(
            seq=stored.seq, serverMsgId=stored.server_msg_id, serverTime=stored.server_time_ms
        )
        return appended.SerializeToString()

    async def append(self, request: SystemAppend) -> PendingSend:
        """The message, once it is durable."""
        conversation_id = check_id(request.conversationId, "conversationId")
        if not is_client_msg_id(request.clientMsgId):
            raise PayloadInvalid("clientMsgId is missing or malformed", field="clientMsgId")
        waiter = _Waiter()
        origin = Origin(
            conversation_id, SYSTEM_SENDER_ID, "", request.clientMsgId, self._ids.next(), self._wall_clock()
        )
        if request.HasField("revokes"):
            send = await self._revoker.prepare(request.revokes, origin, waiter)
        elif request.HasField("approved"):
            send = approved_send(request.approved, origin, waiter, version=request.version)
        else:
            send = _notice_send(request, origin, waiter)
        self._submit.submit(send)
        return await waiter.stored_as


def _notice_send(request: SystemAppend, origin: Origin, waiter: Submitter) -> PendingSend:
    notice = request.notice
    return PendingSend(
        key=SendKey(origin.conversation_id, SYSTEM_SENDER_ID, origin.client_msg_id),
        body=system_body(notice, origin),
        content_hash=blake2b(notice.SerializeToString(deterministic=True), digest_size=16).digest(),
        server_msg_id=origin.server_msg_id,
        server_time_ms=origin.server_time_ms,
        submitter=waiter,
        recipient=None,
        version=request.version,
    )


class _Waiter:
    """``Submitter`` for one message."""

    def __init__(self) -> None:
        self.stored_as: Deferred[PendingSend] = Deferred()

    def accepted(self, send: PendingSend) -> None:
        """Not said: the other role waits for STORED."""

    def stored(self, send: PendingSend, *, duplicate: bool) -> None:
        self.stored_as.callback(send)

    def failed(self, send: PendingSend, error: ImError) -> None:
        self.stored_as.errback(error)

    def delayed(self, send: PendingSend) -> None:
        """The caller's own time-out decides how long it waits."""


def _decoded(payload: bytes) -> SystemAppend:
    try:
        return SystemAppend.FromString(payload)
    except DecodeError:
        raise PayloadInvalid("not a SystemAppend") from None
