"""Traces over a real cluster: the sender at one core node, the receiver at the other, business asked on the way."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from imd.ctl.cluster.cluster import Cluster
from imd.pb.message_pb2 import STORED
from tests.dialogue.town import Town
from tests.live.cluster import new_cluster, town_of
from tests.live.server import NO_LIMITS
from tests.live.traced import Phone, read_spans, wait_for
from tests.ops.spans import Seen, by_trace, drawn

#: Direct conversations are dealt out over the owners by their names; both nodes have some of so many.
PAIRS = 12
MESSAGES = 50

OWNER_IS_SENDERS = [
    "gateway.receive @core-1",
    "  message.append @core-1",
    "    permission.check @core-1",
    "    store.append @core-1",
    "    message.fanout @core-1",
    "      bus.publish @core-1",
    "        message.deliver @core-2",
    "          client.ack @core-2",
]
OWNER_IS_RECEIVERS = [
    "gateway.receive @core-1",
    "  bus.forward @core-1",
    "    message.append @core-2",
    "      permission.check @core-2",
    "      store.append @core-2",
    "      message.fanout @core-2",
    "        message.deliver @core-2",
    "          client.ack @core-2",
    # For the sender's other devices.
    "        bus.publish @core-2",
]


def _trace_id(number: int) -> str:
    return f"{0xACE0 + number:032x}"


class ClusterTraces(SynchronousTestCase):
    """Two im-core, one im-business, all of them tracing everything into one folder."""

    _shared: ClassVar[list[tuple[Cluster, Town, Path]]] = []

    def setUp(self) -> None:
        if not self._shared:
            folder = Path(tempfile.mkdtemp(prefix="imd-traces-"))
            tracing = {
                "enabled": True,
                "folder": str(folder),
                "interval_s": 0.1,
                "sample_ratio": 1.0,
                "chosen_per_s": 1000.0,
            }
            cluster = new_cluster({**NO_LIMITS, "tracing": tracing}, business=1, admins=0)
            self._shared.append((cluster, town_of(cluster, inhabitants=100), folder))
        self.cluster, self.town, self.folder = self._shared[0]

    def phone(self, node: int) -> Phone:
        """Somebody new, at the first or the second core node."""
        one = self.town.next()
        port = self.cluster.of_role("core")[node - 1].ports["tcp"]
        phone = Phone(port, one.account.user_id, self.town.token(one, "phone"))
        self.addCleanup(phone.close)
        return phone

    def traces(self) -> dict[str, list[Seen]]:
        return by_trace(read_spans(self.folder))

    def wait_until_acked(self, *trace_ids: str) -> dict[str, list[Seen]]:
        """The last span of each is there, and so are all others by the time it was written."""

        def are_there() -> bool:
            traces = self.traces()
            return all(
                {"client.ack", "gateway.receive", "message.append"}
                <= {span.name for span in traces.get(trace_id, ())}
                for trace_id in trace_ids
            )

        wait_for(are_there, "whole traces")
        return self.traces()

    def test_every_hop(self) -> None:
        """Each hop is there, in order, below the one that caused it, whichever node owns the conversation."""
        ann = self.phone(1)
        seen = set()
        for number in range(PAIRS):
            bob, first, second = self.phone(2), _trace_id(2 * number), _trace_id(2 * number + 1)
            for trace_id in (first, second):
                ann.send(bob, f"m{trace_id[-4:]}", trace_id)
                (ack,) = ann.hear("ack", 1)
                self.assertEqual(ack.ack.status, STORED)
                bob.acknowledge(bob.hear("deliver", 1))
            traces = self.wait_until_acked(first, second)
            lines = drawn(traces[second])
            self.assertIn(lines, (OWNER_IS_SENDERS, OWNER_IS_RECEIVERS))
            seen.add(lines[1])
            self.assert_business_was_asked(traces[first], lines)
        self.assertEqual(len(seen), 2, "one node owns all of them")

    def assert_business_was_asked(self, first: list[Seen], hops: list[str]) -> None:
        """The first message of a conversation waits for business; all the rest is as for the next one."""
        lines = drawn(first)
        rest = [line for line in lines if "bus.request" not in line and "bus.answer" not in line]
        self.assertEqual(rest, hops)
        ids = {span.span_id: span for span in first}
        (check,) = (span for span in first if span.name == "permission.check")
        answers = [span for span in first if span.name == "bus.answer"]
        self.assertIn("im.auth.direct", {span.attributes["messaging.destination.name"] for span in answers})
        for answer in answers:
            question = ids[answer.parent_id]
            self.assertEqual((question.name, question.node), ("bus.request", check.node))
            self.assertTrue(answer.node.startswith("business-"))
            self.assertEqual(question.parent_id, check.span_id)

    def test_many_at_once(self) -> None:
        """Fifty at once, of both nodes into conversations of both: each has a trace of its own, and it is whole."""
        anns, bobs = [self.phone(1) for _ in range(5)], [self.phone(2) for _ in range(5)]
        for ann, bob in zip(anns, bobs, strict=True):
            ann.send(bob, "opens")
            ann.hear("ack", 1)
            bob.acknowledge(bob.hear("deliver", 1))
        for number in range(MESSAGES):
            anns[number % 5].send(bobs[number % 5], f"n{number}", _trace_id(1000 + number))
        for ann in anns:
            self.assertEqual({each.ack.status for each in ann.hear("ack", MESSAGES // 5)}, {STORED})
        for bob in bobs:
            bob.acknowledge(bob.hear("deliver", MESSAGES // 5))
        wanted = [_trace_id(1000 + number) for number in range(MESSAGES)]
        traces = self.wait_until_acked(*wanted)
        for number, trace_id in enumerate(wanted):
            self.assertIn(drawn(traces[trace_id]), (OWNER_IS_SENDERS, OWNER_IS_RECEIVERS))
            (whole,) = (span for span in traces[trace_id] if span.name == "gateway.receive")
            self.assertEqual(whole.attributes["im.client_msg_id"], f"n{number}")
        batches = [
            span.attributes["im.batch_messages"]
            for trace_id in wanted
            for span in traces[trace_id]
            if span.name == "store.append"
        ]
        self.assertGreater(max(batches), 1, "no two were written together")

    def test_no_words(self) -> None:
        """What people write is in no span."""
        ann, bob = self.phone(1), self.phone(2)
        ann.send(bob, "secret", _trace_id(5000))
        ann.hear("ack", 1)
        bob.acknowledge(bob.hear("deliver", 1))
        self.wait_until_acked(_trace_id(5000))
        for file in self.folder.iterdir():
            self.assertNotIn("for their eyes only", file.read_text())

    @classmethod
    def tearDownClass(cls) -> None:
        for cluster, _, folder in cls._shared:
            cluster.kill()
            shutil.rmtree(folder, ignore_errors=True)
        cls._shared.clear()
