"""``imctl explain`` on a cluster: what happened at which node, and what it says when one of them is gone."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imd.core.explain.record import FLUSH_INTERVAL_S
from imd.ctl.cli import run
from tests.live.degraded import PATIENCE_S, Records, Talker, rest
from tests.live.failing import Ground


class ClusterLiveTests(SynchronousTestCase):
    """Ann at one node, bob at the other."""

    def setUp(self) -> None:
        self.ground = Ground.of("two cores")
        self.records = Records(self.ground.cluster)
        self.addCleanup(self.records.close)
        self.first, self.second = self.ground.cores
        self.ann, self.bob = self.talker(0), self.talker(1)

    def talker(self, node: int) -> Talker:
        talker = Talker(self.ground.cores[node], self.ground.town)
        self.addCleanup(talker.close)
        return talker

    def explained(self, message: str, receiver: Talker) -> tuple[int, Any]:
        """Exit code and story."""
        said = io.StringIO()
        (business, *_) = self.ground.business
        with redirect_stdout(said):
            code = run([
                "explain", message, str(receiver.user_id), "--json", f"--server={business.http_url}",
                f"--token-file={self.ground.cluster.configuration.operator_token_file}",
            ])  # fmt: skip
        return code, json.loads(said.getvalue())

    def is_told(self, message: str, receiver: Talker, reason: str, until: Callable[[Any], bool]) -> Any:
        """The story, once the reason is this one: what is written a moment later is waited for."""
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            code, story = self.explained(message, receiver)
            if story["reason"] == reason and until(story):
                self.assertEqual(code, {"yes": 0, "no": 1, "unknown": 2}[story["got"]])
                return story
            self.assertLess(time.monotonic(), deadline_s, story)
            time.sleep(0.5)

    def test_between_nodes(self) -> None:
        """Admitted at one node, handed on, pushed at the other, acknowledged there."""
        chat = self.records.pair(self.ann, self.bob)
        seq = self.ann.gets_through(chat)
        self.bob.listen(PATIENCE_S)
        self.bob.acknowledges(chat, seq)
        story = self.is_told(f"{chat}:{seq}", self.bob, "delivered", lambda story: not story["gaps"])
        where = {step["what"]: step["where"] for step in story["steps"]}
        self.assertEqual((where["admitted"], where["connected"]), (self.first.name, self.second.name))
        fanouts = [(step["where"], step["text"]) for step in story["steps"] if step["what"] == "fan-out"]
        for node in (self.first, self.second):
            self.assertTrue(
                any(at == node.name and "pushed: 1 session(s)" in text for at, text in fanouts), story
            )
        # Whichever of the two owns the conversation.
        self.assertEqual(len([text for _, text in fanouts if "handed on to core-" in text]), 1, story)
        # The server's own id alone finds it in MongoDB.
        _, again = self.explained(story["serverMsgId"], self.bob)
        self.assertEqual((again["conversationId"], again["seq"]), (chat, seq))

    def test_refused(self) -> None:
        """What somebody who blocks the sender did not get, in the operator's words."""
        chat = self.records.pair(self.ann, self.bob)
        self.ann.gets_through(chat)
        rest(self.ground.business[0], self.bob, "PUT", f"/blocks/{self.ann.user_id}")
        deadline_s = time.monotonic() + PATIENCE_S
        while self.ann.says(chat).status != "FAILED":
            self.assertLess(time.monotonic(), deadline_s)
            time.sleep(0.5)
        name = f"{chat}/{self.ann.user_id}/{self.ann.last_name}"
        story = self.is_told(name, self.bob, "not_accepted", lambda _: True)
        self.assertIn("blocks", story["verdict"])

    def test_node_gone(self) -> None:
        """A node that is gone is named, and nothing is guessed in its place; back again it remembers what it knew."""
        third = self.talker(0)
        # What is younger than a second a crash takes along.
        time.sleep(2 * FLUSH_INTERVAL_S)
        self.second.kill()
        self.addCleanup(self.ground.heal)
        # Whoever wrote has its answer from the nodes that are left.
        seq = third.gets_through(self.records.pair(third, self.bob))
        chat = self.records.pair(third, self.bob)
        story = self.is_told(f"{chat}:{seq}", self.bob, "not_acknowledged", lambda story: bool(story["gaps"]))
        (gap,) = story["gaps"]
        self.assertTrue(gap.startswith(self.second.name), gap)
        self.assertIn(self.second.name, story["verdict"])
        self.ground.heal()
        story = self.is_told(f"{chat}:{seq}", self.bob, "connection_lost", lambda story: not story["gaps"])
        self.assertIn("its node died some time before, and was started anew", story["verdict"])
