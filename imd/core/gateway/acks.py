"""The outcome of a send, on its way back to the device that sent it."""

from __future__ import annotations

from imd.core.explain.ports import NO_RECORD, SendRecord
from imd.core.gateway.quotas import Quotas
from imd.core.gateway.session import BUSY, Session
from imd.core.gateway.trail import RefusalTrail
from imd.core.message.sends import PendingSend
from imd.core.screening.model import being_reviewed
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError, ServerBusy
from imd.kernel.histogram import Histogram
from imd.ops.metrics.buckets import ACK
from imd.pb.delivery_pb2 import Ack
from imd.pb.envelope_pb2 import Envelope
from imd.pb.message_pb2 import ACCEPTED, DELAYED, FAILED, STORED, MessageStatus
from imd.wire.outbound import control, error_payload

#: Sends of one connection without a final answer; above, it is not read until half are answered.
MAX_IN_FLIGHT = 256


class Acks:
    """``Submitter`` for sends that came over a connection."""

    def __init__(
        self,
        *,
        quotas: Quotas,
        trail: RefusalTrail,
        clock: Clock,
        record: SendRecord = NO_RECORD,
    ) -> None:
        self._record = record
        self._quotas = quotas
        self._trail = trail
        self._clock = clock
        #: How sends ended, and how long the timed ones of the new took.
        self.stored_count = 0
        self.duplicates = 0
        self.failures = 0
        self.delays = 0
        self.holds = 0
        self.ack_seconds = Histogram(ACK.bounds)

    def accepted(self, send: PendingSend) -> None:
        """See ``Submitter``."""
        session = send.recipient
        if isinstance(session, Session) and not session.acks_final_only:
            conversation_id, _, client_msg_id = send.key
            ack = Ack(clientMsgId=client_msg_id, conversationId=conversation_id, status=ACCEPTED)
            session.push(control(Envelope(ack=ack)))

    def stored(self, send: PendingSend, *, duplicate: bool) -> None:
        """See ``Submitter``."""
        conversation_id, _, client_msg_id = send.key
        ack = Ack(
            clientMsgId=client_msg_id,
            serverMsgId=send.server_msg_id,
            seq=send.seq,
            status=STORED,
            conversationId=conversation_id,
            serverTime=send.server_time_ms,
            duplicate=duplicate,
        )
        if duplicate:
            self.duplicates += 1
            self._give_back(send)
            self._record.repeated(*send.key)
        else:
            if send.came_at_s is not None:
                self.ack_seconds.observe(self._clock.seconds() - send.came_at_s)
            self.stored_count += 1
        self._finish(send, ack)

    def failed(self, send: PendingSend, error: ImError) -> None:
        """See ``Submitter``."""
        self.failures += 1
        self._give_back(send)
        self._trail.send(send, error)
        self._record.refused(*send.key, error)
        if isinstance(send.recipient, Session):
            send.recipient.traffic.refusals[error.code] += 1
        self._finish(send, _failure(send, FAILED, error))

    def delayed(self, send: PendingSend) -> None:
        """See ``Submitter``."""
        self.delays += 1
        if isinstance(send.recipient, Session):
            error = ServerBusy("whether this message is stored is not known yet")
            send.recipient.push(control(Envelope(ack=_failure(send, DELAYED, error))))

    def held(self, send: PendingSend) -> None:
        """It waits for a person; what becomes of it is told then, or to whoever asks."""
        self.holds += 1
        self._finish(send, _failure(send, DELAYED, being_reviewed()))

    def _give_back(self, send: PendingSend) -> None:
        """What stored nothing new is not counted."""
        if send.charged:
            self._quotas.give_back(send.key.sender_id, send.charged)
            send.charged = 0

    def _finish(self, send: PendingSend, ack: Ack) -> None:
        if send.traced is not None:
            send.traced.answered({"im.status": MessageStatus.Name(ack.status)}, error=ack.error.message)
        session = send.recipient
        if not isinstance(session, Session):
            return
        session.push(control(Envelope(ack=ack)))
        session.in_flight -= 1
        if session.held & BUSY and session.in_flight <= MAX_IN_FLIGHT // 2:
            session.release(BUSY)


def _failure(send: PendingSend, status: int, error: ImError) -> Ack:
    conversation_id, _, client_msg_id = send.key
    return Ack(
        clientMsgId=client_msg_id,
        conversationId=conversation_id,
        status=status,  # type: ignore[arg-type]
        error=error_payload(error),
    )
