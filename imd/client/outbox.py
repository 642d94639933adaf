"""Messages on their way: kept until the server says STORED or no, resent with the same id till then."""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred

from imd.client.errors import OutboxFull
from imd.client.events import SentMessage
from imd.kernel.errors import IdempotentConflict, ImError, PayloadInvalid
from imd.pb.envelope_pb2 import Envelope
from imd.pb.message_pb2 import SendMessageReq

#: Written and not yet ACKed. The server keeps 100 frames for a slow connection.
MAX_IN_FLIGHT = 100
MAX_IN_FLIGHT_BYTES = 1024 * 1024
#: Waiting for their turn, or for the connection to come back.
MAX_WAITING = 10_000
MAX_WAITING_BYTES = 16 * 1024 * 1024


class Outgoing:
    """One message or recall. ``recalled_seq`` is 0 for a message; ``resend_s`` is when patience ends;
    ``written``: it was on some connection once, so it may have been stored."""

    __slots__ = (
        "client_msg_id",
        "done",
        "recalled_seq",
        "request_id",
        "resend_s",
        "send",
        "size_bytes",
        "written",
    )

    def __init__(self, send: SendMessageReq, *, recalled_seq: int) -> None:
        self.send = send
        self.recalled_seq = recalled_seq
        self.client_msg_id = send.clientMsgId
        self.size_bytes = send.ByteSize()
        self.done: Deferred[SentMessage] = Deferred()
        self.request_id = 0
        self.resend_s = 0.0
        self.written = False

    def envelope(self) -> Envelope:
        """A fresh frame for a (re)send."""
        envelope = Envelope()
        envelope.header.clientMsgId = self.client_msg_id
        if self.recalled_seq:
            envelope.recall.conversationId = self.send.conversationId
            envelope.recall.seq = self.recalled_seq
            envelope.recall.clientMsgId = self.client_msg_id
        else:
            envelope.send.CopyFrom(self.send)
        return envelope


class Outbox:
    """First in, first out, with a window of unacknowledged messages; FIFO per conversation follows."""

    def __init__(self, *, max_in_flight: int = MAX_IN_FLIGHT) -> None:
        self._max_in_flight = max_in_flight
        self._waiting: deque[Outgoing] = deque()
        self._waiting_bytes = 0
        self._in_flight: dict[str, Outgoing] = {}
        self._in_flight_bytes = 0
        #: Written, and held by the server until somebody has looked at them; in nobody's way.
        self._held: dict[str, Outgoing] = {}
        self._ids: set[str] = set()

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def in_flight(self) -> int:
        """How many are written and not settled."""
        return len(self._in_flight)

    @property
    def unsettled(self) -> int:
        """How many are written and not settled, held ones included."""
        return len(self._in_flight) + len(self._held)

    def hold(self, outgoing: Outgoing) -> bool:
        """It makes room for others; False: it had before."""
        if self._in_flight.pop(outgoing.client_msg_id, None) is None:
            return False
        self._in_flight_bytes -= outgoing.size_bytes
        self._held[outgoing.client_msg_id] = outgoing
        return True

    def add(self, outgoing: Outgoing) -> None:
        """Take it on.

        :raises OutboxFull: nothing was taken.
        :raises PayloadInvalid: a message with this id is on its way already.
        """
        if outgoing.client_msg_id in self._ids:
            raise IdempotentConflict("this clientMsgId is on its way already", field="clientMsgId")
        if len(self._waiting) >= MAX_WAITING or self._waiting_bytes + outgoing.size_bytes > MAX_WAITING_BYTES:
            raise OutboxFull(f"{len(self._waiting)} messages wait already", retry_after_ms=1000)
        self._ids.add(outgoing.client_msg_id)
        self._waiting.append(outgoing)
        self._waiting_bytes += outgoing.size_bytes

    def next(self) -> Outgoing | None:
        """The one to write now, if the window is open; it is in flight from here on."""
        if not self._waiting or len(self._in_flight) >= self._max_in_flight:
            return None
        outgoing = self._waiting[0]
        if self._in_flight and self._in_flight_bytes + outgoing.size_bytes > MAX_IN_FLIGHT_BYTES:
            return None
        self._waiting.popleft()
        self._waiting_bytes -= outgoing.size_bytes
        outgoing.written = True
        self._in_flight[outgoing.client_msg_id] = outgoing
        self._in_flight_bytes += outgoing.size_bytes
        return outgoing

    def find(self, client_msg_id: str) -> Outgoing | None:
        """The one in flight, or held, with this id."""
        return self._in_flight.get(client_msg_id) or self._held.get(client_msg_id)

    def find_request(self, request_id: int) -> Outgoing | None:
        """The one in flight, or held, that was last written under this request id."""
        for outgoing in (*self._in_flight.values(), *self._held.values()):
            if outgoing.request_id == request_id:
                return outgoing
        return None

    def settle(self, client_msg_id: str) -> Outgoing | None:
        """Its fate is known; None if it is not on its way (any more)."""
        held = self._held.pop(client_msg_id, None)
        if held is not None:
            self._ids.discard(client_msg_id)
            return held
        outgoing = self._in_flight.pop(client_msg_id, None)
        if outgoing is not None:
            self._in_flight_bytes -= outgoing.size_bytes
            self._ids.discard(client_msg_id)
        return outgoing

    def rewind(self) -> None:
        """Everything written is to be written again, in the old order, before what waits: held ones as well, since
        they may have been decided meanwhile."""
        again = [*self._held.values(), *self._in_flight.values()]
        self._in_flight.clear()
        self._held.clear()
        self._in_flight_bytes = 0
        self._waiting.extendleft(reversed(again))
        self._waiting_bytes += sum(outgoing.size_bytes for outgoing in again)

    def overdue(self, now_s: float) -> list[Outgoing]:
        """Those in flight or held whose ACK has not come in time, oldest first."""
        written = (*self._held.values(), *self._in_flight.values())
        return [outgoing for outgoing in written if outgoing.resend_s <= now_s]

    def abandon(self) -> list[Outgoing]:
        """Empty it; the caller fails what is left."""
        left = [*self._held.values(), *self._in_flight.values(), *self._waiting]
        self._in_flight.clear()
        self._held.clear()
        self._waiting.clear()
        self._ids.clear()
        self._in_flight_bytes = self._waiting_bytes = 0
        return left


def check_target(conversation_id: str, peer_user_id: int) -> None:
    """One of the two names where a message goes."""
    if bool(conversation_id) == bool(peer_user_id):
        raise PayloadInvalid("give a conversation or a peer, not both", field="conversationId")


def fail(outgoing: Outgoing, error: ImError) -> None:
    """Tell the caller, unless it stopped waiting."""
    if not outgoing.done.called:
        outgoing.done.errback(error)
