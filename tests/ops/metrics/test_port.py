"""The port for metrics, and the reactor's lag."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from imd.ops.metrics.lag import INTERVAL_S, ReactorLag
from imd.ops.metrics.port import RETRY_S, MetricsPort


class Port:
    """A listening port, in memory."""

    open = True

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 9464)

    def stopListening(self) -> None:
        self.open = False


class Ports(SynchronousTestCase):
    """``MetricsPort``."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.taken = False
        self.opened: list[Any] = []
        self.events: list[LogEvent] = []
        observe: Any = self.events.append
        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        self.port = MetricsPort("127.0.0.1:9464", listen=self.listen, clock=self.clock)

    def listen(self) -> Any:
        if self.taken:
            raise CannotListenError("127.0.0.1", 9464, OSError("in use"))
        self.opened.append(Port())
        return self.opened[-1]

    def told(self, word: str) -> int:
        return sum(word in str(event.get("log_format")) for event in self.events)

    def start(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.port.start()))

    def stop(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.port.stop()))

    def test_open(self) -> None:
        """It is open from start to stop, and the log says where."""
        self.start()
        self.assertEqual(self.told("metrics: http"), 1)
        self.stop()
        self.assertFalse(self.opened[0].open)

    def test_taken(self) -> None:
        """A port that is taken does not stop the start; it is told once, and opened when it is free."""
        self.taken = True
        self.start()
        self.clock.pump([RETRY_S] * 3)
        self.assertEqual(self.told("cannot be read"), 1)
        self.taken = False
        self.clock.advance(RETRY_S)
        self.assertEqual(len(self.opened), 1)
        self.clock.advance(RETRY_S)
        self.assertEqual(len(self.opened), 1)
        self.stop()
        self.assertFalse(self.opened[0].open)

    def test_stopped_while_taken(self) -> None:
        """It gives up when the process stops."""
        self.taken = True
        self.start()
        self.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class Lags(SynchronousTestCase):
    """``ReactorLag``."""

    def test_lag(self) -> None:
        """A timer that goes off late counts by how late it was."""
        clock = Clock()
        lag = ReactorLag(clock=clock)
        self.successResultOf(Deferred.fromCoroutine(lag.start()))
        clock.advance(INTERVAL_S)
        clock.advance(INTERVAL_S + 0.3)
        self.assertAlmostEqual(lag.lag.total, 0.3)
        self.assertEqual(sum(lag.lag.counts), 2)
        self.successResultOf(Deferred.fromCoroutine(lag.stop()))
        self.assertEqual(clock.getDelayedCalls(), [])
