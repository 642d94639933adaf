"""Who did what, on its way to where it is kept: queued, published in batches, tried until the bus has it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from imd.bus.port import Bus
from imd.bus.subjects import AUDIT_LOG, DEFAULT_TIMEOUT_S
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import TimeoutError, sleep, with_timeout
from imd.pb.bus_pb2 import AuditEvent, AuditEvents

#: Events that wait for the bus, at some 300 bytes each: a flood of refusals for seconds, an outage for hours.
MAX_WAITING = 20_000
#: In one publication; it is one write for the bus and one for whoever keeps them.
BATCH_EVENTS = 200
#: The bus takes twice as many, and an event has at most 10 KB.
BATCH_BYTES = 512 * 1024
MAX_DETAIL_LENGTH = 2_000
#: Seconds between tries of what the bus did not take, the last for ever.
_RETRY_S = (0.5, 2.0, 5.0)
#: What is still there when the process ends is tried once more, for so long.
_LAST_TRY_S = 2.0
#: So often it is said that events were lost, however many were.
_COMPLAINT_S = 60.0

#: Decisions. Allowed is worth an event only where that was in doubt.
ALLOWED = "allowed"
REFUSED = "refused"
#: Kept until a person has decided.
HELD = "held"
#: Let through without having been judged.
RELEASED = "released"
#: Let through, then found wrong and taken back.
REVOKED = "revoked"
#: An act of somebody who may.
DONE = "done"

#: Reason of what is decided while nobody can judge it by the rules of its conversation.
DEGRADED = "degraded"

#: How much it matters (spec 23.1).
LOW, MEDIUM, HIGH = 1, 2, 3


class AuditEntry(NamedTuple):
    """One decision or act, as whoever made it knows it. Ids are 0 and texts empty where there is none.

    :param action: what was wanted: ``message.send``, ``group.kick``, ``auth.direct``.
    :param level: LOW, MEDIUM or HIGH.
    :param detail: JSON of what belongs to this action alone; no content of messages.
    :param right: the ``Right`` that was asked for.
    """

    action: str
    decision: str
    reason: str = ""
    actor_id: int = 0
    subject_id: int = 0
    conversation_id: str = ""
    request_id: str = ""
    policy_version: int = 0
    level: int = LOW
    detail: str = ""
    seq: int = 0
    server_msg_id: int = 0
    right: int = 0


class AuditLog:
    """Records what roles decide and do on ``im.audit.log``; a stage.

    ``record`` never waits and never fails. While the bus is away events wait here; what does not fit any more,
    and what is left when the process ends, is lost, counted in ``lost`` and said in the log.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        bus: Bus,
        node: str,
        clock: Clock,
        wall_clock: WallClock,
        random_hex: Callable[[int], str],
    ) -> None:
        self._bus = bus
        self._node = node
        self._clock = clock
        self._wall_clock = wall_clock
        self._random_hex = random_hex
        self._tasks = Tasks()
        self._waiting: deque[AuditEvent] = deque()
        #: Of these: what was let through and must be looked at later. There is always room for it, since whoever
        #: lets through does not when much of it waits.
        self.releases_waiting = 0
        self._is_publishing = False
        self._stopped = False
        #: Names this life of the process: with a number it names an event for ever.
        self._life = ""
        self._number = 0
        self._complained_s: float | None = None
        self.recorded = 0
        self.lost = 0

    async def start(self) -> None:
        """Entries may come before; the bus is there from here on."""

    async def stop(self) -> None:
        """Try once more to tell what waits, then give it up."""
        await self._tasks.stop()
        self._stopped = True
        try:
            await with_timeout(self._publish_all(), timeout_s=_LAST_TRY_S, clock=self._clock)
        except TimeoutError:
            self._log.error("the bus does not take the last audit events in time")
        if self._waiting:
            self._give_up(len(self._waiting))
            self._waiting.clear()
            self.releases_waiting = 0

    @property
    def waiting(self) -> int:
        """Events that the bus has not taken yet."""
        return len(self._waiting)

    def record(self, entry: AuditEntry) -> None:
        """Have it kept; it gets its time here."""
        is_full = len(self._waiting) - self.releases_waiting >= MAX_WAITING and not _is_release(entry)
        if self._stopped or is_full:
            # The oldest stay: they show how it began.
            self._give_up(1)
            return
        try:
            event = self._event(entry)
        except (ValueError, TypeError):
            # Whoever recorded it goes on; a number that is none must not turn an answer into a fault.
            self._log.failure("an audit event of {action} cannot be put into words", action=entry.action)
            self._give_up(1)
            return
        self._waiting.append(event)
        self.releases_waiting += _is_release(entry)
        if not self._is_publishing:
            self._is_publishing = True
            self._tasks.spawn("publish audit events", self._publish())

    def _event(self, entry: AuditEntry) -> AuditEvent:
        if not self._life:
            self._life = self._random_hex(8)
        self._number += 1
        return AuditEvent(
            eventId=f"{self._life}-{self._number}",
            timestamp=self._wall_clock(),
            node=self._node,
            requestId=entry.request_id[:64],
            actorId=entry.actor_id,
            subjectId=entry.subject_id,
            conversationId=entry.conversation_id[:64],
            action=entry.action,
            decision=entry.decision,
            reason=entry.reason[:64],
            policyVersion=entry.policy_version,
            level=entry.level,
            detail=entry.detail[:MAX_DETAIL_LENGTH],
            seq=entry.seq,
            serverMsgId=entry.server_msg_id,
            right=entry.right,  # type: ignore[arg-type]
        )

    async def _publish(self) -> None:
        failures = 0
        try:
            # Whatever is recorded within one turn goes together.
            await sleep(0, clock=self._clock)
            while not await self._publish_all():
                await sleep(_RETRY_S[min(failures, len(_RETRY_S) - 1)], clock=self._clock)
                failures += 1
        finally:
            self._is_publishing = False

    async def _publish_all(self) -> bool:
        """Whether nothing waits any more."""
        while self._waiting:
            batch = self._next_batch()
            payload = AuditEvents(events=batch).SerializeToString()
            try:
                await with_timeout(
                    self._bus.publish_durable(AUDIT_LOG, payload),
                    timeout_s=DEFAULT_TIMEOUT_S,
                    clock=self._clock,
                )
            except CancelledError:
                raise
            except Exception as error:
                # It may be recorded all the same; whoever keeps events knows them by their ids.
                self._log.error("the bus took no audit events: {error!r}", error=error)
                return False
            for _ in batch:
                self.releases_waiting -= _is_release(self._waiting.popleft())
            self.recorded += len(batch)
        return True

    def _next_batch(self) -> list[AuditEvent]:
        batch: list[AuditEvent] = []
        size_bytes = 0
        for event in islice(self._waiting, BATCH_EVENTS):
            size_bytes += event.ByteSize()
            if batch and size_bytes > BATCH_BYTES:
                break
            batch.append(event)
        return batch

    def _give_up(self, count: int) -> None:
        self.lost += count
        now_s = self._clock.seconds()
        if self._complained_s is None or now_s - self._complained_s >= _COMPLAINT_S or self._stopped:
            self._complained_s = now_s
            self._log.critical("audit events were lost: {lost} so far", lost=self.lost)


def _is_release(event: AuditEntry | AuditEvent) -> bool:
    return event.decision == RELEASED and event.reason == DEGRADED
