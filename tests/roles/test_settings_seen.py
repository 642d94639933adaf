"""Settings that hold for all nodes: laid over the file, checked, told, and heard again at every start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.bus.journal import Journal
from imd.bus.local import LocalBus
from imd.bus.subjects import ADMIN_CONFIG, ADMIN_MONITOR
from imd.config.gray import Target
from imd.config.load import ConfigError
from imd.config.permission import Permission
from imd.config.sections import CoreConfig, CoreLimits
from imd.pb.bus_pb2 import GrayRelease, SettingsChanged, SettingsReport
from imd.roles.settings_kept import SettingsKept
from imd.roles.settings_reports import INTERVAL_S, MAX_REASONS, SettingsReports
from imd.roles.settings_seen import SettingsSeen

FILE = CoreConfig(limits=CoreLimits(user_burst=7))
NOW_MS = 1_764_000_000_000


class SettingsSeenTests(SynchronousTestCase):
    """``SettingsSeen``."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.path = self.mktemp()
        self.kept_in = Path(self.mktemp()) / "core-1.settings.json"
        self.start()

    def start(self) -> None:
        """A life of the process, on the journal that is there."""
        journal = Journal(self.path, wall_clock=lambda: 0)
        self.bus = LocalBus(clock=self.clock, journal=journal)
        self.kept = SettingsKept(self.kept_in, threads=execute)
        self.seen = SettingsSeen(
            bus=self.bus,
            node="core-1",
            config=FILE,
            kept=self.kept,
            wall_clock=lambda: NOW_MS,
            zone="north",
        )
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

    def publish(self, version: int, document: object, *, at_ms: int = 0) -> None:
        text = document if isinstance(document, str) else json.dumps(document)
        payload = SettingsChanged(version=version, document=text, timestamp=at_ms).SerializeToString()
        Deferred.fromCoroutine(self.bus.publish_durable(ADMIN_CONFIG, payload))
        self.clock.pump([0.0] * 5)

    def test_newest(self) -> None:
        """The newest version counts, whatever comes late."""
        for version in (3, 5, 4):
            self.publish(version, {})
        self.assertEqual(self.seen.version, 5)
        self.assertEqual([version for version, _, _ in self.told], [3, 5])

    def test_lower_but_later(self) -> None:
        """A version that is not above the own one, but says something else later, is refused where that can be seen."""
        self.publish(5, {"limits": {"user_burst": 9}}, at_ms=500)
        self.publish(4, {}, at_ms=400)
        self.publish(5, {"limits": {"user_burst": 9}}, at_ms=500)
        self.assertIsNone(self.seen.refused)
        for version, at_ms in ((5, 500), (3, 600)):
            self.publish(version, {}, at_ms=at_ms)
            assert self.seen.refused is not None
            self.assertEqual(self.seen.refused.version, version)
            self.assertIn("version 5 is in force", self.seen.refused.reasons[0])
        self.publish(6, {}, at_ms=700)
        self.assertEqual((self.seen.version, self.seen.refused), (6, None))

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
            {"content": {"words": ["no action"]}},
            # Only together with what the file says of timed_out_above_ms.
            {"permission": {"degraded_above_ms": 301}},
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

    def gray(self, version: int, document: object, **whom: Any) -> None:
        event = SettingsChanged(version=version, document="{}")
        event.gray.CopyFrom(GrayRelease(id=version, document=json.dumps(document), **whom))
        Deferred.fromCoroutine(self.bus.publish_durable(ADMIN_CONFIG, event.SerializeToString()))
        self.clock.pump([0.0] * 5)

    def test_kept(self) -> None:
        """Without admin, and a bus that has forgotten all, a node begins with what it ran last."""
        self.publish(4, {"limits": {"user_burst": 9}})
        self.stop()
        self.path = self.mktemp()
        self.start()
        self.assertEqual((self.told, self.seen.version), ([(4, 9, 300)], 4))
        self.assertEqual(self.seen.applied_at_ms, NOW_MS)
        # Nothing older comes in afterwards.
        self.publish(3, {})
        self.assertEqual(self.seen.version, 4)
        self.stop()

    def test_kept_unreadable(self) -> None:
        """A kept file that cannot be used is told, and the node begins with its own file; so is one it cannot write."""
        self.publish(4, {"limits": {"user_burst": 9}})
        self.assertEqual(self.kept_in.stat().st_mode & 0o777, 0o600)
        good = json.loads(self.kept_in.read_bytes())
        self.assertEqual(good["document"], {"limits": {"user_burst": 9}})
        for text in (
            "",
            "{",
            "[]",
            "3",
            '{"version": "x"}',
            json.dumps({**good, "document": [7]}),
            "x" * 300_000,
        ):
            self.stop()
            self.path = self.mktemp()
            self.kept_in.write_text(text)
            self.start()
            self.assertEqual((self.seen.version, self.told), (0, []), text[:20])
        self.kept_in.unlink()
        self.kept_in.mkdir()
        self.publish(5, {})
        self.assertEqual((self.seen.version, self.told), (5, [(5, 7, 300)]))
        self.assertIn("irectory", self.kept.problem)
        self.stop()

    def test_kept_whatever_it_says(self) -> None:
        """Words of any script are kept as they are, also what is half a character; what another release adds is
        no reason to know nothing."""
        words = ["坏词\treplace", "\ud800\treplace"]
        self.publish(4, {"content": {"words": words}})
        self.assertEqual(self.kept.problem, "")
        text = self.kept_in.read_text()
        self.assertIn("坏词", text)
        self.kept_in.write_text(json.dumps({**json.loads(text), "later": 1}))
        self.stop()
        self.path = self.mktemp()
        self.start()
        self.assertEqual((self.seen.version, self.seen.config.content.words), (4, words))
        self.stop()

    def test_refused_is_known(self) -> None:
        """What was refused, and why, can be asked until a good version comes."""
        self.publish(2, {"limits": {"user_burst": -1}})
        assert self.seen.refused is not None
        self.assertEqual(self.seen.refused.version, 2)
        self.assertIn("limits.user_burst", self.seen.refused.reasons[0])
        self.publish(3, {})
        self.assertIsNone(self.seen.refused)

    def test_own_check(self) -> None:
        """Whoever knows more than types and ranges has the last word."""
        self.seen.on_check(lambda config: ["odd"] if config.limits.user_burst % 2 else [])
        self.publish(1, {"limits": {"user_burst": 8}})
        self.publish(2, {"limits": {"user_burst": 9}})
        self.assertEqual([version for version, _, _ in self.told], [1])

    def test_gray_by_user(self) -> None:
        """What some users have is told apart from what all have; a release in another zone is none here."""
        given: list[tuple[float, bool] | None] = []

        def take(config: CoreConfig | None, target: Target | None) -> None:
            given.append(
                None if config is None or target is None else (config.limits.user_burst, target.has(5, ()))
            )

        self.seen.on_gray(take)
        self.gray(1, {"limits": {"user_burst": 50}}, userIds=[5])
        self.gray(2, {"limits": {"user_burst": 50}}, percent=100.0, zones=["south"])
        self.gray(3, {"limits": {"user_burst": 50}}, percent=100.0, zones=["south", "north"])
        self.publish(4, {})
        self.assertEqual(given, [(50, True), None, (50, True), None])
        self.assertEqual(self.told, [(version, 7, 300) for version in (1, 2, 3, 4)])

    def test_gray_by_zone(self) -> None:
        """A release for zones alone is for all of a node, whatever it names."""
        self.gray(1, {"permission": {"deadline_ms": 200}}, zones=["north"])
        self.gray(2, {"permission": {"deadline_ms": 200}}, zones=["south"])
        self.assertEqual(self.told, [(1, 7, 200), (2, 7, 300)])
        self.assertEqual(self.seen.gray_id, 2)

    def test_file_changed(self) -> None:
        """A new file comes below the settings; one that does not go with them changes nothing."""
        self.publish(1, {"permission": {"degraded_above_ms": 250}})
        self.seen.take_file(CoreConfig(limits=CoreLimits(user_burst=8)))
        self.assertEqual(self.seen.config.limits.user_burst, 8)
        self.assertEqual(self.seen.config.permission.degraded_above_ms, 250)
        lower = CoreConfig(permission=Permission(degraded_above_ms=50, timed_out_above_ms=200))
        with self.assertRaises(ConfigError) as refused:
            self.seen.take_file(lower)
        self.assertIn("settings version 1", str(refused.exception))
        self.assertEqual(self.seen.config.limits.user_burst, 8)


