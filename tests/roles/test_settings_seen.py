"""Settings that hold for all nodes: laid over the file, checked, told, and heard again at every start."""

from __future__ import annotations

import json

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.bus.journal import Journal
from imd.bus.local import LocalBus
from imd.bus.subjects import ADMIN_CONFIG
from imd.config.sections import CoreConfig, CoreLimits
from imd.pb.bus_pb2 import SettingsChanged
from imd.roles.settings_seen import SettingsSeen

FILE = CoreConfig(limits=CoreLimits(user_burst=7))


class SettingsSeenTests(SynchronousTestCase):
    """``SettingsSeen``."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.path = self.mktemp()
        self.start()

    def start(self) -> None:
        """A life of the process, on the journal that is there."""
        journal = Journal(self.path, wall_clock=lambda: 0)
        self.bus = LocalBus(clock=self.clock, journal=journal)
        self.seen = SettingsSeen(bus=self.bus, node="core-1", config=FILE)
        self.told: list[tuple[int, float, float]] = []
        self.seen.on_changed(
            lambda config, version: self.told.append(
                (version, config.limits.user_burst, config.permission.deadline_ms)
            )
        )
        self.successResultOf(Deferred.fromCoroutine(self.bus.start()))
        self.successResultOf(Deferred.fromCoroutine(self.seen.start()))
        self.clock.pump([0.0] * 5)

    def stop(self) -> None:
        stopped = Deferred.fromCoroutine(self.bus.stop())
        self.clock.pump([0.0] * 5)
        self.successResultOf(stopped)

    def publish(self, version: int, document: object) -> None:
        text = document if isinstance(document, str) else json.dumps(document)
        payload = SettingsChanged(version=version, document=text).SerializeToString()
        Deferred.fromCoroutine(self.bus.publish_durable(ADMIN_CONFIG, payload))
        self.clock.pump([0.0] * 5)

    def test_newest(self) -> None:
        """The newest version counts, whatever comes late."""
        for version in (3, 5, 4):
            self.publish(version, {})
        self.assertEqual(self.seen.version, 5)
        self.assertEqual([version for version, _, _ in self.told], [3, 5])

    def test_over_the_file(self) -> None:
        """What a version names stands above the file; what the next one does not name is as in the file again."""
        self.publish(
            1, {"limits": {"user_burst": 9, "logins_per_min": 3}, "accounts": {"registration": False}}
        )
        self.publish(2, {"permission": {"deadline_ms": 250}})
        self.publish(3, {})
        self.assertEqual(self.told, [(1, 9, 300), (2, 7, 250), (3, 7, 300)])
        self.assertEqual(self.seen.config, FILE)

    def test_bad_version(self) -> None:
        """What cannot be used is told with all reasons; the last good version stays in force."""
        self.publish(1, {"limits": {"user_burst": 9}})
        bad: tuple[object, ...] = (
            "{",
            [],
            {"limits": {"user_burst": -1}},
            {"limits": {"data_dir": "/"}},
            {"permission": {"matrix": ["p2p.text.normal=perhaps"]}},
        )
        for document in bad:
            self.publish(self.seen.version + 1, document)
        self.assertEqual(self.told, [(1, 9, 300)])
        self.assertEqual((self.seen.version, self.seen.config.limits.user_burst), (1, 9))
        self.publish(2, {})
        self.assertEqual(self.seen.version, 2)

    def test_restart(self) -> None:
        """A node that starts again hears the newest again."""
        self.publish(1, {"limits": {"user_burst": 9}})
        self.publish(2, {"limits": {"user_burst": 11}})
        for _ in range(2):
            self.stop()
            self.start()
            self.assertEqual(self.told, [(2, 11, 300)])
        self.stop()

    def test_a_listener_that_fails(self) -> None:
        """Whoever fails at it takes nothing from the others."""
        self.seen.on_changed(lambda config, version: self.fail("planted"))
        later: list[int] = []
        self.seen.on_changed(lambda config, version: later.append(version))
        self.publish(1, {})
        self.assertEqual(later, [1])
        self.assertEqual(len(self.flushLoggedErrors()), 1)
