"""How far we have come, told to the server: DeliverAck and Receipt, cumulative and unhurried."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from imd.client.cursors import CursorStore
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError
from imd.pb.envelope_pb2 import Envelope

#: One DeliverAck a conversation and second; the first goes sooner, so that a sender sees his tick.
INTERVAL_S = 1.0
#: A person reads faster than that nowhere; a bot that reads everything says it five times a second.
READ_INTERVAL_S = 0.2
FIRST_WAIT_S = 0.02
#: The server works on 16 requests of a connection at a time and refuses more, and takes 100 frames a
#: second; half of that is for marks.
AT_ONCE = 10
BREATH_S = 0.2
#: Receipts kept while there is no connection.
MAX_READS = 10_000
#: Marks that a refusal may still concern. A mark has no answer, so the oldest are taken as accepted.
MAX_TOLD = 100
RETRY_S = 1.0


class Marks:
    """Gathers the newest mark of each conversation and sends all of them together.

    :param send: writes an Envelope and gives its request id; what is refused as busy goes again.
    """

    _log = Logger()

    def __init__(self, *, clock: Clock, cursors: CursorStore, send: Callable[[Envelope], int]) -> None:
        self._clock = clock
        self._cursors = cursors
        self._send = send
        self._delivered: dict[str, int] = {}
        self._reads: dict[str, int] = {}
        self._told: dict[int, tuple[dict[str, int], str, int]] = {}
        self._timer: IDelayedCall | None = None
        self._flushed_s = -INTERVAL_S
        self._live = False
        self._stopped = False

    def delivered(self, conversation_id: str, seq: int) -> None:
        """The application has everything up to ``seq``."""
        self._delivered[conversation_id] = seq
        self._wake(INTERVAL_S)

    def read(self, conversation_id: str, seq: int) -> None:
        """The user has read up to ``seq``; kept over a missing connection."""
        if len(self._reads) < MAX_READS or conversation_id in self._reads:
            _raise(self._reads, conversation_id, seq)
        self._wake(READ_INTERVAL_S)

    def opened(self) -> None:
        """There is a connection: send what was kept."""
        self._live = True
        if self._reads:
            self._wake(READ_INTERVAL_S)

    def closed(self) -> None:
        """There is none. Delivery marks need not be kept: the next Connect carries the cursors."""
        self._live = False
        self._delivered.clear()
        for waiting, conversation_id, seq in self._told.values():
            if waiting is self._reads:
                _raise(waiting, conversation_id, seq)
        self._told.clear()

    def forget(self) -> None:
        """The server's past is another one: marks of the old one would point behind its end."""
        self._delivered.clear()
        self._reads.clear()
        self._told.clear()

    def refused(self, request_id: int, error: ImError) -> bool:
        """Whether that was a mark; it goes again if that can help."""
        told = self._told.pop(request_id, None)
        if told is not None and error.retryable:
            _raise(*told)
            self._wake(INTERVAL_S, at_least_s=error.retry_after_ms / 1000 or RETRY_S)
        return told is not None

    def stop(self) -> None:
        """Send and save what is there; nothing is begun any more."""
        self._stopped = True
        self._flush()

    def _wake(self, interval_s: float, *, at_least_s: float = FIRST_WAIT_S) -> None:
        if self._stopped:
            # The application stopped the client while it was told this very message.
            return
        now_s = self._clock.seconds()
        due_s = max(now_s + at_least_s, self._flushed_s + interval_s)
        if self._timer is None:
            self._timer = self._clock.callLater(due_s - now_s, self._flush)
        elif self._timer.getTime() > due_s:
            self._timer.reset(due_s - now_s)

    def _flush(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        self._flushed_s = self._clock.seconds()
        if self._live:
            said = self._say(self._reads, AT_ONCE)
            self._say(self._delivered, AT_ONCE - said)
            if (self._reads or self._delivered) and not self._stopped:
                self._timer = self._clock.callLater(BREATH_S, self._flush)
        try:
            self._cursors.save()
        except OSError as error:
            # A full disk costs a second delivery after a restart, not the conversation.
            self._log.warn("cursors were not saved: {error}", error=error)

    def _say(self, waiting: dict[str, int], room: int) -> int:
        conversation_ids = list(islice(waiting, room))
        for conversation_id in conversation_ids:
            seq = waiting.pop(conversation_id)
            envelope = Envelope()
            if waiting is self._reads:
                envelope.read.conversationId = conversation_id
                envelope.read.readSeq = seq
            else:
                envelope.deliverAck.conversationId = conversation_id
                envelope.deliverAck.seq = seq
            self._told[self._send(envelope)] = (waiting, conversation_id, seq)
        for request_id in list(islice(self._told, max(0, len(self._told) - MAX_TOLD))):
            del self._told[request_id]
        return len(conversation_ids)


def _raise(waiting: dict[str, int], conversation_id: str, seq: int) -> None:
    waiting[conversation_id] = max(seq, waiting.get(conversation_id, 0))