class SettingsReportsTests(SynchronousTestCase):
    """``SettingsReports``."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.bus = LocalBus(clock=self.clock)
        self.heard: list[SettingsReport] = []
        self.bus.subscribe(ADMIN_MONITOR, self.hear)
        kept = SettingsKept(Path(self.mktemp()) / "kept", threads=execute)
        self.seen = SettingsSeen(
            bus=self.bus, node="core-1", config=FILE, kept=kept, wall_clock=lambda: NOW_MS
        )
        self.reports = SettingsReports(
            seen=self.seen,
            kept=kept,
            bus=self.bus,
            node="core-1",
            clock=self.clock,
            zone="north",
            gray_users=lambda: 3,
        )
        for stage in (self.bus, self.seen, self.reports):
            self.successResultOf(Deferred.fromCoroutine(stage.start()))
        self.clock.pump([0.0] * 5)

    async def hear(self, _: str, payload: bytes) -> None:
        self.heard.append(SettingsReport.FromString(payload))

    def publish(self, event: SettingsChanged) -> None:
        Deferred.fromCoroutine(self.bus.publish_durable(ADMIN_CONFIG, event.SerializeToString()))
        self.clock.pump([0.0] * 5)

    def test_told(self) -> None:
        """At the start, at each change and refusal at once, now and then, and at the end."""
        self.assertEqual([(each.node, each.version) for each in self.heard], [("core-1", 0)])
        self.publish(SettingsChanged(version=1, document="{}"))
        self.assertEqual((self.heard[-1].version, self.heard[-1].appliedAt), (1, NOW_MS))
        bad = SettingsChanged(version=2, document=json.dumps({f"x{n}": {} for n in range(30)}))
        self.publish(bad)
        self.assertEqual((self.heard[-1].version, self.heard[-1].refusedVersion), (1, 2))
        self.assertEqual(len(self.heard[-1].reasons), MAX_REASONS)
        count = len(self.heard)
        self.clock.pump([INTERVAL_S, 0, 0])
        self.assertEqual(len(self.heard), count + 1)
        self.successResultOf(Deferred.fromCoroutine(self.reports.stop()))
        self.clock.pump([0, 0])
        self.assertTrue(self.heard[-1].leaving)

    def test_gray(self) -> None:
        """How many have a gray release is told while there is one."""
        event = SettingsChanged(version=1, document="{}")
        event.gray.CopyFrom(GrayRelease(id=1, document='{"limits": {"user_burst": 5}}', percent=5))
        self.publish(event)
        self.assertEqual((self.heard[-1].grayId, self.heard[-1].grayUsers), (1, 3))
        self.publish(SettingsChanged(version=2, document="{}"))
        self.assertEqual((self.heard[-1].grayId, self.heard[-1].grayUsers), (0, 0))
