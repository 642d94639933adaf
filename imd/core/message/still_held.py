"""Whether a node that took a send may store it yet: it is asked itself, and no clock."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from imd.bus.port import Bus, BusFailure, BusRefused, NoResponder
from imd.bus.subjects import message_append
from imd.core.message.sends import PendingSend
from imd.core.nodes.ports import LiveNodes
from imd.kernel.timeouts import TimeoutError
from imd.pb.bus_pb2 import AskedSend, ForwardedSends, ForwardedTaken

#: As long as for taking a batch.
ANSWER_TIMEOUT_S = 2.0


class StillHeld:
    """Asks the other node.

    The question goes the way of the sends and behind them, so that who says that it does not hold one
    will not come upon it later either.
    """

    def __init__(self, *, nodes: LiveNodes, bus: Bus) -> None:
        self._nodes = nodes
        self._bus = bus

    async def is_held(self, send: PendingSend) -> bool:
        """Whether the node that has taken it may store it yet; in doubt it may.

        A node that is gone may not: nobody hears for it, and it has missed its heartbeats. One that
        is only paused still counts as hearing for as long as the bus keeps its connection, and
        takes nothing old when it goes on (``Heartbeats.overslept``).
        """
        assert send.taken_by is not None
        conversation_id, sender_id, client_msg_id = send.key
        asked = AskedSend(conversationId=conversation_id, senderId=sender_id, clientMsgId=client_msg_id)
        question = ForwardedSends(nodeId=self._nodes.me.node_id, asked=[asked])
        try:
            payload = await self._bus.request(
                message_append(send.taken_by), question.SerializeToString(), timeout_s=ANSWER_TIMEOUT_S
            )
            answer = ForwardedTaken.FromString(payload)
        except NoResponder:
            return send.taken_by in self._nodes.others
        except (TimeoutError, BusFailure, BusRefused, DecodeError):
            return True
        # One of an earlier release does not say.
        return list(answer.held) != [False]
