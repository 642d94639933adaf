"""Traces over a real cluster: the sender at one core node, the receiver at the other, business asked on the way."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
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


def _hops(spans: list[Seen]) -> list[str]:
    """The trace without the questions to business, which not every message has."""
    return [line for line in drawn(spans) if "bus.request" not in line and "bus.answer" not in line]


def _is_whole(spans: list[Seen]) -> bool:
    """All hops are there, below the right ones, and each question has its answer."""
    ids = {span.span_id for span in spans}
    if any(span.parent_id and span.parent_id not in ids for span in spans):
        return False
    names = [span.name for span in spans]
    return names.count("bus.request") == names.count("bus.answer") and _hops(spans) in (
        OWNER_IS_SENDERS,
        OWNER_IS_RECEIVERS,
    )


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

    def wait_until_whole(self, *trace_ids: str) -> dict[str, list[Seen]]:
        """Nodes write at their own pace: until each of these is what it has to be."""
        wait_for(
            lambda: all(_is_whole(self.traces().get(each, [])) for each in trace_ids), self.left(trace_ids)
        )
        return self.traces()

    def left(self, trace_ids: Sequence[str]) -> Callable[[], str]:
        """What is wrong with the first that never became whole."""

        def tell() -> str:
            for each in trace_ids:
                if not _is_whole(spans := self.traces().get(each, [])):
                    return f"whole trace; one is {_hops(spans)}"
            return "whole trace"

        return tell

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
            traces = self.wait_until_whole(first, second)
            hops = _hops(traces[second])
            self.assertEqual(_hops(traces[first]), hops)
            self.assert_business_was_asked(traces[first])
            seen.add(hops[1])
        self.assertEqual(len(seen), 2, "one node owns all of them")

    def assert_business_was_asked(self, first: list[Seen]) -> None:
        """The first message of a conversation waits for business, at the owner, below the permission."""
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
        traces = self.wait_until_whole(*wanted)
        for number, trace_id in enumerate(wanted):
            (whole,) = (span for span in traces[trace_id] if span.name == "gateway.receive")
            self.assertEqual(whole.attributes["im.client_msg_id"], f"n{number}")

    def test_no_words(self) -> None:
        """What people write is in no span."""
        ann, bob = self.phone(1), self.phone(2)
        ann.send(bob, "secret", _trace_id(5000))
        ann.hear("ack", 1)
        bob.acknowledge(bob.hear("deliver", 1))
        self.wait_until_whole(_trace_id(5000))
        for file in self.folder.iterdir():
            self.assertNotIn("for their eyes only", file.read_text())

    @classmethod
    def tearDownClass(cls) -> None:
        for cluster, _, folder in cls._shared:
            cluster.kill()
            shutil.rmtree(folder, ignore_errors=True)
        cls._shared.clear()
