"""Asks core, over the bus."""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import DecodeError
from twisted.internet.defer import TimeoutError

from imd.bus.failures import error_of
from imd.bus.port import Bus, BusFailure, NoResponder
from imd.bus.subjects import DEFAULT_TIMEOUT_S, EXPLAIN_STORED, explain_node
from imd.business.explain.model import MessageName
from imd.business.explain.ports import Core
from imd.kernel.errors import ServerBusy
from imd.pb.explain_pb2 import (
    ExplainNodeAnswer,
    ExplainNodeQuery,
    ExplainStoredAnswer,
    ExplainStoredQuery,
)

_Answer = TypeVar("_Answer", ExplainStoredAnswer, ExplainNodeAnswer)


class BusCore:
    """See ``Core``."""

    def __init__(self, *, bus: Bus) -> None:
        self._bus = bus

    async def stored(self, name: MessageName, receiver_id: int) -> ExplainStoredAnswer:
        query = ExplainStoredQuery(
            serverMsgId=name.server_msg_id,
            conversationId=name.conversation_id,
            seq=name.seq,
            senderId=name.sender_id,
            clientMsgId=name.client_msg_id,
            userId=receiver_id,
        )
        return await self._ask(EXPLAIN_STORED, query.SerializeToString(), ExplainStoredAnswer)

    async def remembered(self, node_id: int, query: ExplainNodeQuery) -> ExplainNodeAnswer:
        return await self._ask(explain_node(node_id), query.SerializeToString(), ExplainNodeAnswer)

    async def _ask(self, subject: str, payload: bytes, answer_type: type[_Answer]) -> _Answer:
        try:
            payload = await self._bus.request(subject, payload, timeout_s=DEFAULT_TIMEOUT_S)
            answer = answer_type.FromString(payload)
        except NoResponder:
            raise ServerBusy("is not there") from None
        except TimeoutError:
            raise ServerBusy("did not answer in time") from None
        except (BusFailure, DecodeError):
            raise ServerBusy("failed to answer; its log tells why") from None
        if answer.failure.code:
            raise error_of(answer.failure)
        return answer


_: type[Core] = BusCore
