"""What other nodes say this node's members are to be told."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from twisted.logger import Logger

from imd.bus.port import Bus
from imd.bus.subjects import message_deliver
from imd.core.message.fanout import Fanout
from imd.core.message.live import LiveConversation, LiveConversations
from imd.core.message.model import CursorRow
from imd.core.message.receipts import Receipts
from imd.core.message.recipients import LocalSessions, Recipient
from imd.core.message.traced import TracedDelivery
from imd.kernel.errors import ImError
from imd.kernel.tasks import Tasks
from imd.kernel.trace_context import sampled_context
from imd.ops.tracing import NO_TRACER, Tracer
from imd.pb.bus_pb2 import ToldConversation, ToldConversations
from imd.wire.outbound import Outbound, Priority


class Told:
    """``Deliverable``: a message that another node has stored."""

    __slots__ = ("live", "recipient", "revokes", "sender_id", "seq", "stored_body", "traced")

    def __init__(
        self,
        live: LiveConversation,
        seq: int,
        sender_id: int,
        stored_body: bytes,
        recipient: Recipient | None,
        revokes: tuple[int, bytes] | None,
        traced: TracedDelivery | None,
    ) -> None:
        self.live = live
        self.seq = seq
        self.sender_id = sender_id
        self.stored_body = stored_body
        self.recipient = recipient
        self.revokes = revokes
        self.traced = traced


class ToldHere:
    """A stage that takes ``im.message.deliver.<this node>``."""

    _logger = Logger()

    def __init__(
        self,
        *,
        node_id: int,
        live: LiveConversations,
        fanout: Fanout,
        receipts: Receipts,
        sessions: LocalSessions,
        bus: Bus,
        tasks: Tasks,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._node_id = node_id
        self._live = live
        self._fanout = fanout
        self._receipts = receipts
        self._sessions = sessions
        self._bus = bus
        self._tasks = tasks
        self._tracer = tracer

    async def start(self) -> None:
        self._bus.subscribe(message_deliver(self._node_id), self._take)

    async def stop(self) -> None:
        """The bus forgets its subscribers when it stops."""

    async def _take(self, _subject: str, payload: bytes) -> None:
        try:
            told = ToldConversations.FromString(payload)
        except DecodeError:
            self._logger.error("not a ToldConversations; the sweep repairs what it would have told")
            return
        for each in told.conversations:
            try:
                self._tell(each)
            except Exception:
                self._logger.failure("what was told of {id} was lost", id=each.conversationId)

    def _tell(self, told: ToldConversation) -> None:
        live = self._live.expect(told.conversationId)
        if told.messages:
            self._fanout.deliver([
                Told(
                    live,
                    message.seq,
                    message.senderId,
                    message.body,
                    self._device(message.senderId, message.exceptDeviceId),
                    (message.revokesSeq, message.revokedBody) if message.revokesSeq else None,
                    self._traced(message.traceparent) if message.traceparent else None,
                )
                for message in told.messages
            ])  # fmt: skip
        if told.hintSeq or told.typing or told.cursors:
            if live.audience is not None:
                self._tell_signs(live, told)
            else:
                self._tasks.spawn("told by another node", self._find_audience(told))

    def _tell_signs(self, live: LiveConversation, told: ToldConversation) -> None:
        """What is not a message."""
        if told.hintSeq:
            self._fanout.hint(live, told.hintSeq)
        if told.typing:
            outbound = Outbound(told.typing, Priority.BULK)
            self._fanout.broadcast(live, outbound, self._device(told.typingUserId, told.typingDeviceId))
        if told.cursors:
            self._receipts.told(
                live,
                [
                    CursorRow(told.conversationId, cursor.userId, cursor.deliveredSeq, cursor.readSeq)
                    for cursor in told.cursors
                ],
            )

    async def _find_audience(self, told: ToldConversation) -> None:
        try:
            live = await self._live.load_or_assume(told.conversationId)
        except ImError as error:
            self._logger.warn(
                "who is here of {id} is not known: {error}", id=told.conversationId, error=error
            )
            return
        if live is not None:
            self._tell_signs(live, told)

    def _traced(self, traceparent: str) -> TracedDelivery | None:
        sent = sampled_context(traceparent)
        return None if sent is None else TracedDelivery(self._tracer, sent)

    def _device(self, user_id: int, device_id: str) -> Recipient | None:
        if device_id:
            for recipient in self._sessions.of_user(user_id):
                if recipient.device_id == device_id:
                    return recipient
        return None
