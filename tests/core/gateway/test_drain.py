"""Going down gracefully."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.core.gateway.drain import RECONNECT_SPREAD_MS
from imd.pb.connection_pb2 import SERVER_BUSY
from tests.core.gateway.world import World, text


class DrainTests(SynchronousTestCase):
    """``stop`` of the gateway's last stage."""

    def test_nobody(self) -> None:
        """Without connections it is over at once, and takes no new ones."""
        world = World()
        self.successResultOf(world.drain())
        self.assertIsNone(world.link().session)

    def test_farewell(self) -> None:
        """Live clients hear Reconnect and may finish what they do; strangers are sent away."""
        world = World()
        live, stranger = world.live(), world.link()
        drained = world.drain(timeout_s=7)
        reconnect = live.last().reconnect
        self.assertEqual((reconnect.spreadMs, reconnect.deadlineMs), (RECONNECT_SPREAD_MS, 7000))
        self.assertEqual((stranger.heard(), stranger.closed), (["error"], True))
        stranger.leaves()
        live.says(text())
        self.assertEqual(len(world.pipeline.submitted), 1)
        self.assertFalse(live.closed)
        self.assertNoResult(drained)
        live.leaves()
        world.clock.advance(0.1)
        self.successResultOf(drained)

    def test_again(self) -> None:
        """The process ends while an operator's drain goes on: who was sent away keeps the time to leave."""
        world = World()
        live = world.live()
        first = world.drain(timeout_s=7)
        second = world.drain(timeout_s=7)
        self.assertEqual((live.heard().count("reconnect"), live.closed), (1, False))
        live.leaves()
        world.clock.advance(0.1)
        self.successResultOf(first)
        self.successResultOf(second)

    def test_the_last_tenth(self) -> None:
        """When nine of ten have left, the last one is closed with a word."""
        world = World()
        links = [world.live(user) for user in range(1, 11)]
        drained = world.drain()
        for link in links[:8]:
            link.leaves()
        world.clock.advance(0.1)
        self.assertFalse(links[9].closed)
        links[8].leaves()
        world.clock.advance(0.1)
        self.assertEqual((links[9].last().error.code, links[9].closed), (SERVER_BUSY, True))
        links[9].leaves()
        world.clock.advance(0.1)
        self.successResultOf(drained)

    def test_deadline(self) -> None:
        """Who does not leave in time is closed, and cut off if even that does not help."""
        world = World()
        links = [world.live(user) for user in range(1, 6)]
        drained = world.drain(timeout_s=3)
        world.clock.pump([0.1] * 29)
        self.assertFalse(links[0].closed)
        world.clock.pump([0.1] * 3)
        self.assertTrue(links[0].closed)
        self.assertNoResult(drained)
        world.clock.pump([0.1] * 12)
        self.successResultOf(drained)
        self.assertTrue(all(link.aborted for link in links))
