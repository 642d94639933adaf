"""Keeps what comes on ``im.audit.log``, and forgets what is too old."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from twisted.logger import Logger

from imd.bus.port import Bus
from imd.bus.subjects import AUDIT_LOG
from imd.business.audit.ports import AuditEvents
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.errors import ImError
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep
from imd.kernel.trying import Trying
from imd.pb.bus_pb2 import AuditEvents as Published

#: All business nodes take turns under one name: each event is stored once, by whichever has a hand free.
CONSUMER = "audit"
#: Seconds between tries while the database is away. The bus would give an event up after three of its own.
_RETRY_S = (1.0, 5.0, 30.0)
_FORGET_INTERVAL_S = 3600.0
#: In one transaction.
_FORGET_BATCH = 1_000
_DAY_MS = 24 * 3600 * 1000


class KeepAudit:
    """A stage.

    :param keep_days: how long events stay; 0: for ever.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        bus: Bus,
        events: AuditEvents,
        clock: Clock,
        wall_clock: WallClock,
        tasks: Tasks,
        keep_days: int,
    ) -> None:
        self._bus = bus
        self._events = events
        self._clock = clock
        self._wall_clock = wall_clock
        self._tasks = tasks
        self._keep_days = keep_days
        self._trying = Trying(clock=clock, delays_s=_RETRY_S)

    async def start(self) -> None:
        """Take events, also those that came while nobody was there."""
        self._bus.consume(AUDIT_LOG, CONSUMER, self._take)
        if self._keep_days:
            self._tasks.spawn("forget old audit events", self._forget_old())

    async def stop(self) -> None:
        """What could not be stored yet comes again, here or at another node."""
        self._trying.stop()

    async def _take(self, subject: str, payload: bytes) -> None:
        try:
            events = Published.FromString(payload).events
        except DecodeError:
            # Trying again would end the same, and hold up those behind it.
            self._log.error(
                "an event of {size} bytes on {subject} is no AuditEvents; it is dropped",
                size=len(payload),
                subject=subject,
            )
            return
        named = [event for event in events if event.eventId]
        await self._trying.until_done(
            lambda: self._events.add(named),
            waits=lambda error: self._log.error("audit events wait for the database: {error}", error=error),
        )

    async def _forget_old(self) -> None:
        while True:
            try:
                await self._forget_all(self._wall_clock() - self._keep_days * _DAY_MS)
            except ImError as error:
                self._log.warn("old audit events stay for now: {error}", error=error)
            await sleep(_FORGET_INTERVAL_S, clock=self._clock)

    async def _forget_all(self, before_ms: int) -> None:
        while await self._events.forget(before_ms, limit=_FORGET_BATCH) == _FORGET_BATCH:
            pass
