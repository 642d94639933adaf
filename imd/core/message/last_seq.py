"""How far a conversation has come, for a role that keeps no messages: ``im.message.history``."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from imd.bus.failures import failure_of
from imd.bus.port import Bus
from imd.bus.subjects import MESSAGE_HISTORY
from imd.core.message.ports import MessageLog
from imd.kernel.errors import ImError, PayloadInvalid
from imd.kernel.ids import check_id
from imd.pb.bus_pb2 import HistoryAnswer, HistoryQuery


class LastSeqs:
    """A stage that answers what is durable by now; any node can, for the log is shared."""

    def __init__(self, *, bus: Bus, log: MessageLog) -> None:
        self._bus = bus
        self._log = log

    async def start(self) -> None:
        self._bus.respond(MESSAGE_HISTORY, self._respond)

    async def stop(self) -> None:
        """The bus forgets its responders when it stops."""

    async def _respond(self, payload: bytes) -> bytes:
        try:
            conversation_id = check_id(_decoded(payload).conversationId, "conversationId")
            last_seqs = await self._log.last_seqs([conversation_id])
        except ImError as error:
            return HistoryAnswer(failure=failure_of(error)).SerializeToString()
        return HistoryAnswer(lastSeq=last_seqs.get(conversation_id, 0)).SerializeToString()


def _decoded(payload: bytes) -> HistoryQuery:
    try:
        return HistoryQuery.FromString(payload)
    except DecodeError:
        raise PayloadInvalid("not a HistoryQuery") from None
