"""From ``send`` to STORED: writes the outbox, reads the ACKs, resends what got no answer."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from imd.client.errors import SessionOver
from imd.client.events import MessageAccepted, MessageHeld, MessageRevoked, SentMessage
from imd.client.outbox import MAX_IN_FLIGHT, Outbox, Outgoing, fail
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError, InternalError, OutcomeUnknown, PayloadInvalid
from imd.pb.delivery_pb2 import Ack
from imd.pb.envelope_pb2 import Envelope
from imd.pb.message_pb2 import ACCEPTED, DELAYED, DELIVERED, FAILED, READ, REVOKED, STORED
from imd.wire.client import error_of
from imd.wire.codec import encode_json
from imd.wire.server import JSON_FACTOR

#: The ACK of a healthy server takes milliseconds. One that is overdue was dropped with a full
#: queue; the resend is harmless and brings it again.
ACK_TIMEOUT_S = 15.0
#: After DELAYED the server settles the fate by itself; asking sooner does not help it.
DELAYED_RESEND_S = 5.0
OVERDUE_CHECK_S = 1.0
#: Of a DELAYED that is held for review.
HELD_REASON = "content"
#: The protocol's default, until Connected says what this server takes.
MAX_ENVELOPE_BYTES = 260 * 1024
#: JSON makes six characters of a control character; nothing grows more on the wire.
MOST_INFLATED = 6
HEADER_BYTES = 64

_STORED = frozenset((STORED, DELIVERED, READ, REVOKED))


class Sender:
    """``write`` puts an Envelope on the wire and gives its request id; ``stored`` gets each own message
    that the server has, once for each ACK."""

    def __init__(
        self,
        *,
        clock: Clock,
        write: Callable[[Envelope], int],
        stored: Callable[[Outgoing, Ack], None],
        told: Callable[[MessageAccepted | MessageHeld | MessageRevoked], None],
        idle: Callable[[], None],
        max_in_flight: int = MAX_IN_FLIGHT,
        json: bool = False,
    ) -> None:
        #: What the server takes; it says so in Connected.
        self.max_envelope_bytes = MAX_ENVELOPE_BYTES
        self._json = json
        self._clock = clock
        self._write = write
        self._stored = stored
        self._told = told
        self._idle = idle
        self._outbox = Outbox(max_in_flight=max_in_flight)
        self._open = False
        self._over: ImError | None = None
        self._timer: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._outbox)

    @property
    def in_flight(self) -> int:
        """Written and without an ACK."""
        return self._outbox.in_flight

    def submit(self, outgoing: Outgoing) -> Deferred[SentMessage]:
        """Take a message on; fires at STORED, fails with the ACK's error.

        :raises OutboxFull: and other ImErrors; nothing was taken on.
        :raises PayloadInvalid: too long; a server that is sent this closes the connection.
        """
        if self._over is not None:
            raise self._over
        if outgoing.size_bytes * MOST_INFLATED > self.max_envelope_bytes:
            self._check_size(outgoing)
        self._outbox.add(outgoing)
        self._pump()
        return outgoing.done

    def opened(self) -> None:
        """There is a connection: write what waits."""
        self._open = True
        self._pump()

    def paused(self) -> None:
        """The connection is to be left: no new messages on it."""
        self._open = False

    def closed(self) -> None:
        """The connection is gone: what was in flight goes again, first."""
        self._open = False
        self._outbox.rewind()
        self._stop_timer()

    def resend(self) -> None:
        """ACKs may have been lost."""
        self._outbox.rewind()
        self._pump()

    def stop(self, error: ImError) -> None:
        """Nothing will be sent any more."""
        self._open = False
        self._over = error
        self._stop_timer()
        unknown = OutcomeUnknown(f"may have been stored: {error.message}")
        for outgoing in self._outbox.abandon():
            fail(outgoing, unknown if outgoing.written else SessionOver(error.message))

    def ack(self, ack: Ack) -> None:
        """The server's answer to a send or a recall."""
        status = ack.status
        if status == ACCEPTED:
            self._told(MessageAccepted(ack.conversationId, ack.clientMsgId))
        elif status in _STORED:
            outgoing = self._outbox.settle(ack.clientMsgId)
            if outgoing is not None:
                self._stored(outgoing, ack)
                self._tell_stored(outgoing, ack)
                self._pump()
            elif status == REVOKED:
                reason = ack.error.reason
                self._told(MessageRevoked(ack.conversationId, ack.seq, ack.clientMsgId, reason))
        elif status == FAILED:
            has_reason = ack.HasField("error")
            error = error_of(ack.error) if has_reason else InternalError("the message was not stored")
            self.refuse(self._outbox.find(ack.clientMsgId), error)
        elif status == DELAYED:
            outgoing = self._outbox.find(ack.clientMsgId)
            if outgoing is not None:
                delay_s = ack.error.retryAfterMs / 1000 or DELAYED_RESEND_S
                outgoing.resend_s = self._clock.seconds() + delay_s
                if ack.error.reason == HELD_REASON:
                    self._hold(outgoing, ack)

    def _hold(self, outgoing: Outgoing, ack: Ack) -> None:
        """Nothing waits behind what a person has to look at; it is asked for again now and then."""
        if self._outbox.hold(outgoing):
            self._told(MessageHeld(ack.conversationId, ack.clientMsgId))
        self._pump()

    def refusal(self, client_msg_id: str, request_id: int, error: ImError) -> bool:
        """An Error instead of an ACK; whether it was about a message of ours."""
        outgoing = self._outbox.find(client_msg_id) if client_msg_id else None
        if outgoing is None and request_id:
            outgoing = self._outbox.find_request(request_id)
        self.refuse(outgoing, error)
        return outgoing is not None

    def refuse(self, outgoing: Outgoing | None, error: ImError) -> None:
        """Provably not stored."""
        if outgoing is not None:
            self._outbox.settle(outgoing.client_msg_id)
            fail(outgoing, error)
            self._pump()

    def _check_size(self, outgoing: Outgoing) -> None:
        envelope = outgoing.envelope()
        # The request id and the length in front come on top.
        size = envelope.ByteSize() + HEADER_BYTES
        if self._json:
            size = max(size, (len(encode_json(envelope)) + HEADER_BYTES) // JSON_FACTOR)
        if size > self.max_envelope_bytes:
            raise PayloadInvalid(f"a message of {size} bytes is longer than {self.max_envelope_bytes}")

    def _tell_stored(self, outgoing: Outgoing, ack: Ack) -> None:
        if not outgoing.done.called:
            outgoing.done.callback(
                SentMessage(
                    ack.conversationId,
                    ack.seq,
                    ack.serverMsgId,
                    ack.clientMsgId,
                    ack.serverTime,
                    ack.duplicate,
                )
            )

    def _pump(self) -> None:
        while self._open and (outgoing := self._outbox.next()) is not None:
            self._put(outgoing)
        if not self._outbox.in_flight:
            self._idle()
        if not self._outbox.unsettled:
            self._stop_timer()
        elif self._timer is None and self._open:
            self._timer = self._clock.callLater(OVERDUE_CHECK_S, self._check)

    def _put(self, outgoing: Outgoing) -> None:
        outgoing.resend_s = self._clock.seconds() + ACK_TIMEOUT_S
        outgoing.request_id = self._write(outgoing.envelope())

    def _check(self) -> None:
        self._timer = None
        for outgoing in self._outbox.overdue(self._clock.seconds()):
            self._put(outgoing)
        self._pump()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
