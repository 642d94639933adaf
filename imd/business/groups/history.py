"""From which message on somebody sees a conversation who comes in now."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from imd.bus.port import Bus, BusFailure, NoResponder
from imd.bus.subjects import MESSAGE_HISTORY
from imd.business.groups.ports import History, Memberships
from imd.kernel.errors import ServerBusy
from imd.kernel.timeouts import TimeoutError
from imd.pb.bus_pb2 import HistoryAnswer, HistoryQuery

#: Spec 24.1.
HISTORY_TIMEOUT_S = 1.0
_RETRY_AFTER_MS = 1_000


class BusHistory:
    """See ``History``."""

    def __init__(self, *, bus: Bus) -> None:
        self._bus = bus

    async def last_seq(self, conversation_id: str) -> int:
        query = HistoryQuery(conversationId=conversation_id)
        try:
            payload = await self._bus.request(
                MESSAGE_HISTORY, query.SerializeToString(), timeout_s=HISTORY_TIMEOUT_S
            )
            answer = HistoryAnswer.FromString(payload)
        except (NoResponder, BusFailure, TimeoutError, DecodeError) as error:
            raise _busy() from error
        if answer.failure.code:
            raise _busy()
        return answer.lastSeq


class FirstVisible:
    """Asked before somebody is let in: what is said between the question and the joining, they see.

    The other order would hide what was said after they were in. Where core does not answer nobody comes in:
    a group that shows nothing of its past to newcomers would rather wait.
    """

    def __init__(self, *, memberships: Memberships, history: History) -> None:
        self._memberships = memberships
        self._history = history

    async def __call__(self, conversation_id: str) -> int:
        """The first seq they are to see; 0: all, or there is no such group."""
        group = await self._memberships.group(conversation_id)
        if group is None or not group.rules.history_from_join:
            return 0
        return await self._history.last_seq(conversation_id) + 1


def _busy() -> ServerBusy:
    return ServerBusy("how far this conversation has come is not known now", retry_after_ms=_RETRY_AFTER_MS)


_: type[History] = BusHistory
