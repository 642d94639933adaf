"""Everybody is told to sync, not all at once."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imd.core.gateway.resync import ResyncAll
from tests.core.gateway.world import FakeLink, World

SPREAD_S = 5.0


class ResyncTests(SynchronousTestCase):
    """A hundred people are here."""

    def setUp(self) -> None:
        self.world = World(max_connections=1000)
        self.links = [self.world.live(user_id) for user_id in range(1, 101)]
        clock: Any = self.world.clock
        self.resync = ResyncAll(
            registry=self.world.registry,
            clock=clock,
            tasks=self.world.tasks,
            random=Random(1),
            spread_s=SPREAD_S,
        )

    def told(self) -> list[int]:
        return [sum(each.HasField("resync") for each in link.sent) for link in self.links]

    def passes(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.world.clock.advance(0.1)

    def test_spread(self) -> None:
        """Each is told once, a part of them every tenth of a second, strangers not at all."""
        stranger = self.world.link()
        self.resync.begin()
        self.passes(SPREAD_S / 2)
        self.assertTrue(40 <= sum(self.told()) <= 90, sum(self.told()))
        self.passes(SPREAD_S)
        self.assertEqual(self.told(), [1] * 100)
        self.assertEqual(stranger.sent, [])
        self.assertEqual(len(self.world.tasks), 0)

    def test_again(self) -> None:
        """A second gap has everybody told once more, those still waiting only once."""
        self.resync.begin()
        self.passes(SPREAD_S / 2)
        first = sum(self.told())
        self.resync.begin()
        self.passes(2 * SPREAD_S)
        self.assertEqual(sum(self.told()), first + 100)

    def test_left(self) -> None:
        """Who leaves meanwhile is told nothing."""
        self.resync.begin()
        self.passes(SPREAD_S / 2)
        gone: list[FakeLink] = [link for link in self.links if not link.sent]
        for link in gone:
            link.leaves()
        self.passes(SPREAD_S)
        self.assertEqual(
            (sum(self.told()), [link.sent for link in gone]), (100 - len(gone), [[]] * len(gone))
        )

    def test_nobody(self) -> None:
        """Nobody is here: nothing to do."""
        for link in self.links:
            link.leaves()
        self.resync.begin()
        self.assertEqual(len(self.world.tasks), 0)
