"""SIGHUP: what is taken over, what is told, and what a wrong file changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from imd.bus.journal import Journal
from imd.bus.local import LocalBus
from imd.bus.subjects import ADMIN_CONFIG
from imd.config.load import ConfigError
from imd.config.log import Log
from imd.config.sections import CoreConfig, CoreLimits, Gateway
from imd.pb.bus_pb2 import SettingsChanged
from imd.roles.process import RELOAD_INTERVAL_S, Process
from imd.roles.settings_kept import SettingsKept
from imd.roles.settings_seen import SettingsSeen


class FakeLog:
    """Remembers what it was told to write."""

    def __init__(self) -> None:
        self.seen: list[Log] = []

    def change(self, settings: Log) -> None:
        self.seen.append(settings)


class HangUp(SynchronousTestCase):
    """``Process.hang_up``."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.bus = LocalBus(clock=self.clock, journal=Journal(self.mktemp(), wall_clock=lambda: 0))
        self.file = CoreConfig()
        self.reopened: list[CoreConfig] = []
        self.log = FakeLog()
        log: Any = self.log
        clock: Any = self.clock
        self.process = Process(self.file, log=log, load=self.load, reopen=self.reopened.append, clock=clock)
        self.seen = SettingsSeen(
            bus=self.bus,
            node="core-1",
            config=self.file,
            kept=SettingsKept(Path(self.mktemp()), threads=execute),
            wall_clock=lambda: 0,
        )
        self.process.follow(self.seen)
        self.told: list[float] = []
        self.seen.on_changed(lambda config, version: self.told.append(config.limits.user_burst))
        self.successResultOf(Deferred.fromCoroutine(self.bus.start()))
        self.successResultOf(Deferred.fromCoroutine(self.seen.start()))
        self.events: list[LogEvent] = []
        observe: Any = self.events.append
        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def load(self) -> CoreConfig:
        if self.file is None:
            raise ConfigError("im.toml", ["limits.user_burst: is bad", "log.level: is bad, too"])
        return self.file

    def said(self) -> str:
        return "\n".join(map(formatEvent, self.events))

    def publish(self, version: int, document: object) -> None:
        payload = SettingsChanged(version=version, document=json.dumps(document)).SerializeToString()
        Deferred.fromCoroutine(self.bus.publish_durable(ADMIN_CONFIG, payload))
        self.clock.pump([0.0] * 5)

    def test_taken(self) -> None:
        """What may change is in force at once and named, what may not is named, too."""
        self.file = CoreConfig(
            limits=CoreLimits(user_burst=7),
            log=Log(level="warn", format="json"),
            gateway=Gateway(max_connections=3),
        )
        self.process.hang_up()
        self.assertEqual(self.told, [7])
        self.assertEqual(self.log.seen[-1].level, "warn")
        self.assertEqual(self.reopened[-1].log.format, "json")
        self.assertEqual(self.reopened[-1].gateway, Gateway())
        self.assertIn("in force now: limits.user_burst, log.level, log.format", self.said())
        self.assertIn("only a restart brings into force: gateway.max_connections", self.said())

    def test_below_settings(self) -> None:
        """What operators set for all nodes stands above the file as before, and the file below it."""
        self.publish(1, {"limits": {"user_burst": 9}, "log": {"level": "error"}})
        self.file = CoreConfig(limits=CoreLimits(user_burst=7, user_text_per_min=3), log=Log(level="debug"))
        self.process.hang_up()
        self.assertEqual((self.told, self.log.seen[-1].level), ([9, 9], "error"))
        self.assertEqual(self.seen.config.limits.user_text_per_min, 3)
        self.publish(2, {})
        self.assertEqual((self.told, self.log.seen[-1].level), ([9, 9, 7], "debug"))

    def test_wrong(self) -> None:
        """A wrong file changes nothing but that the log is opened anew; all that is wrong is told."""
        self.file = None  # type: ignore[assignment]
        self.process.hang_up()
        self.assertEqual((self.told, self.reopened), ([], [CoreConfig()]))
        self.assertIn("nothing is changed", self.said())
        for problem in ("limits.user_burst: is bad", "log.level: is bad, too"):
            self.assertIn(problem, self.said())

    def test_many(self) -> None:
        """A flood of them is one reload at once and one a second later, which sees what the last one asked for."""
        for _ in range(300):
            self.process.hang_up()
        self.assertEqual(len(self.reopened), 1)
        self.file = CoreConfig(limits=CoreLimits(user_burst=7))
        self.process.hang_up()
        self.clock.advance(RELOAD_INTERVAL_S - 0.01)
        self.assertEqual((len(self.reopened), self.told), (1, [CoreLimits().user_burst]))
        self.clock.advance(0.01)
        self.assertEqual((len(self.reopened), self.told[-1]), (2, 7))
        self.clock.advance(10)
        self.assertEqual(len(self.reopened), 2)
        self.process.hang_up()
        self.assertEqual(len(self.reopened), 3)

    def test_nothing(self) -> None:
        """Without a change the log is opened anew all the same: that is what logrotate asks for."""
        self.process.hang_up()
        self.assertEqual(self.reopened, [self.file])
        self.assertIn("nothing else than before", self.said())
