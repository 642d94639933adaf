"""im-business is silent, slow, flapping under load, or not heard: how long people wait, what is let through, and
what becomes of that afterwards."""

from __future__ import annotations

import threading
import time
from typing import ClassVar

from sqlalchemy import func, select
from twisted.trial.unittest import SynchronousTestCase

from imd.business.tables.policy import audit_events
from tests.live.degraded import (
    MANAGED,
    PUBLIC,
    SETTINGS,
    SLACK_S,
    SNAPSHOT_S,
    Answer,
    Operator,
    Records,
    Talker,
    rest,
)
from tests.live.failing import FAULT_S, FailureCase, Ground, Load

#: What is meant by slow: far longer than anybody waits.
SLOW_S = 5.0


class _Scene(SynchronousTestCase):
    """Ann and bob at different nodes, and settings of which everything happens soon."""

    #: Besides ``SETTINGS``.
    permission: ClassVar[dict[str, float]] = {}

    def setUp(self) -> None:
        self.ground = Ground.of("two cores")
        self.operator = Operator(self.ground.cluster)
        self.operator.set({"permission": SETTINGS["permission"] | self.permission})
        self.records = Records(self.ground.cluster)
        first, second = self.ground.cores
        self.ann, self.bob = Talker(first, self.ground.town), Talker(second, self.ground.town)
        self.addCleanup(self.operator.set, {})
        self.addCleanup(self.ground.heal)
        self.addCleanup(self.records.close)
        for talker in (self.ann, self.bob):
            self.addCleanup(talker.close)

    def warm(self, *conversation_ids: str) -> None:
        """Known at both nodes, and no longer fresh."""
        for conversation_id in conversation_ids:
            for talker in (self.ann, self.bob):
                talker.gets_through(conversation_id)
        time.sleep(2 * SNAPSHOT_S)


class SilentTests(_Scene):
    """It takes questions and does not answer: nobody waits longer than their scene allows."""

    #: So that every message waits, and not only the first few.
    permission: ClassVar[dict[str, float]] = {"open_after_failures": 1000, "open_share_s": 3600}

    def setUp(self) -> None:
        super().setUp()
        self.scenes = {
            "p2p": (self.records.pair(self.ann, self.bob), 0.3, "STORED"),
            "ordinary": (self.records.group(self.ann, self.bob), 0.3, "STORED"),
            "managed": (self.records.group(self.ann, self.bob, kind=MANAGED), 0.15, "FAILED"),
            "public": (self.records.group(self.ann, self.bob, kind=PUBLIC), 0.2, "FAILED"),
        }
        self.warm(*(conversation_id for conversation_id, _, _ in self.scenes.values()))

    def assert_deadlines(self) -> None:
        names = []
        for scene, (conversation_id, deadline_s, status) in self.scenes.items():
            sent_s = time.monotonic()
            names.append(self.ann.puts(conversation_id))
            answer = self.ann.outcome(names[-1], sent_s)
            self.assertEqual(answer.status, status, f"{scene}: {answer}")
            self.assertLess(answer.took_s, deadline_s + SLACK_S, scene)
        unknown = self.records.group(self.ann, self.bob)
        sent_s = time.monotonic()
        answer = self.ann.outcome(self.ann.puts(unknown), sent_s)
        self.assertEqual((answer.status, answer.reason), ("FAILED", "degraded"))
        self.assertLess(answer.took_s, 0.3 + SLACK_S)
        self.ground.heal()
        self.assertEqual(
            [decision for decision, _ in self.records.audited(*names).values()].count("released"), 2
        )

    def test_paused(self) -> None:
        """All nodes stopped by SIGSTOP."""
        for node in self.ground.business:
            node.pause()
        self.assert_deadlines()

    def test_slow_database(self) -> None:
        """Their database takes 5 s longer, each way."""
        self.ground.fault("slow", self.ground.links("mariadb", *self.ground.business), delay_s=SLOW_S)
        self.assert_deadlines()


