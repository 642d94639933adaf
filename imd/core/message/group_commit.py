"""Group commit: one write in flight; whatever arrives meanwhile is the next batch.

No timer: at low load a message is written at once, at high load batches grow by themselves. The
store inserts in order; at the first refused row the durable prefix is answered and the rest gets
new seqs. ``last_seq`` comes only from a durable insert or read; after an unknown outcome it is
forgotten, and the fate of each message is read before anything is said about it (spec 23.2).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Protocol

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from imd.core.message.content import with_id, with_seq
from imd.core.message.model import AppendResult, IdTaken, NewMessage, StoredKey
from imd.core.message.ports import MessageLog
from imd.core.message.sends import PendingSend
from imd.core.message.write_counts import WriteCounts
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError, OutcomeUnknown, ServerBusy
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep

#: Then the sender is told FAILED, or DELAYED when it may be stored (spec 23.2).
RETRY_DELAYS_S = (1.0, 3.0, 5.0)
#: Bytes in one commit: 200 messages of 256 KiB would be a pause for everybody else.
MAX_BATCH_BYTES = 4 * 1024 * 1024
#: Appends in a row that another owner outran, or whose id was taken, before the store counts as busy: no
#: endless race.
MAX_OUTRUN = 10
#: So often it is noted since when a send waits; a batch has mostly more than that.
STAMPED_ONE_IN = 16
#: Known keys met one by one, an append each, before those of the whole batch are looked up at once.
MAX_FOUND_SINGLY = 2


class Settlement(Protocol):
    """Who hears how each send ended. Every submitted send is reported exactly once, apart from ``in_doubt``."""

    def committed(self, sends: Sequence[PendingSend]) -> None:
        """These became durable, in this order, and nobody has been told of them yet."""
        ...

    async def outrun(self, sends: Sequence[PendingSend]) -> Mapping[PendingSend, ImError]:
        """Another node has written in the conversation of these, maybe that some of them must not be written
        any more. Which, and why; never raises."""
        ...

    def found(self, send: PendingSend, stored: StoredKey) -> None:
        """The store held this send's key already, by an earlier send."""
        ...

    def failed(self, send: PendingSend, error: ImError) -> None:
        """Provably not stored."""
        ...

    def refused(self, send: PendingSend, error: ImError) -> None:
        """Not stored by this try, nor will be; an earlier send of the same may be."""
        ...

    def in_doubt(self, send: PendingSend) -> None:
        """All retries are used up and it may be stored; it is looked after until that is known."""
        ...


class _Outcome(Enum):
    """How an append went that did not fail. OUTRUN: nothing was stored, it is to be tried again at once."""

    STORED = 1
    FOUND_ONE = 2
    OUTRUN = 3


