"""Answers handed on, and settings noted."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.bus.local import LocalBus
from imd.bus.subjects import ADMIN_CONFIG
from imd.pb.bus_pb2 import SettingsChanged
from imd.roles.following import INTERVAL_S, Following
from imd.roles.settings_seen import SettingsSeen


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


class SettingsSeenTests(SynchronousTestCase):
    """``SettingsSeen``."""

    def test_newest(self) -> None:
        """The newest version counts, whatever comes late."""
        clock = Clock()
        bus = LocalBus(clock=clock)
        seen = SettingsSeen(bus=bus, node="core-1")
        self.successResultOf(Deferred.fromCoroutine(bus.start()))
        self.successResultOf(Deferred.fromCoroutine(seen.start()))
        for version in (3, 5, 4):
            payload = SettingsChanged(version=version, document="{}").SerializeToString()
            Deferred.fromCoroutine(bus.publish_durable(ADMIN_CONFIG, payload))
            clock.pump([0.0] * 5)
        self.assertEqual(seen.version, 5)