class RevokedTests(_Scene):
    """It is alive and changes things, and core hears nothing of it."""

    def test_wrongly_released(self) -> None:
        """What somebody said after a kick is let through, and taken back once core is heard again; both are told.
        What was said before stays."""
        group = self.records.group(self.ann, self.bob)
        self.warm(group)
        before = self.bob.puts(group)
        self.assertEqual(self.bob.outcome(before, time.monotonic()).status, "STORED")
        self.ground.fault("stall", self.ground.links("nats", *self.ground.business))
        kick = threading.Thread(
            target=rest,
            args=(self.ground.business[0], self.ann, "DELETE", f"/groups/{group}/members/{self.bob.user_id}"),
        )
        kick.start()
        # It is in the database long before the answer, which waits for the bus.
        deadline_s = time.monotonic() + 10
        while self.records.is_member(group, self.bob):
            self.assertLess(time.monotonic(), deadline_s, "the kick is not committed")
            time.sleep(0.05)
        # What was said of the group before is believed for as long.
        time.sleep(2 * SNAPSHOT_S)
        wrong = self.bob.puts(group)
        answer = self.bob.outcome(wrong, time.monotonic())
        self.assertEqual(answer.status, "STORED")
        right = self.ann.says(group)
        self.assertEqual(right.status, "STORED")
        self.ground.heal()
        kick.join(30)
        recall = self.ann.hears_recall(group, answer.seq)
        self.assertEqual((int(recall.get("senderId", 0)), recall["recall"]["reason"]), (0, "not_member"))
        told = self.bob.is_told(wrong, "REVOKED")
        self.assertEqual((int(told["seq"]), told["error"]["reason"]), (answer.seq, "not_member"))
        self.assertEqual(self.records.audited(wrong)[wrong][0], "released")
        self.assertEqual(self.taken_back(group), [answer.seq])

    def test_to_somebody_who_blocks(self) -> None:
        """A first message to somebody who has blocked its sender is let through, and taken back."""
        rest(self.ground.business[0], self.bob, "PUT", f"/blocks/{self.ann.user_id}")
        time.sleep(1.0)
        for node in self.ground.business:
            node.kill()
        conversation_id = self.ann.peer_conversation(self.bob)
        sent_s = time.monotonic()
        name = self.ann.puts(conversation_id, peer=self.bob.user_id)
        answer = self.ann.outcome(name, sent_s)
        self.ground.heal()
        if answer.status == "FAILED":
            # The filter of those who are restricted somewhere knew it already.
            self.assertEqual(answer.reason, "degraded")
            return
        told = self.ann.is_told(name, "REVOKED")
        self.assertEqual(told["error"]["reason"], "not_accepted")

    def taken_back(self, conversation_id: str) -> list[int]:
        """The seqs of those that ann has heard to be gone."""
        return [
            int(message["recall"]["seq"])
            for message in self.ann.heard
            if message["conversationId"] == conversation_id and message.get("recall")
        ]


class SettingsTests(_Scene):
    """What operators set."""

    def test_restart(self) -> None:
        """A node that starts again goes by the newest settings, and not by those of its file."""
        node = self.ground.cores[0]
        version = self.operator.set(SETTINGS | {"limits": {"user_burst": 77}})
        says = f"settings version {version} is in force"
        for expected in (2, 3):
            node.kill()
            node.start()
            deadline_s = time.monotonic() + 20
            while self.ground.log(node).count(says) < expected:
                self.assertLess(time.monotonic(), deadline_s, "the settings are not heard again")
                time.sleep(0.1)

    def test_shadow(self) -> None:
        """In the shadow nothing is let through; what would be is recorded."""
        self.operator.set({"permission": SETTINGS["permission"] | {"shadow": True}})
        group = self.records.group(self.ann, self.bob)
        self.warm(group)
        for node in self.ground.business:
            node.kill()
        name = self.ann.puts(group)
        answer: Answer = self.ann.outcome(name, time.monotonic())
        self.assertEqual((answer.status, answer.code, answer.reason), ("FAILED", "SERVER_BUSY", ""))
        self.ground.heal()
        self.assertEqual(self.records.audited(name)[name][0], "would_release")


class FlappingTests(FailureCase):
    """It comes and goes under load, and snapshots live for a moment."""

    def setUp(self) -> None:
        super().setUp()
        operator = Operator(self.ground.cluster)
        operator.set(SETTINGS)
        self.addCleanup(operator.set, {})
        self.records = Records(self.ground.cluster)
        self.addCleanup(self.records.close)

    def test_flapping(self) -> None:
        """Nothing is refused, lost or reordered in ordinary conversations; what was let through is recorded."""
        before = self.released()
        with self.load() as load:
            for _ in range(max(2, int(FAULT_S / 2))):
                for do in ("pause", "resume"):
                    for node in self.ground.business:
                        getattr(node, do)()
                    load.run_for(1)
            self.goes_on(load)
        deadline_s = time.monotonic() + 30
        while self.released() == before and time.monotonic() < deadline_s:
            time.sleep(0.2)
        self.assertGreater(self.released(), before)

    def goes_on(self, load: Load) -> None:
        """Messages are stored and delivered."""
        self.assertTrue(load.gains(50, over_s=2))

    def released(self) -> int:
        """How many releases are on record."""
        query = select(func.count()).where(audit_events.c.decision == "released")
        with self.records.engine.connect() as connection:
            return int(connection.execute(query).scalar_one())
