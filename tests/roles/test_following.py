"""Answers handed on, and settings noted."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.roles.following import INTERVAL_S, Following


class FollowingTests(SynchronousTestCase):
    """``Following``."""

    def test_life(self) -> None:
        """A change is handed on within the interval, and the stop always says no."""
        clock, told = Clock(), list[bool]()
        ready = True
        following = Following(lambda: ready, told.append, clock=clock)
        self.successResultOf(Deferred.fromCoroutine(following.start()))
        self.assertEqual(told, [True])
        ready = False
        clock.advance(INTERVAL_S)
        self.assertEqual(told, [True, False])
        ready = True
        clock.advance(INTERVAL_S)
        self.successResultOf(Deferred.fromCoroutine(following.stop()))
        clock.advance(INTERVAL_S)
        self.assertEqual(told, [True, False, True, False])
