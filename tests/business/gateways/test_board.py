"""What the nodes reported, kept and forgotten."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.bus.local import LocalBus
from imd.bus.subjects import NODE_REPORT
from imd.business.gateways import board as ours
from imd.business.gateways.board import GatewayBoard
from imd.core.nodes import report as theirs
from imd.pb.bus_pb2 import NodeReport
from tests.contract.driving import drive


class Board(SynchronousTestCase):
    """A board and what comes over the bus."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.bus = LocalBus(clock=self.clock)
        self.board = GatewayBoard(bus=self.bus, clock=self.clock)
        drive(self.clock, self.board.start())

    def hear(self, node_id: int, *, incarnation: str = "one", ready: bool = True) -> None:
        report = NodeReport(
            nodeId=node_id,
            incarnation=incarnation,
            ready=ready,
            maxConnections=10,
            weight=1,
            tcp=f"tcp://node{node_id}",
            versionLabels=["2.1"],
        )
        self.bus.publish(NODE_REPORT, report.SerializeToString())
        self.clock.advance(0)

    def ready(self) -> list[str]:
        return [each.tcp for each in self.board.gateways() if each.ready]

    def test_interval(self) -> None:
        """Both sides mean the same interval."""
        self.assertEqual(ours.REPORT_INTERVAL_S, theirs.REPORT_INTERVAL_S)

    def test_heard(self) -> None:
        """What was reported is there, the last word of each node."""
        self.hear(1)
        self.hear(2)
        self.hear(1, ready=False)
        self.assertEqual(self.ready(), ["tcp://node2"])
        self.assertEqual(self.board.gateways()[1].version_labels, frozenset({"2.1"}))

    def test_silence(self) -> None:
        """A node is forgotten after three missed reports, not before; one report brings it back."""
        self.hear(1)
        self.hear(2)
        self.clock.advance(10)
        self.hear(2)
        self.clock.advance(5)
        self.assertEqual(self.ready(), ["tcp://node1", "tcp://node2"])
        self.clock.advance(0.01)
        self.assertEqual(self.ready(), ["tcp://node2"])
        self.hear(1)
        self.assertEqual(self.ready(), ["tcp://node2", "tcp://node1"])

    def test_late_farewell(self) -> None:
        """The farewell of the process before does not hide the one that runs now."""
        self.hear(1, incarnation="one")
        self.hear(1, incarnation="two")
        self.hear(1, incarnation="one", ready=False)
        self.assertEqual(self.ready(), ["tcp://node1"])
        self.hear(1, incarnation="two", ready=False)
        self.assertEqual(self.ready(), [])

    def test_nonsense(self) -> None:
        """What is no report, or of no node that there can be, is not kept, and leaves no traceback."""
        self.hear(1024)
        self.hear(-1)
        self.bus.publish(NODE_REPORT, b"\xff")
        self.clock.advance(0)
        self.assertEqual(self.board.gateways(), [])
        self.assertEqual(self.flushLoggedErrors(), [])