class GroupCommit:
    """The writer of one store partition.

    :param new_id: for a message whose server_msg_id turns out to be another one's.
    :param counts: where it is counted, with other writers.
    """

    _logger = Logger()

    def __init__(
        self,
        *,
        log: MessageLog,
        new_id: Callable[[], int],
        clock: Clock,
        tasks: Tasks,
        batch_size: int,
        settlement: Settlement,
        counts: WriteCounts | None = None,
    ) -> None:
        self._log = log
        self._new_id = new_id
        self._clock = clock
        self._tasks = tasks
        self._batch_size = batch_size
        self._settlement = settlement
        self._counted = counts or WriteCounts()
        self._queue: deque[PendingSend] = deque()
        self._running = False
        self._store_down = False

    def submit(self, send: PendingSend) -> None:
        """Write it with the next batch; ``send.live`` is set, and pinned by ``in_use``."""
        if not len(self._queue) % STAMPED_ONE_IN:
            send.queued_at_s = self._clock.seconds()
        self._queue.append(send)
        if not self._running:
            self._running = True
            self._tasks.spawn("group commit", self._run())

    async def _run(self) -> None:
        try:
            while self._queue:
                await self._write(self._next_batch())
        finally:
            self._running = False

    def _next_batch(self) -> list[PendingSend]:
        queue = self._queue
        batch: list[PendingSend] = []
        size_bytes = 0
        while queue and len(batch) < self._batch_size and size_bytes < MAX_BATCH_BYTES:
            send = queue.popleft()
            size_bytes += len(send.body)
            batch.append(send)
        return batch

    async def _write(self, batch: list[PendingSend]) -> None:
        """Until every send of the batch has its final answer; each leaves the batch as it gets it."""
        failures = found = outrun = 0
        while batch:
            try:
                outcome = await self._attempt(batch, look_up_all=found >= MAX_FOUND_SINGLY)
                found = found + 1 if outcome is _Outcome.FOUND_ONE else 0
                if outcome is _Outcome.OUTRUN:
                    outrun += 1
                    self._counted.retries["outrun"] += 1
                    if outrun < MAX_OUTRUN:
                        continue
                    raise ServerBusy("this conversation is written elsewhere", retry_after_ms=1000)
                failures = outrun = 0
                self._store_works()
                continue
            except CancelledError:
                # The role stops; a store does not cancel itself.
                raise
            except ServerBusy as error:
                self._counted.retries["busy"] += 1
                self._rewind(batch)
                cause: ImError = error
            except OutcomeUnknown as error:
                self._doubt(batch)
                cause = error
            except Exception:
                self._logger.failure("the message store broke its contract")
                self._doubt(batch)
                cause = OutcomeUnknown("the store failed in an unforeseen way")
            failures += 1
            outrun = 0
            await self._pause_or_give_up(batch, cause, failures)

    async def _attempt(self, batch: list[PendingSend], *, look_up_all: bool) -> _Outcome:
        """One ordered append; what is still to do stays in the batch."""
        if look_up_all or any(send.outcome_unknown for send in batch):
            await self._settle_known(batch, look_up_all=look_up_all)
            if not batch:
                return _Outcome.STORED
        unread = [send.live for send in batch if send.live.last_seq is None]
        if unread:
            last_seqs = await self._log.last_seqs(list({live.conversation_id for live in unread}))
            for live in unread:
                live.last_seq = live.tail = last_seqs.get(live.conversation_id, 0)
        result = await self._append(batch)
        stored = batch[: result.stored]
        del batch[: result.stored]
        for send in stored:
            send.live.last_seq = send.seq
        self._rewind(batch)
        if stored:
            self._report(self._settlement.committed, stored)
        if isinstance(result.refused, StoredKey):
            self._report_known([(batch.pop(0), result.refused)])
            return _Outcome.FOUND_ONE
        if isinstance(result.refused, IdTaken):
            self._renumber(batch)
        elif batch:
            batch[0].live.last_seq = None
            await self._judge_anew(batch)
        return _Outcome.STORED if stored else _Outcome.OUTRUN

    async def _append(self, batch: list[PendingSend]) -> AppendResult:
        began_s, counted = self._clock.seconds(), self._counted
        stamped = next((send.queued_at_s for send in batch if send.queued_at_s), began_s)
        counted.assign_seq_seconds.observe(began_s - stamped)
        counted.batch_messages.observe(len(batch))
        rows = self._rows(batch)
        try:
            result = await self._log.append(rows)
        finally:
            counted.write_seconds.observe(self._clock.seconds() - began_s)
        counted.stored += result.stored
        counted.stored_bytes += sum([len(row.body) for row in rows[: result.stored]])
        return result

    async def _judge_anew(self, batch: list[PendingSend]) -> None:
        """What waits to be written behind another node's message was let in before that: it may tell of a kick."""
        live = batch[0].live
        behind = [send for send in (*batch, *self._queue) if send.live is live and not send.outcome_unknown]
        refused = await self._settlement.outrun(behind) if behind else {}
        if not refused:
            return
        batch[:] = [send for send in batch if send not in refused]
        self._queue = deque(send for send in self._queue if send not in refused)
        for send, error in refused.items():
            self._report(self._settlement.refused, send, error)

    def _renumber(self, batch: list[PendingSend]) -> None:
        """Of the first one nothing is stored, nor will be by earlier tries: its id is another message's."""
        send = batch[0]
        try:
            send.server_msg_id = self._new_id()
        except ServerBusy as error:
            if send.outcome_unknown:
                raise
            self._report(self._settlement.failed, batch.pop(0), error)
        else:
            send.body = with_id(send.body, send.server_msg_id)

    def _report(self, tell: Callable[..., None], *what: object) -> None:
        """Whatever goes wrong in telling must not have the batch written again, nor end the writing."""
        try:
            tell(*what)
        except Exception:
            self._logger.failure("telling how a send ended failed")

    def _report_known(self, known: Sequence[tuple[PendingSend, StoredKey]]) -> None:
        """What the store holds already: by an attempt of ours that nobody has heard of, or an earlier send."""
        ours: list[PendingSend] = []
        for send, stored in known:
            if stored.server_msg_id == send.server_msg_id:
                send.seq = stored.seq
                send.stored_body = with_seq(send.body, stored.seq)
                ours.append(send)
            else:
                self._report(self._settlement.found, send, stored)
        if ours:
            self._report(self._settlement.committed, ours)

    def _rows(self, batch: list[PendingSend]) -> list[NewMessage]:
        rows: list[NewMessage] = []
        for send in batch:
            live = send.live
            live.tail += 1
            seq = send.seq = live.tail
            body = send.stored_body = with_seq(send.body, seq)
            if send.traced is not None:
                send.traced.writing(len(batch))
            conversation_id, sender_id, client_msg_id = send.key
            revokes_seq, revoked_body = send.revokes or (0, b"")
            rows.append(
                NewMessage(
                    conversation_id,
                    seq,
                    sender_id,
                    client_msg_id,
                    send.server_msg_id,
                    send.server_time_ms,
                    send.content_hash,
                    body,
                    revokes_seq,
                    revoked_body,
                )
            )
        return rows

    def _rewind(self, sends: Sequence[PendingSend]) -> None:
        for send in sends:
            send.live.tail = send.live.last_seq or 0

    def _doubt(self, batch: Sequence[PendingSend]) -> None:
        self._counted.retries["unknown"] += 1
        for send in batch:
            send.outcome_unknown = True
            send.live.last_seq = None

    async def _settle_known(self, batch: list[PendingSend], *, look_up_all: bool) -> None:
        """Read what became of the sends in doubt; those that are not there stay, to be written again.

        Nothing is said before all reads have succeeded: a failure in the middle changes nothing.
        """
        asked: dict[tuple[str, int], list[PendingSend]] = {}
        for send in batch:
            if look_up_all or send.outcome_unknown:
                asked.setdefault((send.key.conversation_id, send.key.sender_id), []).append(send)
        answers: dict[PendingSend, StoredKey | None] = {}
        for (conversation_id, sender_id), sends in asked.items():
            client_msg_ids = [send.key.client_msg_id for send in sends]
            keys = await self._log.find(conversation_id, sender_id, client_msg_ids)
            for send in sends:
                answers[send] = keys.get(send.key.client_msg_id)
        known: list[tuple[PendingSend, StoredKey]] = []
        left: list[PendingSend] = []
        for send in batch:
            stored = answers.get(send)
            if stored is not None:
                known.append((send, stored))
                continue
            if send in answers:
                # What another node has taken in may be written by it at any time.
                send.outcome_unknown = send.taken_by is not None
            left.append(send)
        batch[:] = left
        self._report_known(known)

    async def _pause_or_give_up(self, batch: list[PendingSend], cause: ImError, failures: int) -> None:
        """Wait for the next try, or, the tries used up, say so; what is in doubt stays in the batch."""
        if not self._store_down and failures <= len(RETRY_DELAYS_S):
            await sleep(RETRY_DELAYS_S[failures - 1], clock=self._clock)
            return
        if not self._store_down:
            self._store_down = True
            self._counted.down += 1
            self._logger.error("the message store does not take writes: {cause}", cause=cause.message)
        failed = [send for send in batch if not send.outcome_unknown]
        batch[:] = [send for send in batch if send.outcome_unknown]
        if batch:
            # Nobody waits behind what is in doubt, maybe for hours, without being told.
            failed += [send for send in self._queue if not send.outcome_unknown]
            self._queue = deque(send for send in self._queue if send.outcome_unknown)
        refusal = ServerBusy("the message store does not take writes", retry_after_ms=1000)
        for send in failed:
            self._report(self._settlement.failed, send, refusal)
        for send in (*batch, *self._queue) if batch else ():
            if not send.told_delayed:
                send.told_delayed = True
                self._report(self._settlement.in_doubt, send)
        if batch:
            await sleep(RETRY_DELAYS_S[-1], clock=self._clock)

    def _store_works(self) -> None:
        if self._store_down:
            self._store_down = False
            self._counted.down -= 1
            self._logger.info("the message store takes writes again")
