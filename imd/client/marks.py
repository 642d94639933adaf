"""How far we have come, told to the server: DeliverAck and Receipt, cumulative and unhurried."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from imd.client.cursors import CursorStore
from imd.kernel.clocks import Clock
from imd.pb.envelope_pb2 import Envelope

#: One DeliverAck a conversation and second; the first goes sooner, so that a sender sees his tick.
INTERVAL_S = 1.0
FIRST_WAIT_S = 0.02
#: The server works on 16 requests of a connection at a time and refuses more.
AT_ONCE = 10
BREATH_S = 0.05
#: Receipts kept while there is no connection.
MAX_READS = 10_000


class Marks:
    """Gathers the newest mark of each conversation and sends all of them at most once a second."""

    _log = Logger()

    def __init__(self, *, clock: Clock, cursors: CursorStore, tell: Callable[[Envelope], None]) -> None:
        self._clock = clock
        self._cursors = cursors
        self._tell = tell
        self._delivered: dict[str, int] = {}
        self._reads: dict[str, int] = {}
        self._timer: IDelayedCall | None = None
        self._not_before_s = 0.0
        self._live = False
        self._stopped = False

    def delivered(self, conversation_id: str, seq: int) -> None:
        """The application has everything up to ``seq``."""
        if self._stopped:
            # It stopped the client while it was told this very message.
            return
        self._delivered[conversation_id] = seq
        if self._timer is None:
            wait_s = max(FIRST_WAIT_S, self._not_before_s - self._clock.seconds())
            self._timer = self._clock.callLater(wait_s, self._flush)

    def read(self, conversation_id: str, seq: int) -> None:
        """The user has read up to ``seq``; kept over a missing connection."""
        if self._live:
            self._tell(_receipt(conversation_id, seq))
        elif len(self._reads) < MAX_READS or conversation_id in self._reads:
            self._reads[conversation_id] = max(seq, self._reads.get(conversation_id, 0))

    def opened(self) -> None:
        """There is a connection: send what was kept."""
        self._live = True
        reads, self._reads = self._reads, {}
        for conversation_id, seq in reads.items():
            self._tell(_receipt(conversation_id, seq))

    def closed(self) -> None:
        """There is none. Delivery marks need not be kept: the next Connect carries the cursors."""
        self._live = False
        self._delivered.clear()

    def stop(self) -> None:
        """Send and save what is there; nothing is begun any more."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        self._flush()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flush(self) -> None:
        self._timer = None
        self._not_before_s = self._clock.seconds() + INTERVAL_S
        for conversation_id in list(self._delivered)[:AT_ONCE]:
            seq = self._delivered.pop(conversation_id)
            envelope = Envelope()
            envelope.deliverAck.conversationId = conversation_id
            envelope.deliverAck.seq = seq
            self._tell(envelope)
        if self._delivered:
            self._timer = self._clock.callLater(BREATH_S, self._flush)
        try:
            self._cursors.save()
        except OSError as error:
            # A full disk costs a second delivery after a restart, not the conversation.
            self._log.warn("cursors were not saved: {error}", error=error)


def _receipt(conversation_id: str, seq: int) -> Envelope:
    envelope = Envelope()
    envelope.read.conversationId = conversation_id
    envelope.read.readSeq = seq
    return envelope
