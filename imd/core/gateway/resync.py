"""Everybody here is told to sync: the node has been cut off, and nobody knows what it has missed."""

from __future__ import annotations

from random import Random

from twisted.logger import Logger

from imd.core.gateway.registry import Registry
from imd.core.gateway.session import Session
from imd.kernel.clocks import Clock
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep
from imd.pb.delivery_pb2 import Resync
from imd.pb.envelope_pb2 import Envelope
from imd.wire.outbound import control

#: Syncs are asked for in so small portions.
PORTION_S = 0.1


class ResyncAll:
    """Tells all sessions, spread over ``spread_s``, since each answers with a sync that costs a read."""

    _logger = Logger()

    def __init__(
        self, *, registry: Registry, clock: Clock, tasks: Tasks, random: Random, spread_s: float = 5.0
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._tasks = tasks
        self._random = random
        self._spread_s = spread_s
        self._due: list[Session] = []
        self._running = False

    def begin(self) -> None:
        """Tell all who are here now; those who wait to be told from before are told once."""
        self._due = [session for session in self._registry if session.user is not None]
        # Nobody is always the last one to hear.
        self._random.shuffle(self._due)
        if self._due and not self._running:
            self._running = True
            self._tasks.spawn("resync all", self._tell())

    async def _tell(self) -> None:
        resync = control(Envelope(resync=Resync(reason="the server may have missed something")))
        self._logger.info("{count} sessions are told to sync", count=len(self._due))
        portions = max(1, round(self._spread_s / PORTION_S))
        size = len(self._due) // portions + 1
        try:
            while self._due:
                portion, self._due = self._due[:size], self._due[size:]
                for session in portion:
                    if session.user is not None:
                        session.push(resync)
                await sleep(PORTION_S, clock=self._clock)
        finally:
            self._running = False
