"""System notices: messages that another role writes into a conversation, over the bus."""

from __future__ import annotations

from hashlib import blake2b

from google.protobuf.message import DecodeError
from twisted.internet.defer import Deferred

from imd.bus.failures import failure_of
from imd.bus.port import Bus
from imd.bus.subjects import MESSAGE_SEND_ANY
from imd.core.message.content import Origin, system_body
from imd.core.message.sends import SYSTEM_SENDER_ID, PendingSend, SendKey, Submit
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
        ids: Snowflake,
        wall_clock: WallClock,
    ) -> None:
        self._bus = bus
        self._submit = submit
        self._ids = ids
        self._wall_clock = wall_clock

    async def start(self) -> None:
        self._bus.respond(MESSAGE_SEND_ANY, self._respond)

    async def stop(self) -> None:
        """The bus forgets its responders when it stops."""

    async def _respond(self, payload: bytes) -> bytes:
        try:
            seq = await self.append(_decoded(payload))
        except ImError as error:
            return SystemAppended(failure=failure_of(error)).SerializeToString()
        return SystemAppended(seq=seq).SerializeToString()

    async def append(self, request: SystemAppend) -> int:
        """The seq of the notice, once it is durable."""
        conversation_id = check_id(request.conversationId, "conversationId")
        if not is_client_msg_id(request.clientMsgId):
            raise PayloadInvalid("clientMsgId is missing or malformed", field="clientMsgId")
        now_ms = self._wall_clock()
        key = SendKey(conversation_id, SYSTEM_SENDER_ID, request.clientMsgId)
        origin = Origin(conversation_id, SYSTEM_SENDER_ID, "", key.client_msg_id, self._ids.next(), now_ms)
        waiter = _Waiter()
        self._submit.submit(
            PendingSend(
                key=key,
                body=system_body(request.notice, origin),
                content_hash=blake2b(
                    request.notice.SerializeToString(deterministic=True), digest_size=16
                ).digest(),
                server_msg_id=origin.server_msg_id,
                server_time_ms=now_ms,
                submitter=waiter,
                recipient=None,
                version=request.version,
            )
        )
        return await waiter.seq


class _Waiter:
    """``Submitter`` for one notice."""

    def __init__(self) -> None:
        self.seq: Deferred[int] = Deferred()

    def accepted(self, send: PendingSend) -> None:
        """Not said: the other role waits for STORED."""

    def stored(self, send: PendingSend, *, duplicate: bool) -> None:
        self.seq.callback(send.seq)

    def failed(self, send: PendingSend, error: ImError) -> None:
        self.seq.errback(error)

    def delayed(self, send: PendingSend) -> None:
        """The caller's own time-out decides how long it waits."""


def _decoded(payload: bytes) -> SystemAppend:
    try:
        return SystemAppend.FromString(payload)
    except DecodeError:
        raise PayloadInvalid("not a SystemAppend") from None
