"""Deliveries of sampled messages that clients have not acknowledged yet: the last hop of a trace."""

from __future__ import annotations

from collections import deque

from imd.core.message.recipients import Recipient
from imd.kernel.trace_context import TraceContext
from imd.ops.tracing import Attributes, Moment, Tracer

#: Conversations with such deliveries, and deliveries of each, at most; 300 B each. The oldest are let go.
MAX_CONVERSATIONS = 1_000
MAX_EACH = 10
#: Of a message that many are told, the first to acknowledge it are enough to see how clients do.
ACKS_EACH = 10
#: A client that acknowledges later was away, and has it from a sync.
WITHIN_S = 60.0


class _Awaited:
    """A delivery to whoever is here."""

    __slots__ = ("delivery", "heard", "seq", "since")

    def __init__(self, seq: int, delivery: TraceContext, sender: Recipient | None, since: Moment) -> None:
        self.seq = seq
        self.delivery = delivery
        self.since = since
        #: Devices of which nothing more is awaited: the one that sent it, and those that have acknowledged it. By
        #: name: a session that has gone is not to be kept for this.
        self.heard = [("", 0) if sender is None else _device(sender)]


class AwaitedAcks:
    """Turns acknowledgements into spans, from the delivery to the word of the client."""

    def __init__(self, *, tracer: Tracer) -> None:
        self._tracer = tracer
        #: By conversation; mostly there are none, and nothing is to be done.
        self.awaited: dict[str, deque[_Awaited]] = {}

    def expect(
        self, conversation_id: str, seq: int, delivery: TraceContext, *, sender: Recipient | None
    ) -> None:
        """This message was just delivered, to all but the device that sent it."""
        awaited = self.awaited.pop(conversation_id, None) or deque(maxlen=MAX_EACH)
        awaited.append(_Awaited(seq, delivery, sender, self._tracer.now()))
        self.awaited[conversation_id] = awaited
        if len(self.awaited) > MAX_CONVERSATIONS:
            del self.awaited[next(iter(self.awaited))]

    def acknowledged(self, conversation_id: str, seq: int, by: Recipient) -> None:
        """A device has everything up to here."""
        awaited = self.awaited.get(conversation_id)
        if awaited is None:
            return
        now = self._tracer.now()
        for each in list(awaited):
            late = now.steady_ns - each.since.steady_ns > WITHIN_S * 1e9
            if each.seq <= seq and not late and _device(by) not in each.heard:
                each.heard.append(_device(by))
                whose: Attributes = {"im.user_id": by.user_id, "im.device_id": by.device_id}
                self._tracer.start("client.ack", each.delivery, since=each.since, attributes=whose).end()
            if late or len(each.heard) > ACKS_EACH:
                awaited.remove(each)
        if not awaited:
            del self.awaited[conversation_id]


def _device(recipient: Recipient) -> tuple[str, int]:
    return recipient.device_id, recipient.user_id
