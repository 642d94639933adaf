"""The owner's side of forwarding: sends from other nodes go the way of all sends; their outcomes go back."""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf.message import DecodeError
from twisted.logger import Logger

from imd.bus.failures import failure_of
from imd.bus.port import Bus
from imd.bus.subjects import message_append, message_settled
from imd.core.message.append import Appender
from imd.core.message.forward_codec import DistantDevice, decode_send, outcome_failed
from imd.core.message.sends import PendingSend, SendKey
from imd.core.message.traced import TracedSend
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError, PayloadInvalid
from imd.kernel.ids import is_client_msg_id, is_id
from imd.kernel.trace_context import sampled_context
from imd.ops.tracing import NO_TRACER, Tracer
from imd.pb.bus_pb2 import (
    Failure,
    ForwardedSend,
    ForwardedSends,
    ForwardedTaken,
    SendOutcome,
    SendOutcomes,
)

#: Bytes of one message on the bus are at most 1 MB; an outcome has about 40, a failure 200.
_OUTCOMES_PER_MESSAGE = 2_000


class ForwardedHere:
    """A stage that takes ``im.message.append.<this node>``.

    Whatever arrives is taken, whoever owns its shard by now: the unique index guards the order,
    and the sender will have heard of the new owner by the next batch. Only what may have lain
    here while the node was paused is left to its sender, who has taken this one for gone since.

    :param overslept: whether this node has been silent for so long.
    """

    _logger = Logger()

    def __init__(
        self,
        *,
        node_id: int,
        appender: Appender,
        bus: Bus,
        clock: Clock,
        overslept: Callable[[], bool] = lambda: False,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._node_id = node_id
        self._overslept = overslept
        self._appender = appender
        self._bus = bus
        self._clock = clock
        self._tracer = tracer
        #: Outcomes by the node that waits for them; told together once a turn of the reactor.
        self._due: dict[int, list[SendOutcome]] = {}
        self._telling = False
        self._stopped = False
        #: While a batch is taken in: what is known of it at once goes into the answer.
        self._taking: _Taking | None = None

    async def start(self) -> None:
        self._bus.respond(message_append(self._node_id), self._take)

    async def stop(self) -> None:
        """Nothing more is taken: the asking node writes it itself. What was settled just now is told at once."""
        self._stopped = True
        self._tell()

    async def _take(self, payload: bytes) -> bytes:
        if self._stopped:
            return ForwardedTaken(failure=_refusal("this node is going down")).SerializeToString()
        if self._overslept():
            return ForwardedTaken(failure=_refusal("this node was paused")).SerializeToString()
        try:
            request = ForwardedSends.FromString(payload)
        except DecodeError:
            return ForwardedTaken(failure=_refusal("these are no ForwardedSends")).SerializeToString()
        taking = self._taking = _Taking()
        try:
            for given in request.sends:
                if is_id(given.conversationId) and is_client_msg_id(given.clientMsgId):
                    self._appender.submit(self._decoded(given, request.nodeId))
                    taking.waiting.setdefault(given.forwardId, None)
                else:
                    error = PayloadInvalid("malformed id", field="send.conversationId")
                    taking.outcomes.append(outcome_failed(given.forwardId, error))
        finally:
            self._taking = None
        waiting = [forward_id for forward_id in taking.waiting if forward_id not in taking.known]
        held = [
            self._appender.holds(SendKey(asked.conversationId, asked.senderId, asked.clientMsgId))
            for asked in request.asked
        ]
        return ForwardedTaken(outcomes=taking.outcomes, waitingIds=waiting, held=held).SerializeToString()

    def _decoded(self, given: ForwardedSend, node_id: int) -> PendingSend:
        send = decode_send(given, node_id, self)
        if given.traceparent:
            hop = sampled_context(given.traceparent)
            send.traced = None if hop is None else TracedSend(self._tracer, hop)
        return send

    # Submitter

    def accepted(self, send: PendingSend) -> None:
        """See ``Submitter``. Said in the answer, unless the conversation had to be looked up first."""
        forward_id = _device(send).forward_id
        if self._taking is not None:
            self._taking.known.add(forward_id)
        else:
            self._outcome(send, SendOutcome(forwardId=forward_id, kind=SendOutcome.ACCEPTED))

    def stored(self, send: PendingSend, *, duplicate: bool) -> None:
        """See ``Submitter``."""
        if send.traced is not None:
            send.traced.answered({"im.status": "STORED"})
        self._outcome(
            send,
            SendOutcome(
                forwardId=_device(send).forward_id,
                kind=SendOutcome.STORED,
                seq=send.seq,
                serverMsgId=send.server_msg_id,
                serverTime=send.server_time_ms,
                duplicate=duplicate,
            ),
        )

    def failed(self, send: PendingSend, error: ImError) -> None:
        """See ``Submitter``."""
        if send.traced is not None:
            send.traced.answered({"im.status": "FAILED"}, error=error.message)
        self._outcome(send, outcome_failed(_device(send).forward_id, error))

    def delayed(self, send: PendingSend) -> None:
        """See ``Submitter``."""
        self._outcome(send, SendOutcome(forwardId=_device(send).forward_id, kind=SendOutcome.DELAYED))

    def _outcome(self, send: PendingSend, outcome: SendOutcome) -> None:
        if self._taking is not None:
            self._taking.known.add(outcome.forwardId)
            self._taking.outcomes.append(outcome)
            return
        self._due.setdefault(_device(send).node_id, []).append(outcome)
        if not self._telling:
            self._telling = True
            self._clock.callLater(0, self._tell)

    def _tell(self) -> None:
        self._telling = False
        due, self._due = self._due, {}
        for node_id, outcomes in due.items():
            for start in range(0, len(outcomes), _OUTCOMES_PER_MESSAGE):
                told = SendOutcomes(outcomes=outcomes[start : start + _OUTCOMES_PER_MESSAGE])
                try:
                    self._bus.publish(message_settled(node_id), told.SerializeToString())
                except ImError as error:
                    # Its time-out makes the asking node look for itself.
                    self._logger.warn("node {id} is not told outcomes: {error}", id=node_id, error=error)


class _Taking:
    """What became of one batch while it was taken in."""

    __slots__ = ("known", "outcomes", "waiting")

    def __init__(self) -> None:
        self.known: set[int] = set()
        self.outcomes: list[SendOutcome] = []
        self.waiting: dict[int, None] = {}


def _device(send: PendingSend) -> DistantDevice:
    assert isinstance(send.recipient, DistantDevice)
    return send.recipient


def _refusal(message: str) -> Failure:
    return failure_of(PayloadInvalid(message))
