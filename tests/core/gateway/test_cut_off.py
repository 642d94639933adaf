"""A node that is cut off lets its clients go to others."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.core.gateway.cut_off import PATIENCE_S, CutOff
from imd.pb.connection_pb2 import Heartbeat
from imd.pb.envelope_pb2 import Envelope
from tests.core.gateway.world import World


class CutOffTests(SynchronousTestCase):
    """A hundred people are here."""

    def setUp(self) -> None:
        self.world = World(max_connections=1000)
        self.links = [self.world.live(user_id) for user_id in range(1, 101)]
        self.on_bus = self.others = True
        clock: Any = self.world.clock
        cut_off = CutOff(
            is_on_bus=lambda: self.on_bus,
            others_can=lambda: self.others,
            registry=self.world.registry,
            clock=clock,
            tasks=self.world.tasks,
            random=Random(1),
        )
        self.successResultOf(Deferred.fromCoroutine(cut_off.start()))
        self.addCleanup(self.world.tasks.stop)

    def told(self) -> int:
        self.world.turn()
        return sum(sum(each.HasField("reconnect") for each in link.sent) for link in self.links)

    def passes(self, seconds: float) -> None:
        self.world.clock.pump([0.5] * round(seconds * 2))

    def test_portions(self) -> None:
        """After 20 s without the bus they are told to go, a tenth of them a second, each once; they are served on."""
        self.on_bus = False
        self.passes(PATIENCE_S)
        self.assertEqual(self.told(), 0)
        self.passes(2)
        self.assertTrue(10 <= self.told() <= 30, self.told())
        self.passes(20)
        self.assertEqual(self.told(), 100)
        self.assertFalse(self.links[0].closed)
        self.links[0].says(Envelope(hb=Heartbeat(sentAt=1)))
        self.assertEqual(self.links[0].last().hb.sentAt, 1)

    def test_back(self) -> None:
        """With the bus back nobody further goes; the next outage is waited for as long as the first."""
        self.on_bus = False
        self.passes(PATIENCE_S + 3)
        told = self.told()
        self.on_bus = True
        self.passes(30)
        self.assertEqual(self.told(), told)
        self.on_bus = False
        self.passes(PATIENCE_S)
        self.assertEqual(self.told(), told)
        self.passes(20)
        # Who was told before, and has not left yet, is not told again.
        self.assertEqual(self.told(), 100)

    def test_nowhere_to_go(self) -> None:
        """While no other node is better off, everybody stays; once one is, they go."""
        self.on_bus = self.others = False
        self.passes(60)
        self.assertEqual(self.told(), 0)
        self.others = True
        self.passes(20)
        self.assertEqual(self.told(), 100)
