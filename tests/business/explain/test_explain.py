"""Business asked while core is not there, or says nonsense: an answer all the same, and it says what is missing."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from imd.bus.subjects import EXPLAIN_STORED, NODE_REPORT, explain_node
from imd.pb.bus_pb2 import Failure, NodeReport
from imd.pb.connection_pb2 import SERVER_BUSY
from imd.pb.explain_pb2 import ExplainStoredAnswer
from tests.business.world import OPERATOR_TOKEN, WorldCase


class Explain(WorldCase):
    """``GET /operator/explain`` without the rest of the server."""

    def setUp(self) -> None:
        self.world = self.make_world()
        self.bob = self.world.register("bob")

    def explained(self, message: str, user: str = "bob") -> Any:
        reply = self.world.operate("GET", "/explain?" + urlencode({"message": message, "user": user}))
        self.assertEqual(reply.status, 200, reply)
        return reply.json

    def test_no_core(self) -> None:
        """Nobody answers for core: not known, and that is why."""
        story = self.explained("c:1")
        self.assertEqual((story["got"], story["reason"]), ("unknown", "not_answered"))
        self.assertIn("is not there", story["gaps"][0])

    def test_node_gone(self) -> None:
        """A node that has reported and does not answer is named."""
        report = NodeReport(nodeId=7, ready=True, maxConnections=9, weight=1)
        self.world.bus.publish(NODE_REPORT, report.SerializeToString())
        self.world.clock.advance(0)
        self.world.bus.respond(EXPLAIN_STORED, self._nothing)
        story = self.explained("c:1")
        self.assertEqual(story["gaps"], ["core-7 is not there"])

    async def _nothing(self, _: bytes) -> bytes:
        return ExplainStoredAnswer(lastSeq=3).SerializeToString()

    def test_nonsense(self) -> None:
        """An answer that is none, or a failure, is a gap and no fault."""
        report = NodeReport(nodeId=7, ready=True, maxConnections=9, weight=1)
        self.world.bus.publish(NODE_REPORT, report.SerializeToString())
        self.world.clock.advance(0)
        self.world.bus.respond(explain_node(7), self._nonsense)
        self.world.bus.respond(EXPLAIN_STORED, self._busy)
        story = self.explained("c:1")
        self.assertEqual(story["reason"], "not_answered")
        self.assertEqual(
            sorted(story["gaps"]),
            [
                "core, asked for the stored message, the disk is gone",
                "core-7 failed to answer; its log tells why",
            ],
        )

    async def _nonsense(self, _: bytes) -> bytes:
        return b"\xff\xff"

    async def _busy(self, _: bytes) -> bytes:
        failure = Failure(code=SERVER_BUSY, message="the disk is gone", retryable=True)
        return ExplainStoredAnswer(failure=failure).SerializeToString()

    def test_refused(self) -> None:
        """Without the operators' token, with nonsense, for nobody: each is told, and nothing is asked of core."""
        query = "/operator/explain?" + urlencode({"message": "c:1", "user": "bob"})
        for token in ("", self.bob["token"]):
            self.assertEqual(self.world.call("GET", query, token=token).status, 401)
        for message, user, field in (
            ("x", "bob", "message"),
            ("", "bob", "message"),
            ("c:1\n", "bob", "message"),
            ("c" * 300, "bob", "message"),
            ("c:1", "", "user"),
            ("c:1", "nobody", "user"),
            ("c:1", "9" * 40, "user"),
        ):
            path = "/explain?" + urlencode({"message": message, "user": user})
            reply = self.world.operate("GET", path)
            self.assertIn(reply.status, (400, 404), (message, user, reply))
            self.assertEqual(reply.error[2], field, (message, user))

    def test_written_down(self) -> None:
        """Who asks about people's messages leaves a trace, also when they ask about nobody."""
        self.explained("c:1")
        self.world.operate("GET", "/explain?message=c:1&user=nobody")
        self.world.clock.pump([0.0] * 6)
        events = self.world.call(
            "GET", "/operator/audit?action=operator.explainMessage", token=OPERATOR_TOKEN
        ).json["events"]
        self.assertEqual([event["subjectId"] for event in events], ["0", self.bob["userId"]])
        self.assertIn("c:1", events[0]["detail"])
