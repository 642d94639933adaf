"""Stored messages on their way to business, which tells the outside: in order, in batches, none left out.

The queue holds bodies for as long as there is room. Beyond that only the seqs are kept from which on a conversation
is behind, and the messages are read back from the log: an outage of the bus costs memory for conversations, not for
messages. What a process had not told when it died is found by whoever takes its shards (``recover``).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection, Sequence

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from imd.bus.port import Bus
from imd.bus.subjects import DEFAULT_TIMEOUT_S, HOOK_MESSAGE
from imd.core.message.ports import MessageLog
from imd.core.message.sends import PendingSend
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep, with_timeout
from imd.pb.bus_pb2 import StoredMessages

#: Bodies that wait; seconds of a busy node.
MAX_QUEUED_BYTES = 16 * 1024 * 1024
#: In one event of the bus, which takes 1 MiB; the last body may have 256 KiB.
BATCH_MESSAGES = 200
BATCH_BYTES = 512 * 1024
#: Between two publications: whoever hears of it need not hear at once, and each costs a write at the bus and one in
#: the business database.
LINGER_S = 0.05
#: Conversations that are behind, at some 150 bytes; of more than that, the outside is not told everything.
MAX_BEHIND = 200_000
#: A bus that works takes all of it in a second.
STOP_TIMEOUT_S = 5.0
_STOP_POLL_S = 0.02
#: Seconds between tries, the last for ever.
_RETRY_S = (0.2, 1.0, 5.0)


class _Behind:
    """A conversation that is read from the log: from ``next_seq`` to ``last_seq``, once the queue has got ``after``."""

    __slots__ = ("after", "last_seq", "next_seq")

    def __init__(self, next_seq: int, last_seq: int, after: int) -> None:
        self.next_seq = next_seq
        self.last_seq = last_seq
        self.after = after


class StoredFeed:
    """A stage, after those that store and before those that end background work."""

    _log = Logger()

    def __init__(
        self,
        *,
        bus: Bus,
        log: MessageLog,
        clock: Clock,
        tasks: Tasks,
        max_queued_bytes: int = MAX_QUEUED_BYTES,
    ) -> None:
        self._bus = bus
        self._messages = log
        self._clock = clock
        self._tasks = tasks
        self._max_queued_bytes = max_queued_bytes
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        #: Taken into the queue and told of it, ever.
        self._taken = self._told = 0
        self._behind: OrderedDict[str, _Behind] = OrderedDict()
        self._quiet: Deferred[None] | None = None

    @property
    def untold(self) -> int:
        """What nobody outside may have heard of yet, as far as this process knows."""
        return len(self._queue) + len(self._behind)

    async def start(self) -> None:
        self._tasks.spawn("tell the outside", self._run())

    async def stop(self) -> None:
        """Returns when all is told, or it has taken too long; then whoever takes the shards tells the rest."""
        give_up_at_s = self._clock.seconds() + STOP_TIMEOUT_S
        while self.untold and self._clock.seconds() < give_up_at_s:
            await sleep(_STOP_POLL_S, clock=self._clock)

    def take(self, sends: Sequence[PendingSend]) -> None:
        """These were stored, in this order. Never waits."""
        for send in sends:
            conversation_id = send.key.conversation_id
            behind = self._behind.get(conversation_id)
            if behind is not None:
                behind.last_seq = max(behind.last_seq, send.seq)
            elif self._queued_bytes < self._max_queued_bytes:
                self._queue.append(send.stored_body)
                self._queued_bytes += len(send.stored_body)
                self._taken += 1
            else:
                self.read_back(conversation_id, send.seq, send.seq)
        self._wake()

    def read_back(self, conversation_id: str, first_seq: int, last_seq: int) -> None:
        """Tell these as well, from the log."""
        behind = self._behind.get(conversation_id)
        if behind is not None:
            behind.next_seq = min(behind.next_seq, first_seq)
            behind.last_seq = max(behind.last_seq, last_seq)
        elif len(self._behind) < MAX_BEHIND:
            self._behind[conversation_id] = _Behind(first_seq, last_seq, self._taken)
        else:
            self._log.critical("too many conversations are behind; the outside is not told all of {id}",
                               id=conversation_id)  # fmt: skip
        self._wake()

    def _wake(self) -> None:
        if self._quiet is not None:
            quiet, self._quiet = self._quiet, None
            quiet.callback(None)

    async def _run(self) -> None:
        while True:
            if self._queue:
                await self._tell_queued()
            ready = self._next_behind()
            if ready is not None:
                await self._tell_behind(*ready)
            elif not self._queue:
                self._quiet = Deferred()
                await self._quiet
            if len(self._queue) < BATCH_MESSAGES:
                await sleep(LINGER_S, clock=self._clock)

    async def _tell_queued(self) -> None:
        batch: list[bytes] = []
        size_bytes = 0
        for body in self._queue:
            if len(batch) >= BATCH_MESSAGES or size_bytes >= BATCH_BYTES:
                break
            batch.append(body)
            size_bytes += len(body)
        await self._publish(batch)
        for _ in batch:
            self._queue.popleft()
        self._queued_bytes -= size_bytes
        self._told += len(batch)

    def _next_behind(self) -> tuple[str, _Behind] | None:
        """The conversation that has waited for longest, if what came before in the queue is told."""
        for conversation_id, behind in self._behind.items():
            return (conversation_id, behind) if behind.after <= self._told else None
        return None

    async def _tell_behind(self, conversation_id: str, behind: _Behind) -> None:
        failures = 0
        while True:
            try:
                page = await self._messages.page(
                    conversation_id,
                    from_seq=behind.next_seq,
                    limit=BATCH_MESSAGES,
                    max_bytes=BATCH_BYTES,
                    backward=False,
                )
                break
            except ImError as error:
                failures = await self._pause(failures, f"messages cannot be read back: {error}")
        if page.messages:
            await self._publish([message.body for message in page.messages])
            behind.next_seq = page.messages[-1].seq + 1
        # What was stored meanwhile has raised last_seq.
        if not page.messages or behind.next_seq > behind.last_seq:
            del self._behind[conversation_id]
        else:
            self._behind.move_to_end(conversation_id)

    async def _publish(self, bodies: Collection[bytes]) -> None:
        """Until the bus has it."""
        payload = StoredMessages(messages=bodies).SerializeToString()
        failures = 0
        while True:
            try:
                await with_timeout(
                    self._bus.publish_durable(HOOK_MESSAGE, payload),
                    timeout_s=DEFAULT_TIMEOUT_S,
                    clock=self._clock,
                )
                return
            except CancelledError:
                raise
            except Exception as error:
                failures = await self._pause(failures, f"the bus takes no stored messages: {error!r}")

    async def _pause(self, failures: int, reason: str) -> int:
        """How many there are with this one."""
        if not failures:
            self._log.error("the outside is told later: {reason}", reason=reason)
        await sleep(_RETRY_S[min(failures, len(_RETRY_S) - 1)], clock=self._clock)
        return failures + 1
