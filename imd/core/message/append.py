"""Admission: who may write, is it new, is there room. Then the group commit takes over.

Sends of one conversation keep the order in which they were submitted, also while its members are
being looked up. On a hot conversation a send costs no await.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from twisted.logger import Logger

from imd.core.message.content import less_after
from imd.core.message.fanout import Fanout
from imd.core.message.forward_codec import DistantDevice
from imd.core.message.group_commit import GroupCommit
from imd.core.message.live import LARGE_GROUP_MEMBERS, LiveConversation, LiveConversations
from imd.core.message.model import StoredKey
from imd.core.message.neighbours import Neighbours
from imd.core.message.ports import MessageLog
from imd.core.message.receipts import Receipts
from imd.core.message.refuse import Refusals, answer_known, conflict
from imd.core.message.sends import SYSTEM_SENDER_ID, PendingSend, SendKey
from imd.core.message.waiting import WaitingSends
from imd.core.message.write_counts import WriteCounts
from imd.core.permission.decide import refusal
from imd.core.permission.stand_in import StandIn
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError, RateLimited, ServerBusy
from imd.kernel.eviction import forget_oldest
from imd.kernel.tasks import Tasks
from imd.kernel.token_bucket import TokenBucket
from imd.wire.outbound import Priority

#: Results remembered so that a resend is answered without the store (spec 9.7); about 300 B each.
RECENT_SENDS = 100_000
#: Resends of one message while it is being written; a client needs one a connection.
MAX_TWINS = 100

#: Share of the queue above which a priority is turned away (spec 7.4).
WATER_MARKS = {
    Priority.BULK: 0.70,
    Priority.LARGE_GROUP: 0.85,
    Priority.NORMAL: 0.95,
    Priority.CONTROL: 1.0,
}


class Appender:
    """Takes messages in; each gets one final answer through its ``Submitter``."""

    _logger = Logger()

    def __init__(
        self,
        *,
        live: LiveConversations,
        fanout: Fanout,
        neighbours: Neighbours,
        receipts: Receipts,
        refusals: Refusals,
        stand_in: StandIn,
        logs: Sequence[MessageLog],
        partition_of: Callable[[str], int],
        new_id: Callable[[], int],
        tasks: Tasks,
        clock: Clock,
        batch_size: int,
        queue_size: int,
        conversation_per_s: float,
        recent_sends: int = RECENT_SENDS,
    ) -> None:
        self._live = live
        self._fanout = fanout
        self._neighbours = neighbours
        self._receipts = receipts
        self.writes = WriteCounts()
        self._commits = [
            GroupCommit(
                log=log,
                new_id=new_id,
                clock=clock,
                tasks=tasks,
                batch_size=batch_size,
                settlement=self,
                counts=self.writes,
            )
            for log in logs
        ]
        self._refusals = refusals
        self._partition_of = partition_of
        self._tasks = tasks
        self._clock = clock
        self._room = {priority: int(queue_size * share) for priority, share in WATER_MARKS.items()}
        self.queue_size = queue_size
        #: Judged by what is known here, or after a question.
        self.judged_at_once = 0
        self.judged_later = 0
        #: Refused: no room, or too many in one conversation.
        self.crowded_out = 0
        self.too_fast = 0
        #: Of every conversation; 0: no limit. May be set at any time.
        self.conversation_per_s = conversation_per_s
        #: Somebody else who wants to know what was stored; must not fail.
        self.on_committed: Callable[[Sequence[PendingSend]], None] | None = None
        self._recent_limit = recent_sends
        self._recent: dict[SendKey, StoredKey] = {}
        self._in_flight: dict[SendKey, PendingSend] = {}
        self._stand_in = stand_in
        self._waiting = WaitingSends(
            live=live, stand_in=stand_in, admit=self._admit, refuse=refusals.refuse, tasks=tasks, clock=clock
        )

    @property
    def unsettled(self) -> int:
        """Sends without a final answer."""
        return len(self._in_flight) + len(self._waiting) + self._refusals.looking

    def is_busy_with(self, conversation_id: str) -> bool:
        """Whether sends of this conversation that came to this node first have no final answer yet."""
        live = self._live.known(conversation_id)
        if live is not None and live.own_in_use:
            return True
        return any(_is_own(send) for send in self._waiting.of(conversation_id))

    def holds(self, key: SendKey) -> bool:
        """Whether this send may be stored here yet, as far as it is not stored already."""
        return key in self._in_flight or any(
            send.key == key for send in self._waiting.of(key.conversation_id)
        )

    def submit(self, send: PendingSend) -> None:
        """See ``Submit``."""
        conversation_id = send.key.conversation_id
        if send.version:
            # The invalidation of the change that this tells of may still be on its way: by what is
            # known here who was just invited would not be told, and who was kicked would.
            out, less = less_after(send.body)
            self._live.at_least(conversation_id, send.version, removed_ids=out, restricted_ids=less)
        if send.traced is not None:
            send.traced.taken_in()
        live = None if conversation_id in self._waiting else self._live.hot(conversation_id)
        if live is not None:
            self.judged_at_once += 1
            self._admit(send, live)
        elif send.key in self._in_flight:
            self._join(self._in_flight[send.key], send)
        elif self.unsettled >= self._room[Priority.CONTROL] and not send.outcome_unknown:
            self.crowded_out += 1
            send.submitter.failed(send, ServerBusy("the server is busy", retry_after_ms=1000))
        else:
            self.judged_later += 1
            self._waiting.put(send)

    def _admit(self, send: PendingSend, live: LiveConversation) -> None:
        key = send.key
        stored = self._recent.get(key)
        if stored is not None:
            # Also for somebody who has left since: what is stored must not be called FAILED.
            answer_known(send, stored)
            return
        first = self._in_flight.get(key)
        if first is not None:
            # Admitted already, also for somebody who may not write any more.
            self._join(first, send)
            return
        if key.sender_id != SYSTEM_SENDER_ID:
            error = refusal(live.membership, key.sender_id, send.right, send.server_time_ms)
            if error is not None:
                self._refusals.refuse(send, error)
                return
        # What may be stored was admitted once; a refusal now would be no proof that it is not.
        full = None if send.outcome_unknown else self._no_room(send, live)
        if full is not None:
            send.submitter.failed(send, full)
            return
        send.live = live
        live.in_use += 1
        live.own_in_use += _is_own(send)
        self._in_flight[key] = send
        if send.traced is not None:
            send.traced.admitted()
        if not send.outcome_unknown:
            send.submitter.accepted(send)
        self._commits[self._partition_of(key.conversation_id)].submit(send)

    def _no_room(self, send: PendingSend, live: LiveConversation) -> ImError | None:
        """The reason why this message cannot be taken now, and its priority."""
        if send.key.sender_id == SYSTEM_SENDER_ID:
            send.priority = Priority.CONTROL
        elif live.member_count > LARGE_GROUP_MEMBERS:
            send.priority = Priority.BULK if send.is_media else Priority.LARGE_GROUP
        if self.unsettled >= self._room[send.priority]:
            self.crowded_out += 1
            return ServerBusy("the server is busy", retry_after_ms=1000)
        if self.conversation_per_s and send.priority is not Priority.CONTROL:
            return self._too_fast(live)
        return None

    def _too_fast(self, live: LiveConversation) -> ImError | None:
        rate, now_s, bucket = self.conversation_per_s, self._clock.seconds(), live.bucket
        if live.membership is not None:
            rate *= self._stand_in.rate_of(live.membership)
        if bucket is None:
            bucket = live.bucket = TokenBucket(rate_per_s=rate, burst=rate, now_s=now_s)
        elif bucket.rate_per_s != rate:
            bucket.change(now_s, rate_per_s=rate, burst=rate)
        if bucket.take(now_s):
            return None
        self.too_fast += 1
        return RateLimited("this conversation is too busy", retry_after_ms=bucket.retry_after_ms())

    def _join(self, first: PendingSend, send: PendingSend) -> None:
        if first.content_hash != send.content_hash:
            send.submitter.failed(send, conflict())
            return
        if first.twins is None:
            first.twins = []
        elif len(first.twins) >= MAX_TWINS:
            self._refusals.refuse(send, RateLimited("resent too often", retry_after_ms=1000))
            return
        first.twins.append(send)
        if send.traced is not None:
            send.traced.joined()
        if send.taken_by is not None:
            first.taken_by = send.taken_by
        if send.outcome_unknown:
            first.outcome_unknown = True
        else:
            send.submitter.accepted(send)

    # Settlement, called by the group commits

    def committed(self, sends: Sequence[PendingSend]) -> None:
        """See ``Settlement``. ACKs first, then the fan-out of the whole batch."""
        recent = self._recent
        for send in sends:
            stored = StoredKey(send.seq, send.server_msg_id, send.server_time_ms, send.content_hash, False)
            recent[send.key] = stored
            self._release(send)
            if send.traced is not None:
                send.traced.stored(send.seq)
            try:
                send.submitter.stored(send, duplicate=False)
                if send.twins:
                    for twin in send.twins:
                        answer_known(twin, stored)
            except Exception:
                self._logger.failure("a STORED was not told")
        forget_oldest(self._recent, self._recent_limit)
        self._fanout.deliver(sends)
        self._neighbours.deliver(sends)
        for send in sends:
            if send.traced is not None:
                send.traced.told()
        # Who writes has read what came before.
        written = {send.key[:2]: send.seq for send in sends if send.key.sender_id != SYSTEM_SENDER_ID}
        for (conversation_id, sender_id), seq in written.items():
            self._receipts.advance(conversation_id, sender_id, delivered=seq, read=seq)
        if self.on_committed is not None:
            self.on_committed(sends)

    async def outrun(self, sends: Sequence[PendingSend]) -> Mapping[PendingSend, ImError]:
        """See ``Settlement``. Judged as if they came now: asked about anew, or where nobody answers by the matrix."""
        conversation_id = sends[0].key.conversation_id
        # Not only forgotten: an answer that is under way may be older than what the other node wrote.
        self._live.at_least(conversation_id, 0)
        until_s = self._clock.seconds() + self._stand_in.patience_s(conversation_id)
        live: LiveConversation | None = None
        is_known = True
        try:
            await self._stand_in.ask(conversation_id, until_s=until_s)
            live = await self._live.load(conversation_id, sparing=True)
        except ImError:
            is_known = False
        membership = live.membership if live is not None else None
        refused: dict[PendingSend, ImError] = {}
        for send in sends:
            sender_id = send.key.sender_id
            if sender_id == SYSTEM_SENDER_ID:
                continue
            if is_known:
                error = refusal(membership, sender_id, send.right, send.server_time_ms)
            else:
                verdict = self._stand_in.after(send)
                error = verdict if isinstance(verdict, ImError) else None
            if error is not None:
                refused[send] = error
        return refused

    def found(self, send: PendingSend, stored: StoredKey) -> None:
        """See ``Settlement``. Another server may have stored it and died before it told anybody."""
        self._recent[send.key] = stored
        forget_oldest(self._recent, self._recent_limit)
        self._release(send)
        for each in (send, *(send.twins or ())):
            answer_known(each, stored)
        live = send.live
        if stored.seq > live.fanned_seq:
            self._fanout.hint(live, stored.seq)
            self._neighbours.hint(live, stored.seq)

    def failed(self, send: PendingSend, error: ImError) -> None:
        """See ``Settlement``."""
        self._release(send)
        for each in (send, *(send.twins or ())):
            each.submitter.failed(each, error)

    def refused(self, send: PendingSend, error: ImError) -> None:
        """See ``Settlement``."""
        self._release(send)
        for each in (send, *(send.twins or ())):
            self._refusals.refuse(each, error)

    def in_doubt(self, send: PendingSend) -> None:
        """See ``Settlement``."""
        for each in (send, *(send.twins or ())):
            each.submitter.delayed(each)

    def _release(self, send: PendingSend) -> None:
        self._in_flight.pop(send.key, None)
        send.live.in_use -= 1
        send.live.own_in_use -= _is_own(send)


def _is_own(send: PendingSend) -> bool:
    """Whether it came to this node first, not handed over by another."""
    return not isinstance(send.recipient, DistantDevice)
