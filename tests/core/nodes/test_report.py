"""What a node tells of itself, and when."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.bus.local import LocalBus
from imd.bus.subjects import NODE_REPORT
from imd.core.nodes.report import FULL_LATENESS_S, REPORT_INTERVAL_S, NodeReports, offered
from imd.kernel.tasks import Tasks
from imd.pb.bus_pb2 import NodeReport
from tests.contract.driving import drive


class Reports(SynchronousTestCase):
    """A node that tells, and a listener."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.bus = LocalBus(clock=self.clock)
        self.cpu_s = 0.0
        self.random = 0.0
        self.connections = 3
        self.tasks = Tasks()
        self.reports = NodeReports(
            about=NodeReport(nodeId=7, incarnation="abc", zone="z", tcp="tcp://h:1", weight=100),
            bus=self.bus,
            connections=lambda: self.connections,
            clock=self.clock,
            wall_clock=lambda: 5_000,
            cpu_seconds=lambda: self.cpu_s,
            random=lambda: self.random,
            tasks=self.tasks,
        )
        self.heard: list[NodeReport] = []
        self.bus.subscribe(NODE_REPORT, self._hear)

    async def _hear(self, _: str, payload: bytes) -> None:
        self.heard.append(NodeReport.FromString(payload))

    def start(self) -> None:
        drive(self.clock, self.reports.start())
        self.clock.advance(0)

    def pass_interval(self, *, busy: float = 0.0, late_s: float = 0.0) -> NodeReport:
        """One interval at this CPU share, each timer late by so much; what was told then."""
        told = len(self.heard)
        for _ in range(5):
            self.cpu_s += busy * REPORT_INTERVAL_S / 5
            (due,) = self.clock.getDelayedCalls()
            self.clock.advance(due.getTime() - self.clock.seconds() + late_s)
        self.clock.advance(0)
        self.assertEqual(len(self.heard), told + 1)
        return self.heard[-1]

    def test_contents(self) -> None:
        """The first report comes at start, and holds what was given and what is."""
        self.start()
        (report,) = self.heard
        self.assertTrue(report.ready)
        self.assertEqual((report.nodeId, report.incarnation, report.zone), (7, "abc", "z"))
        self.assertEqual((report.tcp, report.weight, report.connections), ("tcp://h:1", 100, 3))
        self.assertEqual(report.timestamp, 5_000)

    def test_interval(self) -> None:
        """A report every 5 s; with jitter sooner, never later."""
        self.start()
        for random, seconds in ((0.0, 5), (1.0, 5), (1.0, 4), (0.5, 4)):
            # The coming interval takes the next random number.
            told, self.random = len(self.heard), random
            self.clock.pump([0.125] * (8 * seconds - 1))
            self.assertEqual(len(self.heard), told)
            self.clock.pump([0.125, 0.0])
            self.assertEqual(len(self.heard), told + 1)

    def test_readiness(self) -> None:
        """Becoming ready and unready is told at once and once; the drain goes on telling it."""
        self.start()
        self.reports.set_ready(False)
        self.reports.set_ready(False)
        self.clock.advance(0)
        self.reports.set_ready(True)
        self.clock.advance(0)
        self.assertEqual([each.ready for each in self.heard], [True, False, True])
        drive(self.clock, self.reports.stop())
        self.clock.advance(0)
        self.assertEqual([each.ready for each in self.heard], [True, False, True, False])
        self.assertFalse(self.pass_interval().ready)
        drive(self.clock, self.tasks.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_busy(self) -> None:
        """The load is the CPU share of the last interval, and 1 at most."""
        self.start()
        self.assertAlmostEqual(self.pass_interval(busy=0.4).load, 0.4, places=2)
        self.assertAlmostEqual(self.pass_interval(busy=0.1).load, 0.1, places=2)
        self.assertEqual(self.pass_interval(busy=1.5).load, 1.0)

    def test_late(self) -> None:
        """Timers that come late are load too, however little CPU time there is."""
        self.start()
        self.assertAlmostEqual(self.pass_interval(late_s=FULL_LATENESS_S / 2).load, 0.5, places=2)

    def test_one_pause(self) -> None:
        """One long pause in an interval is no load."""
        self.start()
        self.clock.advance(1.9)
        self.clock.pump([0.1] * 32)
        self.assertLess(self.heard[-1].load, 0.1)

    def test_bus_away(self) -> None:
        """A bus that takes nothing is no failure; the next report is tried again."""
        self.start()
        drive(self.clock, self.bus.stop())
        self.clock.pump([1.0] * 11)
        self.assertEqual(len(self.heard), 1)
        self.assertEqual(self.flushLoggedErrors(), [])


class Offered(SynchronousTestCase):
    """The addresses that clients are told."""

    def test_offered(self) -> None:
        """What is configured as public; else where it listens, if clients can use that."""
        self.assertEqual(offered("tcp", listen="127.0.0.1:7700"), "tcp://127.0.0.1:7700")
        self.assertEqual(
            offered("tls", listen="0.0.0.0:1", public="im.example.com:443"), "tls://im.example.com:443"
        )
        self.assertEqual(offered("ws", listen="[::1]:7780", path="/ws"), "ws://[::1]:7780/ws")
        for listen in ("", "0.0.0.0:7700", "[::]:7700"):
            self.assertEqual(offered("tcp", listen=listen), "")
