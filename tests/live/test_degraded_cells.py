"""A cluster whose im-business is well, slow, or killed: each cell of the default-policy matrix, as clients see it."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from tests.live.degraded import PATIENT, SETTINGS, SLACK_S, SNAPSHOT_S, Answer, Operator, Records, Talker
from tests.live.failing import Ground
from tests.named_cases import named_cases

#: Of each of two ways, between im-business and the bus: an answer takes 120 ms and more, and less than 300.
SLOW_WAY_S = 0.06
#: In which times an answer counts.
SPAN_S = 3.0

WELL, SLOW, KILLED = "well", "slow", "killed"

#: Spec 23.1: conversation, message; well, slow, killed; audit level. What the server itself writes comes from
#: im-business and so is never in doubt here; tests/core/permission has those cells.
TABLE = """
p2p       text     stored  cache  release  1
p2p       media    stored  cache  release  2
p2p       control  stored  cache  refused  1
group     text     stored  cache  release  2
group     media    stored  cache  refused  3
group     control  stored  cache  refused  2
sensitive text     stored  stored refused  3
sensitive media    stored  stored refused  3
sensitive control  stored  stored refused  3
"""
CELLS = {
    f"{kind}_{message}_{state}": (kind, message, state, outcome, int(level))
    for kind, message, *outcomes, level in (line.split() for line in TABLE.split("\n") if line)
    for state, outcome in zip((WELL, SLOW, KILLED), outcomes, strict=True)
}


class Round:
    """One state of im-business, and a message of each kind in each conversation while it lasts."""

    _all: ClassVar[dict[str, Round]] = {}

    def __init__(self, state: str) -> None:
        self.ground = Ground.of("two cores")
        self.answers: dict[tuple[str, str], Answer] = {}
        self.names: dict[tuple[str, str], str] = {}
        operator = Operator(self.ground.cluster)
        settings = SETTINGS["permission"] | (PATIENT if state == SLOW else {})
        operator.set({"permission": settings})
        records = Records(self.ground.cluster)
        first, second = self.ground.cores
        self.ann, self.bob = Talker(first, self.ground.town), Talker(second, self.ground.town)
        self.conversations = {
            "p2p": records.pair(self.ann, self.bob),
            "group": records.group(self.ann, self.bob),
            "sensitive": records.group(self.ann, self.bob, sensitive=True),
        }
        try:
            self._play(state)
        finally:
            self.ground.heal()
            operator.set({})
        self.audited = records.audited(*self._expected(state))
        for talker in (self.ann, self.bob):
            talker.close()
        records.close()

    @classmethod
    def of(cls, state: str) -> Round:
        """Played once, for all cells of its column."""
        if state not in cls._all:
            cls._all[state] = cls(state)
        return cls._all[state]

    def _play(self, state: str) -> None:
        recallable = {}
        for kind, conversation_id in self.conversations.items():
            self.bob.gets_through(conversation_id)
            recallable[kind] = self.ann.gets_through(conversation_id)
        if state == SLOW:
            self._slow_down()
        elif state == KILLED:
            for node in self.ground.business:
                node.kill()
        for message in ("text", "media", "control"):
            time.sleep(2 * SNAPSHOT_S)
            for kind, conversation_id in self.conversations.items():
                sent_s = time.monotonic()
                name = self.ann.puts(conversation_id, message, recalls=recallable[kind])
                self.names[kind, message] = name
                self.answers[kind, message] = self.ann.outcome(name, sent_s)

    def _slow_down(self) -> None:
        """Until the nodes have seen nothing else for a while."""
        ground = self.ground
        ground.fault("slow", ground.links("nats", *ground.business), delay_s=SLOW_WAY_S)
        until_s = time.monotonic() + SPAN_S + 1
        while time.monotonic() < until_s:
            for conversation_id in self.conversations.values():
                self.ann.says(conversation_id)
            time.sleep(2 * SNAPSHOT_S)

    def _expected(self, state: str) -> list[str]:
        return [
            self.names[kind, message]
            for kind, message, column, outcome, _ in CELLS.values()
            if column == state and outcome != "stored"
        ]


@named_cases(CELLS, "{0} x {1} while im-business is {2}: {3}.")
class DegradedCells(SynchronousTestCase):
    """One test a cell."""

    def check(self, kind: str, message: str, state: str, outcome: str, level: int) -> None:
        played = Round.of(state)
        answer = played.answers[kind, message]
        told = f"{answer}; {played.audited}"
        audited: Any = played.audited.get(played.names[kind, message])
        if outcome == "refused":
            self.assertEqual((answer.status, answer.reason), ("FAILED", "degraded"), told)
            self.assertEqual(audited, ("refused", level), told)
        else:
            self.assertEqual(answer.status, "STORED", told)
            self.assertEqual(audited, None if outcome == "stored" else ("released", level), told)
        deadline_s = PATIENT["deadline_ms"] / 1000 if state == SLOW else 0.3
        self.assertLess(answer.took_s, deadline_s + SLACK_S, told)
