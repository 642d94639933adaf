"""Settings: checked, kept by version, published, and what operators are told over HTTP."""

from __future__ import annotations

import json
from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from imd.admin.schema import create_tables, open_admin
from imd.admin.settings.board import NodeBoard
from imd.admin.settings.change import ChangeSettings, Why
from imd.admin.settings.model import Author, Changeable, Settings, problems
from imd.admin.settings.publish import AGAIN_S, MAX_AHEAD, PATIENCE_S, RETRY_S, PublishSettings
from imd.admin.settings.sql import SqlSettings
from imd.bus.local import LocalBus
from imd.bus.port import BusRefused
from imd.bus.subjects import ADMIN_CONFIG, ADMIN_MONITOR
from imd.config.load import keys
from imd.config.sections import Config
from imd.kernel.errors import IdempotentConflict, ServerBusy
from imd.kernel.tasks import Tasks
from imd.pb.bus_pb2 import SettingsChanged, SettingsReport
from imd.storage.sql import Database
from tests.business.world import at_once

T = TypeVar("T")
TOKEN = "t" * 64
ANNA = Author(2, "anna")


class FlakyBus(LocalBus):
    """A bus that sometimes refuses, or never answers."""

    refuses = False
    hangs = False
    #: What the next event waits for before it is taken.
    late: Deferred[None] | None = None

    async def publish_durable(self, subject: str, payload: bytes) -> None:
        if self.refuses:
            raise BusRefused("no connection")
        if self.hangs:
            await Deferred[None]()
        late, self.late = self.late, None
        if late is not None:
            await late
        await super().publish_durable(subject, payload)


class SettingsCase(SynchronousTestCase):
    """An admin node without its ports."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.bus = FlakyBus(clock=self.clock)
        self.database = Database(connect=self.connect, threads=at_once, clock=self.clock)
        self.store = SqlSettings(self.database)
        self.tasks = Tasks()
        self.board = NodeBoard(bus=self.bus, clock=self.clock)
        self.publish = PublishSettings(
            store=self.store,
            bus=self.bus,
            board=self.board,
            clock=self.clock,
            wall_clock=lambda: 1_700_000_000_000,
            tasks=self.tasks,
        )
        self.acts = ChangeSettings(store=self.store, publish=self.publish)
        self.heard: list[SettingsChanged] = []
        self.bus.consume(ADMIN_CONFIG, "core-1", self.hear)
        self.run_(self.bus.start())
        self.run_(self.database.start())
        self.run_(self.board.start())

    def connect(self) -> Any:
        engine = open_admin(None)
        create_tables(engine, place="memory")
        return engine

    async def hear(self, _: str, payload: bytes) -> None:
        self.heard.append(SettingsChanged.FromString(payload))

    def run_(self, work: Coroutine[Deferred[Any], Any, T]) -> T:
        done: Deferred[T] = Deferred.fromCoroutine(work)
        self.clock.pump([0.0] * 10)
        result: T = self.successResultOf(done)
        return result

    def change(self, document: dict[str, Any], based_on: int) -> Settings:
        return self.run_(self.acts.set(document, Why(based_on, "why", ANNA)))

    def save(self, version: int, *, based_on: int = 0) -> bool:
        return self.run_(self.store.save(Settings(version, {}, "", 0), based_on=based_on))

    def report(self, **report: Any) -> None:
        """A node says what it runs."""
        self.bus.publish(ADMIN_MONITOR, SettingsReport(**report).SerializeToString())
        self.clock.pump([0.0] * 5)

    def versions(self) -> list[int]:
        return [event.version for event in self.heard]


class Documents(SynchronousTestCase):
    """What may be published."""

    def test_keys(self) -> None:
        """Whatever can be changed is a key of the nodes' own files, of the same type."""
        known = {path: field.type for path, field in keys(Config)}
        for path, field in keys(Changeable):
            self.assertEqual(known[path], field.type, path)

    def test_good(self) -> None:
        """A document names what it changes, and no more; it may name nothing."""
        good: list[dict[str, Any]] = [
            {},
            {"limits": {}},
            {"limits": {"user_burst": 2.5}, "accounts": {"registration": False}},
        ]
        for document in good:
            self.assertEqual(problems(document), [])

    def test_bad(self) -> None:
        """Every reason is told, with the key."""
        self.assertEqual(
            problems(
                {
                    "nats": {"user": "x"},
                    "limits": {"user_burts": 1, "user_burst": 0},
                    "messages": {"batch_size": 1, "recall_window_s": "1"},
                    "accounts": 7,
                    "permission": {"degraded_above_ms": 400, "timed_out_above_ms": -1},
                    "content": {"words": ["heck"], "hook_on_failure": "ajar"},
                }
            ),
            [
                "nats: is not a key",
                "limits.user_burts: is not a key; did you mean limits.user_burst?",
                "limits.user_burst: 0 is out of range; expected a number, 1 or more",
                "messages.batch_size: is not a key",
                "messages.recall_window_s: is '1'; expected a number, 0 or more",
                "accounts: is 7; expected a table, [accounts]",
                "permission.timed_out_above_ms: -1 is out of range; expected a number, 1 to 60,000",
                "permission.degraded_above_ms: is above timed_out_above_ms",
                "content.hook_on_failure: is 'ajar'; expected one of open, closed, quarantine",
                "content.words[0]: 'heck' is no line; expected a word, a tab, and replace, refuse, review or allow",
            ],
        )
        many = {str(number): number for number in range(5_000)}
        bad: list[object] = [None, [], "x", 1, many, {"limits": many}]
        for document in bad:
            self.assertEqual(len(problems(document)), 1)


