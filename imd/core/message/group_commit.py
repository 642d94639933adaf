"""Group commit: one write in flight; whatever arrives meanwhile is the next batch.

No timer: at low load a message is written at once, at high load batches grow by themselves. The
store inserts in order; at the first refused row the durable prefix is answered and the rest gets
new seqs. ``last_seq`` comes only from a durable insert or read; after an unknown outcome it is
forgotten, and the fate of each message is read before anything is said about it (spec 23.2).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from twisted.logger import Logger

from imd.core.message.content import with_seq
from imd.core.message.model import NewMessage, SeqTaken, StoredKey
from imd.core.message.ports import MessageLog
from imd.core.message.sends import PendingSend
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError, OutcomeUnknown, ServerBusy
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep

#: Then the sender is told FAILED, or DELAYED when it may be stored (spec 23.2).
RETRY_DELAYS_S = (1.0, 3.0, 5.0)
#: Bytes in one commit: 200 messages of 256 KiB would be a pause for everybody else.
MAX_BATCH_BYTES = 4 * 1024 * 1024


class Settlement(Protocol):
    """Who hears how each send ended. Every submitted send is reported exactly once, apart from ``in_doubt``."""

    def committed(self, sends: Sequence[PendingSend]) -> None:
        """These became durable just now, in this order."""
        ...

    def found(self, send: PendingSend, stored: StoredKey) -> None:
        """The store held this send's key already."""
        ...

    def failed(self, send: PendingSend, error: ImError) -> None:
        """Provably not stored."""
        ...

    def in_doubt(self, send: PendingSend) -> None:
        """All retries are used up and it may be stored; it is looked after until that is known."""
        ...


class GroupCommit:
    """The writer of one store partition."""

    _logger = Logger()

    def __init__(
        self, *, log: MessageLog, clock: Clock, tasks: Tasks, batch_size: int, settlement: Settlement
    ) -> None:
        self._log = log
        self._clock = clock
        self._tasks = tasks
        self._batch_size = batch_size
        self._settlement = settlement
        self._queue: deque[PendingSend] = deque()
        self._running = False
        self._store_down = False

    def submit(self, send: PendingSend) -> None:
        """Write it with the next batch; ``send.live`` is set, and pinned by ``in_use``."""
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
        """Until every send of the batch has its final answer."""
        failures = 0
        while batch:
            try:
                batch = await self._attempt(batch)
                failures = 0
                self._store_down = False
                continue
            except ServerBusy as error:
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
            batch = await self._pause_or_give_up(batch, cause, failures)

    async def _attempt(self, batch: list[PendingSend]) -> list[PendingSend]:
        """One ordered append; returns what is still to do."""
        if any(send.outcome_unknown for send in batch):
            batch = await self._settle_unknown(batch)
        unread = {send.key.conversation_id: send.live for send in batch if send.live.last_seq is None}
        if unread:
            last_seqs = await self._log.last_seqs(list(unread))
            for conversation_id, live in unread.items():
                live.last_seq = live.tail = last_seqs.get(conversation_id, 0)
        if not batch:
            return []
        result = await self._log.append(self._rows(batch))
        stored, rest = batch[: result.stored], batch[result.stored :]
        for send in stored:
            send.live.last_seq = send.seq
        self._rewind(rest)
        if stored:
            self._settlement.committed(stored)
        if isinstance(result.refused, StoredKey):
            self._settlement.found(rest.pop(0), result.refused)
        elif isinstance(result.refused, SeqTaken):
            rest[0].live.last_seq = None
        return rest

    def _rows(self, batch: list[PendingSend]) -> list[NewMessage]:
        rows: list[NewMessage] = []
        for send in batch:
            live = send.live
            live.tail += 1
            seq = send.seq = live.tail
            body = send.stored_body = with_seq(send.body, seq)
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
        for send in batch:
            send.outcome_unknown = True
            send.live.last_seq = None

    async def _settle_unknown(self, batch: list[PendingSend]) -> list[PendingSend]:
        """Read what became of the sends in doubt; those that are not there are written again."""
        left: list[PendingSend] = []
        for send in batch:
            if send.outcome_unknown:
                conversation_id, sender_id, client_msg_id = send.key
                keys = await self._log.find(conversation_id, sender_id, [client_msg_id])
                stored = keys.get(client_msg_id)
                if stored is not None:
                    self._settlement.found(send, stored)
                    continue
                send.outcome_unknown = False
            left.append(send)
        return left

    async def _pause_or_give_up(
        self, batch: list[PendingSend], cause: ImError, failures: int
    ) -> list[PendingSend]:
        """Wait for the next try, or, the tries used up, say so; returns what is still to do."""
        if not self._store_down and failures <= len(RETRY_DELAYS_S):
            await sleep(RETRY_DELAYS_S[failures - 1], clock=self._clock)
            return batch
        if not self._store_down:
            self._store_down = True
            self._logger.error("the message store does not take writes: {cause}", cause=cause.message)
        in_doubt: list[PendingSend] = []
        for send in batch:
            if not send.outcome_unknown:
                self._settlement.failed(send, cause)
                continue
            in_doubt.append(send)
            if not send.told_delayed:
                send.told_delayed = True
                self._settlement.in_doubt(send)
        if in_doubt:
            await sleep(RETRY_DELAYS_S[-1], clock=self._clock)
        return in_doubt
