"""One device's session over all its connections: what comes over the line goes to its place.

The Client is the face of this; applications do not use it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from imd.client import questions
from imd.client.catchup import Catchup
from imd.client.cursors import CursorStore
from imd.client.errors import SessionOver
from imd.client.events import (
    CaughtUp,
    ConnectionState,
    ConnectionStateChanged,
    ConversationLeft,
    Event,
    MessageReceived,
    MessageStored,
    Recalled,
    SessionEnded,
    TypingChanged,
    chat_message,
    own_message,
)
from imd.client.line import Line, TokenSource
from imd.client.marks import Marks
from imd.client.outbox import Outgoing
from imd.client.sender import Sender
from imd.client.transport import Dial
from imd.kernel.errors import ImError
from imd.kernel.tasks import Tasks
from imd.pb.connection_pb2 import ACK_ALL, ACK_FINAL_ONLY, Connect, Connected
from imd.pb.delivery_pb2 import Ack
from imd.pb.envelope_pb2 import Envelope
from imd.pb.message_pb2 import RECALL, Message
from imd.wire.client import Frame, Refusal

CLIENT_VERSION = "imd-python/0.1"


class Session:
    """Puts line, sender, catch-up and marks together, and tells the application."""

    _log = Logger()

    def __init__(
        self,
        *,
        device_id: str,
        platform: str,
        all_acks: bool,
        max_in_flight: int,
        initial_history: int | None,
        token_source: TokenSource,
        cursors: CursorStore,
        on_event: Callable[[Event], None],
        dial: Dial,
        clock: Any,
        random: Random,
    ) -> None:
        self.user_id = 0
        self.device_id = device_id
        self.state = ConnectionState.CONNECTING
        self.watched: Sequence[int] = ()
        self.tasks = Tasks()
        self._platform = platform
        self._all_acks = all_acks
        self._on_event = on_event
        self._first: Deferred[None] | None = None
        self.line = Line(
            dial=dial,
            clock=clock,
            random=random,
            tasks=self.tasks,
            token_source=token_source,
            listener=self,
        )
        self.sender = Sender(
            clock=clock,
            write=self.line.send,
            stored=self._own_stored,
            told=self._emit,
            idle=self.line.left,
            max_in_flight=max_in_flight,
            json=dial.json,
        )
        self._cursors = cursors
        self.marks = Marks(clock=clock, cursors=cursors, send=self.line.send)
        self.catchup = Catchup(
            clock=clock,
            tasks=self.tasks,
            cursors=cursors,
            ask=self.line.ask,
            apply=self._apply,
            caught_up=lambda: self._emit(CaughtUp()),
            initial_history=initial_history,
        )
        self._takes: dict[str, Callable[[Envelope], None]] = {
            "ack": self._take_ack,
            "deliver": self._take_deliver,
            "hint": self._take_hint,
            "syncResp": self._take_sync,
            "resync": self._take_resync,
            "receiptNotice": self._take_receipts,
            "typing": self._take_typing,
            "presenceNotice": self._take_presence,
            "conversationLeft": self._take_left,
        }

    async def start(self, *, keep_trying: bool) -> None:
        """Returns when LIVE for the first time."""
        first: Deferred[None] = Deferred()
        self._first = first
        self.tasks.spawn("line", self.line.run(keep_trying=keep_trying))
        await first

    async def stop(self) -> None:
        """Send the last marks, close, fail what is unsettled, and wait for the end of it all."""
        over = SessionOver("the client was stopped")
        self.marks.stop()
        self.sender.stop(over)
        self.catchup.closed()
        self.line.stop()
        await self.tasks.stop()
        if self.state is not ConnectionState.ENDED:
            self.line_state(ConnectionState.ENDED, "stopped")
        self._fail_first(over)

    # What the line tells (Listener).

    def line_connect(self) -> Connect:
        return Connect(
            deviceId=self.device_id,
            platform=self._platform,
            clientVersion=CLIENT_VERSION,
            cursors=self.catchup.connect_cursors(),
            acks=ACK_ALL if self._all_acks else ACK_FINAL_ONLY,
        )

    def line_opened(self, connected: Connected) -> None:
        self.user_id = connected.userId
        if connected.limits.envelopeBytes:
            self.sender.max_envelope_bytes = connected.limits.envelopeBytes
        if self._cursors.epoch() not in ("", connected.epoch):
            self.marks.forget()
        self.catchup.opened(connected.epoch)
        self.marks.opened()
        self.sender.opened()
        if self.watched:
            self.tasks.spawn("watch presence", self._watch_again())

    def line_frame(self, frame: Frame) -> None:
        take = self._takes.get(frame.payload)
        if take is not None:
            take(frame.envelope)

    def line_refusal(self, refusal: Refusal) -> None:
        ours = self.sender.refusal(refusal.client_msg_id, refusal.request_id, refusal.error)
        if not ours and not self.marks.refused(refusal.request_id, refusal.error):
            self._log.info("the server says: {error}", error=refusal.error.message)

    def line_frames_lost(self, count: int) -> None:
        self._lost_frames()

    def line_leaving(self) -> None:
        self.sender.paused()
        if not self.sender.in_flight:
            self.line.left()

    def line_closed(self) -> None:
        self.sender.closed()
        self.marks.closed()
        self.catchup.closed()

    def line_state(self, state: ConnectionState, reason: str) -> None:
        self.state = state
        self._emit(ConnectionStateChanged(state, reason))
        if state is ConnectionState.LIVE and self._first is not None:
            first, self._first = self._first, None
            first.callback(None)

    def line_ended(self, error: ImError) -> None:
        self.sender.stop(error)
        self._emit(SessionEnded(error.message))
        self._fail_first(error)

    # Frames.

    def _take_ack(self, envelope: Envelope) -> None:
        self.sender.ack(envelope.ack)

    def _take_deliver(self, envelope: Envelope) -> None:
        self.catchup.message(envelope.deliver.message)

    def _take_hint(self, envelope: Envelope) -> None:
        self.catchup.hint(envelope.hint.conversationId, envelope.hint.lastSeq)

    def _take_sync(self, envelope: Envelope) -> None:
        self.catchup.behind(envelope.syncResp)

    def _take_resync(self, envelope: Envelope) -> None:
        self._lost_frames()

    def _take_receipts(self, envelope: Envelope) -> None:
        for change in questions.receipts_in(envelope.receiptNotice):
            self._emit(change)

    def _take_typing(self, envelope: Envelope) -> None:
        typing = envelope.typing
        self._emit(TypingChanged(typing.conversationId, typing.userId, typing.active))

    def _take_left(self, envelope: Envelope) -> None:
        left = envelope.conversationLeft
        self._emit(ConversationLeft(left.conversationId, left.reason))

    def _take_presence(self, envelope: Envelope) -> None:
        for change in questions.presences(envelope.presenceNotice):
            self._emit(change)

    # Inside.

    def _lost_frames(self) -> None:
        """Deliveries may be gone, and ACKs with them."""
        self.sender.resend()
        self.catchup.resync()

    def _own_stored(self, outgoing: Outgoing, ack: Ack) -> None:
        message = own_message(
            ack,
            outgoing.send,
            user_id=self.user_id,
            device_id=self.device_id,
            recalled_seq=outgoing.recalled_seq,
        )
        self.catchup.message(message)

    def _apply(self, message: Message) -> None:
        told = chat_message(message)
        own = told.sender_id == self.user_id and told.sender_device_id == self.device_id
        if told.type == RECALL:
            self._emit(Recalled(told, told.recalled_seq))
        elif own:
            self._emit(MessageStored(told))
        else:
            self._emit(MessageReceived(told))
        if not own:
            self.marks.delivered(told.conversation_id, told.seq)

    def _emit(self, event: Event) -> None:
        try:
            self._on_event(event)
        except Exception:
            self._log.failure("the application failed at {event}", event=type(event).__name__)

    async def _watch_again(self) -> None:
        try:
            for change in await questions.presence(self.line.ask, self.watched):
                self._emit(change)
        except ImError as error:
            self._log.info("presence is not watched: {error}", error=error.message)

    def _fail_first(self, error: ImError) -> None:
        first, self._first = self._first, None
        if first is not None:
            first.errback(error)
