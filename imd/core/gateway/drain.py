"""Going down gracefully: tell everybody, wait until nearly all have left, close the rest (spec 24.3)."""

from __future__ import annotations

from twisted.logger import Logger

from imd.core.gateway.gateway import Gateway
from imd.core.gateway.registry import Registry
from imd.kernel.clocks import Clock
from imd.kernel.errors import ServerBusy
from imd.kernel.timeouts import sleep
from imd.pb.connection_pb2 import Reconnect
from imd.pb.envelope_pb2 import Envelope
from imd.wire.outbound import control
from imd.wire.server import Do, Input

#: Clients spread their return over so long, so that they do not all come at once.
RECONNECT_SPREAD_MS = 5000
_POLL_S = 0.1
#: The last frames of the connections closed here get so long to leave.
_LINGER_S = 1.0


class Drain:
    """The gateway's last stage: its ``stop`` is the drain. Listeners are stopped before it."""

    _logger = Logger()

    def __init__(
        self,
        *,
        gateway: Gateway,
        registry: Registry,
        clock: Clock,
        timeout_s: float,
        remaining_share: float,
    ) -> None:
        self._gateway = gateway
        self._registry = registry
        self._clock = clock
        self._timeout_s = timeout_s
        self._remaining_share = remaining_share

    async def start(self) -> None:
        """Nothing to do: connections come through the listeners."""

    async def stop(self) -> None:
        """Returns when the connections are closed. Those that an earlier drain has sent away are given as long again,
        or what that one leaves them."""
        self._gateway.draining = True
        sessions = list(self._registry)
        if not sessions:
            return
        self._logger.info("draining {count} connections", count=len(sessions))
        reconnect = control(
            Envelope(
                reconnect=Reconnect(
                    reason="server is going down",
                    spreadMs=RECONNECT_SPREAD_MS,
                    deadlineMs=int(self._timeout_s * 1000),
                )
            )
        )
        going_down = ServerBusy("server is going down", retry_after_ms=1000)
        for session in sessions:
            do = session.connection.step(Input.DRAIN)
            if do is Do.FAREWELL:
                session.push(reconnect)
            elif do is Do.CLOSE:
                self._gateway.close(session, going_down, how="drained")
        enough = int(len(sessions) * self._remaining_share)
        deadline_s = self._clock.seconds() + self._timeout_s
        while len(self._registry) > enough and self._clock.seconds() < deadline_s:
            await sleep(_POLL_S, clock=self._clock)
        for session in self._registry:
            self._gateway.close(session, going_down, how="drained")
        linger_until_s = self._clock.seconds() + _LINGER_S
        while len(self._registry) and self._clock.seconds() < linger_until_s:
            await sleep(_POLL_S, clock=self._clock)
        for session in self._registry:
            session.ending = "drained"
            session.link.abort()
