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

    __slots__ = ("delivery", "heard", "left", "seq", "since")

    def __init__(
        self, seq: int, delivery: TraceContext, *, sender: Recipient | None, sessions: int, since: Moment
    ) -> None:
        self.seq = seq
        self.delivery = delivery
        self.since = since
        #: So many more are awaited. As soon as nobody is, acknowledgements of the conversation cost nothing again.
        self.left = min(sessions, ACKS_EACH)
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
        self,
        conversation_id: str,
        seq: int,
        delivery: TraceContext,
        *,
        sender: Recipient | None,
        sessions: int,
    ) -> None:
        """This message was just delivered to so many sessions, none of them of the device that sent it."""
        awaited = self.awaited.pop(conversation_id, None) or deque(maxlen=MAX_EACH)
        since = self._tracer.now()
        awaited.append(_Awaited(seq, delivery, sender=sender, sessions=sessions, since=since))
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
                each.left -= 1
                whose: Attributes = {"im.user_id": by.user_id, "im.device_id": by.device_id}
                self._tracer.start("client.ack", each.delivery, since=each.since, attributes=whose).end()
            if late or not each.left:
                awaited.remove(each)
        if not awaited:
            del self.awaited[conversation_id]


def _device(recipient: Recipient) -> tuple[str, int]:
    return recipient.device_id, recipient.user_id
