"""From the log to everybody who is here: once a batch, one push a receiver.

A message is encoded once and its bytes are shared. Large conversations and large bodies go as a
hint, and are pulled by those who look (spec 7.4).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple, Protocol

from twisted.logger import Logger

from imd.core.directory import P2P
from imd.core.explain.model import Mode
from imd.core.explain.ports import NO_RECORD, FanoutRecord
from imd.core.message.client_acks import AwaitedAcks
from imd.core.message.live import LARGE_GROUP_MEMBERS, LiveConversation, LiveConversations
from imd.core.message.recent import RecentMessages
from imd.core.message.recipients import Recipient
from imd.core.message.traced import TracedDelivery
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError
from imd.kernel.histogram import Histogram
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep
from imd.ops.metrics.buckets import BATCH, FANOUT
from imd.ops.tracing import NO_TRACER, Span, Tracer
from imd.pb.delivery_pb2 import Hint
from imd.pb.envelope_pb2 import Envelope
from imd.wire.codec import encode
from imd.wire.outbound import Outbound, Priority, deliver, joined

#: A conversation that was slow to fan out is hinted for so long, then tried again.
HINT_PENALTY_S = 60.0
#: Hints of one conversation come no closer together: each brings a pull from everybody who looks.
HINT_INTERVAL_S = 0.2
#: Deliveries joined into one push; more would burst a receiver's queue at a stroke.
MAX_JOINED_BYTES = 64 * 1024
#: Conversations whose newest messages are kept for those who pull them, up to 1 MiB each.
MAX_RECENT = 64
#: Read once: looked up in the class each costs as much as half a record.
_PUSHED, _HINTED = Mode.PUSHED, Mode.HINTED
#: Members of a group who wrote lately, and so are told how far the others have read.
MAX_SENDERS = 100


class Deliverable(Protocol):
    """A stored message that the members here are to be told: a send of this node's, or another node's word."""

    @property
    def live(self) -> LiveConversation: ...

    @property
    def seq(self) -> int: ...

    @property
    def sender_id(self) -> int: ...

    @property
    def stored_body(self) -> bytes: ...

    @property
    def recipient(self) -> Recipient | None:
        """The sending device; it is not told."""
        ...

    @property
    def revokes(self) -> tuple[int, bytes] | None: ...

    @property
    def traced(self) -> TracedDelivery | None: ...


class HintThresholds(NamedTuple):
    """When to hint instead of deliver (spec 7.4)."""

    members_online: int
    body_bytes: int
    fanout_s: float
    #: Large bodies still go directly to conversations of at most so many members.
    small_group_members: int


class FanoutCounts:
    """Once a batch of one conversation; of those with somebody here."""

    def __init__(self) -> None:
        self.pushed = 0
        self.hinted = 0
        #: Messages times connections.
        self.deliveries = 0
        self.batch_messages = Histogram(BATCH.bounds)
        self.seconds = Histogram(FANOUT.bounds)
        self.slow = 0
        self.failures = 0


class Fanout:
    """Tells the members at this node."""

    _logger = Logger()

    def __init__(
        self,
        *,
        live: LiveConversations,
        tasks: Tasks,
        clock: Clock,
        thresholds: HintThresholds,
        node_count: Callable[[], int] = lambda: 1,
        record: FanoutRecord = NO_RECORD,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._live = live
        self._tasks = tasks
        self._clock = clock
        self.thresholds = thresholds
        self._node_count = node_count
        self._record = record
        #: Of deliveries that are traced.
        self.awaited_acks = AwaitedAcks(tracer=tracer)
        self._held: dict[LiveConversation, list[Deliverable]] = {}
        self._hints_due: dict[LiveConversation, Priority] = {}
        #: Those with ``recent``, the latest last.
        self._with_recent: dict[LiveConversation, None] = {}
        self.counts = FanoutCounts()

    @property
    def waiting_for_audience(self) -> int:
        """Conversations of which it is being learned who is in."""
        return len(self._held)

    @property
    def waiting_for_hint(self) -> int:
        """Conversations whose next hint is not due yet."""
        return len(self._hints_due)

    def deliver(self, sends: Sequence[Deliverable]) -> None:
        """Fan out sends that just became durable, in their order."""
        by_conversation: dict[LiveConversation, list[Deliverable]] = {}
        for send in sends:
            by_conversation.setdefault(send.live, []).append(send)
        for live, batch in by_conversation.items():
            self._try_to_deliver(live, batch)

    def _try_to_deliver(self, live: LiveConversation, sends: Sequence[Deliverable]) -> None:
        try:
            self._deliver_to(live, sends)
        except Exception:
            self.counts.failures += 1
            self._logger.failure("fan-out of {id} failed; the sweep repairs it", id=live.conversation_id)
            live.fanned_seq = min(live.fanned_seq, sends[0].seq - 1)
            self._record.fanned(live, sends[0].seq, sends[-1].seq, Mode.FAILED, 0)

    def _deliver_to(self, live: LiveConversation, sends: Sequence[Deliverable]) -> None:
        if live.audience is None or live in self._held:
            self._hold(live, sends)
            return
        last_seq = sends[-1].seq
        live.fanned_seq = max(live.fanned_seq, last_seq)
        self._remember_senders(live, sends)
        if not live.audience:
            self._record.fanned(live, sends[0].seq, last_seq, _PUSHED, 0)
            return
        spans: list[tuple[Deliverable, Span]] = []
        for send in sends:
            if send.traced is not None:
                # Mostly there is one message, for which a comprehension is a call too many.
                spans.append((send, send.traced.delivering()))  # noqa: PERF401
        is_hint = self._push(live, live.audience, sends)
        mode = _HINTED if is_hint else _PUSHED
        self._record.fanned(live, sends[0].seq, last_seq, mode, len(live.audience))
        for send, span in spans:
            self._delivered(live, send, span, is_hint=is_hint)

    def _push(
        self, live: LiveConversation, audience: Collection[Recipient], sends: Sequence[Deliverable]
    ) -> bool:
        """Hand the messages to who is here, or a hint: then true."""
        # One for all that is said here, whatever it was admitted with: a connection sends by priority,
        # and must not overtake within a conversation.
        priority = Priority.LARGE_GROUP if live.member_count > LARGE_GROUP_MEMBERS else Priority.NORMAL
        counts = self.counts
        counts.batch_messages.observe(len(sends))
        if self._wants_hint(live, sends):
            counts.hinted += len(sends)
            self._keep_recent(live, sends)
            self._hint_soon(live, priority, sends[0].recipient if len(sends) == 1 else None)
            return True
        if live.recent is not None:
            self._drop_recent(live)
        started_s = self._clock.seconds()
        if len(sends) == 1:
            send = sends[0]
            _push_to_others(audience, deliver(send.stored_body, priority), send.recipient)
        else:
            _push_batch(audience, sends, priority)
        took_s = self._clock.seconds() - started_s
        counts.pushed += len(sends)
        counts.deliveries += len(sends) * len(audience)
        counts.seconds.observe(took_s)
        if took_s > self.thresholds.fanout_s:
            counts.slow += 1
            live.hint_until_s = self._clock.seconds() + HINT_PENALTY_S
        return False

    def _delivered(self, live: LiveConversation, send: Deliverable, span: Span, *, is_hint: bool) -> None:
        audience = live.audience or {}
        sessions = len(audience) - (send.recipient in audience)
        if not sessions:
            # Only the device that sent it is here, and knows it.
            return
        span.end({"im.sessions": sessions, "im.as": "hint" if is_hint else "message", "im.seq": send.seq})
        self.awaited_acks.expect(
            live.conversation_id, send.seq, span.context, sender=send.recipient, sessions=sessions
        )

    def _hint_soon(self, live: LiveConversation, priority: Priority, sender: Recipient | None) -> None:
        """At once, or, so soon after the last one, together with what comes until then."""
        now_s = self._clock.seconds()
        if now_s - live.hinted_at_s >= HINT_INTERVAL_S:
            live.hinted_at_s = now_s
            live.hinted_seq = live.fanned_seq
            _push_to_others(live.audience or (), _hint(live, live.fanned_seq, priority), sender)
            return
        if not self._hints_due:
            self._tasks.spawn("hints", self._hint_due())
        self._hints_due[live] = priority

    async def _hint_due(self) -> None:
        await sleep(HINT_INTERVAL_S, clock=self._clock)
        due, self._hints_due = self._hints_due, {}
        for live, priority in due.items():
            if live.audience is None:
                # Its membership has just changed: the sweep finds who is here, and what they miss.
                live.fanned_seq = live.hinted_seq
                continue
            live.hinted_at_s = self._clock.seconds()
            live.hinted_seq = live.fanned_seq
            _push_to_others(live.audience, _hint(live, live.fanned_seq, priority), None)

    def _wants_hint(self, live: LiveConversation, sends: Sequence[Deliverable]) -> bool:
        limits = self.thresholds
        # Connections are dealt out evenly: as many as here are online at each of the nodes, and no more than
        # there are members. Near the threshold a node may be wrong, about the few that are here.
        online = len(live.audience or ()) * self._node_count()
        if online > limits.members_online and live.member_count > limits.members_online:
            return True
        if live.hint_until_s > self._clock.seconds():
            return True
        if live.member_count <= limits.small_group_members:
            return False
        return any(len(send.stored_body) > limits.body_bytes for send in sends)

    def _keep_recent(self, live: LiveConversation, sends: Sequence[Deliverable]) -> None:
        """A thousand members will ask for these at once."""
        recent = live.recent
        if recent is None:
            recent = live.recent = RecentMessages()
        for send in sends:
            recent.add(send.seq, send.stored_body)
            if send.revokes is not None:
                recent.replace(*send.revokes)
        self._with_recent.pop(live, None)
        self._with_recent[live] = None
        if len(self._with_recent) > MAX_RECENT:
            self._drop_recent(next(iter(self._with_recent)))

    def _drop_recent(self, live: LiveConversation) -> None:
        live.recent = None
        self._with_recent.pop(live, None)

    def _remember_senders(self, live: LiveConversation, sends: Sequence[Deliverable]) -> None:
        """Receipts of a group go to those who wrote in it lately."""
        if live.membership is None or live.membership.kind == P2P:
            return
        senders = live.senders
        if senders is None:
            senders = live.senders = {}
        for send in sends:
            senders.pop(send.sender_id, None)
            senders[send.sender_id] = None
        while len(senders) > MAX_SENDERS:
            del senders[next(iter(senders))]

    def hint(self, live: LiveConversation, last_seq: int) -> None:
        """Tell everybody here that there is something up to ``last_seq``."""
        if live.audience is None:
            # Nobody would hear it, and it would count as told. The sweep finds out who is here first.
            return
        first_seq = min(live.fanned_seq + 1, last_seq)
        live.fanned_seq = max(live.fanned_seq, last_seq)
        _push_to_others(live.audience, _hint(live, last_seq, Priority.NORMAL), None)
        self._record.fanned(live, first_seq, last_seq, Mode.HINTED, len(live.audience))

    def broadcast(self, live: LiveConversation, outbound: Outbound, besides: Recipient | None) -> None:
        """Something that is not stored (typing) to everybody here but one."""
        _push_to_others(live.audience or (), outbound, besides)

    def _hold(self, live: LiveConversation, sends: Sequence[Deliverable]) -> None:
        """The membership changed while these were written: find out who is in, then deliver in order."""
        held = self._held.get(live)
        if held is not None:
            held.extend(sends)
            return
        self._held[live] = list(sends)
        self._tasks.spawn("find the audience", self._deliver_held(live))

    async def _deliver_held(self, live: LiveConversation) -> None:
        current: LiveConversation | None = None
        try:
            current = await self._live.load_or_assume(live.conversation_id)
        except ImError as error:
            # Not lost: the sweep finds fanned_seq behind last_seq and hints.
            self._logger.warn(
                "fan-out of {id} waits for the sweep: {why}", id=live.conversation_id, why=error
            )
        finally:
            sends = self._held.pop(live)
        if current is not None:
            self._try_to_deliver(current, sends)


def _push_to_others(audience: Iterable[Recipient], outbound: Outbound, besides: Recipient | None) -> None:
    for recipient in audience:
        if recipient is not besides:
            recipient.push(outbound)


def _hint(live: LiveConversation, last_seq: int, priority: Priority) -> Outbound:
    hint = Envelope(hint=Hint(conversationId=live.conversation_id, lastSeq=last_seq))
    return Outbound(encode(hint), priority, 1)


def _push_batch(audience: Iterable[Recipient], sends: Sequence[Deliverable], priority: Priority) -> None:
    """Several messages of one conversation: joined for those who sent none of them."""
    parts = [deliver(send.stored_body, priority) for send in sends]
    senders = {send.recipient for send in sends}
    runs = _runs(parts)
    for recipient in audience:
        if recipient in senders:
            for send, part in zip(sends, parts, strict=True):
                if send.recipient is not recipient:
                    recipient.push(part)
        else:
            for run in runs:
                recipient.push(run)


def _runs(parts: list[Outbound]) -> list[Outbound]:
    runs: list[Outbound] = []
    current: list[Outbound] = []
    size_bytes = 0
    for part in parts:
        if current and size_bytes + len(part.frames) > MAX_JOINED_BYTES:
            runs.append(joined(current, current[0].priority))
            current, size_bytes = [], 0
        current.append(part)
        size_bytes += len(part.frames)
    runs.append(joined(current, current[0].priority) if len(current) > 1 else current[0])
    return runs