class Versions(SettingsCase):
    """``SqlSettings`` and ``PublishSettings``."""

    def test_in_order(self) -> None:
        """Versions count up from 1, each kept as it was and told to all."""
        self.assertEqual(self.run_(self.store.current()).version, 0)
        self.change({"limits": {"user_burst": 9}}, 0)
        settings = self.change({"limits": {"user_burst": 8}}, 1)
        self.assertEqual(self.run_(self.store.current()), settings)
        self.assertEqual(
            settings, (2, {"limits": {"user_burst": 8}}, "why", 1_700_000_000_000, None, ANNA, "set")
        )
        self.clock.pump([0.0] * 10)
        self.assertEqual(self.versions(), [1, 2])
        self.assertEqual(json.loads(self.heard[1].document), {"limits": {"user_burst": 8}})
        self.assertTrue(self.publish.is_published)

    def test_conflict(self) -> None:
        """Who decided on what is not current any more, or never was, decides again."""
        self.change({}, 0)
        for based_on in (0, 5):
            done = Deferred.fromCoroutine(self.acts.set({}, Why(based_on, "", ANNA)))
            self.assertIn("1 is", self.failureResultOf(done, IdempotentConflict).value.message)
        for version, based_on in ((1, 1), (1, 0), (2, 0), (2, 2)):
            self.assertFalse(self.save(version, based_on=based_on))
        self.assertEqual(self.versions(), [1])

    def test_bus_away(self) -> None:
        """What is saved is published once the bus is there, however often that takes."""
        self.run_(self.publish.start())
        self.bus.refuses = True
        self.change({}, 0)
        self.assertFalse(self.publish.is_published)
        self.clock.pump([RETRY_S] * 3)
        self.bus.refuses = False
        self.clock.pump([RETRY_S, 0, 0, 0])
        self.assertEqual((self.versions(), self.publish.is_published), ([1], True))

    def test_bus_hangs(self) -> None:
        """The operator is answered all the same; the version is out later."""
        self.run_(self.publish.start())
        self.bus.hangs = True
        done = Deferred.fromCoroutine(self.acts.set({}, Why(0, "", ANNA)))
        self.assertNoResult(done)
        self.clock.advance(PATIENCE_S)
        self.assertEqual(self.successResultOf(done).version, 1)
        self.bus.hangs = False
        self.clock.pump([RETRY_S, 0, 0, 0])
        self.assertEqual(self.versions(), [1])

    def test_another_admin(self) -> None:
        """What another im-admin saved and did not come to publish is published by this one."""
        self.run_(self.publish.start())
        self.change({}, 0)
        self.save(2, based_on=1)
        self.assertEqual(self.versions(), [1])
        self.clock.pump([RETRY_S, 0, 0, 0])
        self.assertEqual((self.versions(), self.publish.is_published), ([1, 2], True))

    def test_changed_after_restore(self) -> None:
        """A change made before nodes have told that they run a higher version is saved again above that, and told."""
        self.save(3)
        self.run_(self.publish.start())
        self.change({"limits": {"user_burst": 9}}, 3)
        self.report(node="core-1", version=5)
        self.clock.pump([RETRY_S, 0, 0, 0])
        current = self.run_(self.store.current())
        self.assertEqual(
            (current.version, current.document, current.act), (6, {"limits": {"user_burst": 9}}, "lift")
        )
        self.assertEqual(self.versions(), [3, 4, 6])
        self.clock.pump([RETRY_S] * 3)
        self.assertEqual(self.run_(self.store.current()).version, 6)

    def test_not_lifted(self) -> None:
        """What claims a version that no node of ours can have, or is heard of before anything is set, moves nothing."""
        self.run_(self.publish.start())
        self.report(node="core-1", version=5)
        self.clock.pump([RETRY_S, 0, 0, 0])
        self.assertEqual(self.run_(self.store.current()).version, 0)
        self.save(6)
        self.report(node="core-2", version=7 + MAX_AHEAD)
        self.clock.pump([RETRY_S, 0, 0, 0])
        self.assertEqual(self.run_(self.store.current()).version, 6)

    def test_store_away(self) -> None:
        """While the store is away that is said once; afterwards it goes on."""
        said: list[LogEvent] = []
        observe: Any = said.append
        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        self.run_(self.publish.start())
        self.save(1)

        async def busy() -> Settings:
            raise ServerBusy("the database is not available")

        away = self.patch(self.store, "current", busy)
        self.clock.pump([RETRY_S] * 5)
        self.assertEqual(len([event for event in said if "cannot be read" in event["log_format"]]), 1)
        away.restore()
        self.clock.pump([RETRY_S, 0, 0, 0])
        self.assertEqual(self.versions(), [1])

    def test_changed_while_told(self) -> None:
        """A version that the bus takes late does not stand for the one that was saved meanwhile."""
        self.save(1)
        first: Deferred[None] = Deferred()
        self.bus.late = first
        self.run_(self.publish.start())
        self.bus.refuses = True
        self.change({}, 1)
        self.bus.refuses = False
        first.callback(None)
        self.assertFalse(self.publish.is_published)
        self.clock.pump([RETRY_S, 0, 0, 0])
        self.assertEqual((self.versions(), self.publish.is_published), ([1, 2], True))

    def test_stop_while_told(self) -> None:
        """The stop does not wait for a bus that never answers."""
        self.bus.hangs = True
        self.save(1)
        self.run_(self.publish.start())
        self.run_(self.tasks.stop())

    def test_told_again(self) -> None:
        """A new process tells what is current, and again each day: the bus forgets after a week."""
        self.save(1)
        self.run_(self.publish.start())
        self.assertEqual(self.versions(), [1])
        self.clock.pump([RETRY_S] * 10)
        self.assertEqual(self.versions(), [1])
        self.clock.pump([AGAIN_S, RETRY_S, 0, 0])
        self.assertEqual(self.versions(), [1, 1])
