"""The bus contract on NatsBus, against a real nats-server, in real time."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from imd.bus.nats import NatsBus
from imd.bus.nats_streams import Stream
from imd.bus.port import Bus
from imd.ctl.cluster.engines import Nats
from imd.kernel.clocks import system_wall_clock
from tests.contract import bus
from tests.live.nats_server import TEST_STREAMS, bus_on, open_server
from tests.live.nats_server import pause as real_pause

#: On a machine that is busy with other tests, too.
MIN_PAUSE_S = 0.2


class NatsBusCase(bus.BusCase, TestCase):
    """Each test has a server of its own."""

    timeout = 30
    streams: tuple[Stream, ...] = ()

    def setUp(self) -> None:
        self.made: list[NatsBus] = []
        self.server: Nats | None = None
        #: Nobody waits for the server's clock: a process that comes late is one whose own is ahead.
        self.ahead_s = 0.0

    def drive(self, work: Coroutine[Any, Any, None]) -> Any:
        return Deferred.fromCoroutine(self._to_the_end(work))

    async def _to_the_end(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        finally:
            for made in self.made:
                await made.stop()

    async def make(self) -> Bus:
        if self.server is None:
            self.server = await deferToThread(open_server, self)
        made = bus_on(
            self.server,
            streams=self.streams,
            wall_clock=lambda: system_wall_clock() + int(self.ahead_s * 1000),
        )
        await made.start()
        self.made.append(made)
        return made

    def pause(self, delay_s: float) -> Deferred[None]:
        return real_pause(max(delay_s, MIN_PAUSE_S))


class NatsBusTests(NatsBusCase, bus.BusContract):
    """NatsBus keeps the contract."""


class DurableNatsBusTests(NatsBusCase, bus.DurableBusContract):
    """NatsBus on JetStream keeps the durable half."""

    streams = TEST_STREAMS
    retry_delay_s = 0.6
    crash_delay_s = 1.2

    async def crash(self, bus: Bus, *, away_s: float = 0.0) -> Bus:
        """The server sees the connection reset, and no ack any more."""
        assert isinstance(bus, NatsBus)
        self.made.remove(bus)
        connection = bus._connection
        link, connection._link = connection._link, None
        assert link is not None
        link._wire.abort()
        link._hang_up()
        for consumer in bus._consumers.values():
            assert consumer._running is not None
            consumer._running.cancel()
        await bus.stop()
        self.flushLoggedErrors(CancelledError)
        self.ahead_s += away_s
        return await self.make()
