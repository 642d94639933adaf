"""Answers, refusals and endings: the one place where an error becomes a frame."""

from __future__ import annotations

from imd.core.explain.ports import NO_RECORD, SendRecord
from imd.core.gateway.registry import Registry
from imd.core.gateway.session import Session
from imd.core.gateway.watching import Watching
from imd.core.message.live import LiveConversations
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError, PayloadInvalid
from imd.kernel.ids import direct_conversation_id
from imd.pb.connection_pb2 import Kicked
from imd.pb.delivery_pb2 import Ack
from imd.pb.envelope_pb2 import Envelope, Header
from imd.pb.message_pb2 import FAILED
from imd.pb.sync_pb2 import ConversationLeft
from imd.wire.outbound import control, error_payload, refusal
from imd.wire.server import Do, Input, State


class Replies:
    """Says no, and says goodbye."""

    def __init__(
        self,
        *,
        registry: Registry,
        live: LiveConversations,
        watching: Watching,
        clock: Clock,
        record: SendRecord = NO_RECORD,
    ) -> None:
        self._record = record
        self._registry = registry
        self._live = live
        self._watching = watching
        self._clock = clock

    def refuse(self, session: Session, envelope: Envelope, error: ImError) -> None:
        """Answer a request that cannot be served; one that is malformed counts against the connection."""
        if isinstance(error, PayloadInvalid) and session.connection.state is not State.CLOSED:
            judged = session.connection.bad_request(error, envelope, self._clock.seconds())
            if judged.do is Do.CLOSE:
                self.answer(session, envelope, error)
                self.close(session, PayloadInvalid("too many bad requests"))
                return
        self.answer(session, envelope, error)

    def answer(self, session: Session, envelope: Envelope, error: ImError) -> None:
        """A send or recall is answered by an ACK, since its client waits for its clientMsgId."""
        session.traffic.refusals[error.code] += 1
        payload = envelope.WhichOneof("payload")
        request = envelope.send if payload == "send" else envelope.recall
        if payload in ("send", "recall") and request.clientMsgId:
            self._remember(session, envelope, error)
            ack = Ack(
                clientMsgId=request.clientMsgId[:64],
                conversationId=request.conversationId[:64],
                status=FAILED,
                error=error_payload(error),
            )
            session.push(control(Envelope(header=same_request(envelope), ack=ack)))
            return
        session.push(refusal(error, request_id=envelope.header.requestId))

    def _remember(self, session: Session, envelope: Envelope, error: ImError) -> None:
        """Nobody has looked at the ids yet: they are cut, and a 1:1 conversation may be named by its peer alone."""
        request = envelope.send if envelope.WhichOneof("payload") == "send" else envelope.recall
        conversation_id, peer_id = request.conversationId, envelope.send.peerUserId
        if peer_id and not conversation_id:
            conversation_id = direct_conversation_id(session.user_id, peer_id)
        self._record.refused(conversation_id[:64], session.user_id, request.clientMsgId[:64], error)

    def close(self, session: Session, error: ImError, request_id: int = 0, *, how: str = "refused") -> None:
        """Say why, then close.

        :param how: one of ``ENDINGS``, by which it is counted.
        """
        session.traffic.refusals[error.code] += 1
        self._finish(
            session,
            Envelope(
                header=Header(requestId=request_id) if request_id else None,
                error=error_payload(error, closing=True),
            ),
            how,
            error.message,
        )

    def kick(self, session: Session, reason: str) -> None:
        """End a session for good; nothing goes out after this."""
        self._finish(session, Envelope(kicked=Kicked(reason=reason)), "kicked", f"kicked: {reason}")

    def kick_session(self, user_id: int, device_id: str, session_id: int, reason: str) -> None:
        """Kick exactly this session, if it still is there."""
        session = self._registry.find(user_id, device_id)
        if session is not None and session.session_id == session_id:
            self.kick(session, reason)

    def _finish(self, session: Session, last: Envelope, how: str, why: str) -> None:
        if session.closing:
            return
        session.ending = how
        session.connection.step(Input.REFUSED)
        session.finish(control(last))
        if self._registry.forget(session):
            self.retire(session, why)

    def tell_gone(self, session: Session, conversation_id: str, reason: str) -> None:
        """Its user is not in this conversation any more."""
        self._live.left(session, conversation_id)
        gone = ConversationLeft(conversationId=conversation_id, reason=reason)
        session.push(control(Envelope(conversationLeft=gone)))

    def retire(self, session: Session, why: str) -> None:
        """A session is not live any more: nobody delivers to it."""
        self._live.departed(session)
        self._watching.gone(session, why)


def same_request(envelope: Envelope) -> Header | None:
    """The header that ties an answer to its request."""
    request_id = envelope.header.requestId
    return Header(requestId=request_id) if request_id else None
