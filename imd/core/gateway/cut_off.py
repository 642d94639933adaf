"""A node that is cut off from the others sends its clients to them: it hears too late of what they store."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from twisted.logger import Logger

from imd.core.gateway.registry import Registry
from imd.core.gateway.session import Session
from imd.kernel.clocks import Clock
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep
from imd.pb.connection_pb2 import Reconnect
from imd.pb.envelope_pb2 import Envelope
from imd.wire.outbound import control
from imd.wire.server import Do, Input

#: A bus that is away for less comes back before the clients would be elsewhere.
PATIENCE_S = 20.0
#: So often a portion is told to go, and the share of all that were there at first: the others must take them.
PORTION_S = 1.0
PORTION_SHARE = 0.1


class CutOff:
    """A stage that watches the bus, whose clients may go while others can take them.

    :param others_can: whether there are other nodes that are not cut off themselves, as far as this one knows. If
        the bus is away for all of them, clients are better off where they are.
    """

    _logger = Logger()

    def __init__(
        self,
        *,
        is_on_bus: Callable[[], bool],
        others_can: Callable[[], bool],
        registry: Registry,
        clock: Clock,
        tasks: Tasks,
        random: Random,
    ) -> None:
        self._is_on_bus = is_on_bus
        self._others_can = others_can
        self._registry = registry
        self._clock = clock
        self._tasks = tasks
        self._random = random
        self._away_since_s: float | None = None
        #: Who is still to be told in this outage; None: nobody has been.
        self._due: list[Session] | None = None
        self._portion = 0

    async def start(self) -> None:
        self._tasks.spawn("watch for being cut off", self._run())

    async def stop(self) -> None:
        """Ended with its tasks."""

    async def _run(self) -> None:
        while True:
            await sleep(PORTION_S, clock=self._clock)
            self._look()

    def _look(self) -> None:
        now_s = self._clock.seconds()
        if self._is_on_bus():
            self._away_since_s = self._due = None
            return
        if self._away_since_s is None:
            self._away_since_s = now_s
        if now_s - self._away_since_s < PATIENCE_S or not self._others_can():
            return
        if self._due is None:
            self._due = [session for session in self._registry if session.user is not None]
            self._random.shuffle(self._due)
            self._portion = round(len(self._due) * PORTION_SHARE) + 1
            self._logger.error(
                "this node is cut off from the bus; its {count} sessions are told to go", count=len(self._due)
            )
        portion, self._due = self._due[: self._portion], self._due[self._portion :]
        reconnect = control(
            Envelope(
                reconnect=Reconnect(
                    reason="this node is cut off from the others", spreadMs=int(PORTION_S * 1000)
                )
            )
        )
        for session in portion:
            if session.user is not None and session.connection.step(Input.DRAIN) is Do.FAREWELL:
                session.push(reconnect)
