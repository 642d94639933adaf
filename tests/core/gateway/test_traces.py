"""Which messages that come over a connection are traced, and what their first span says."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imd.core.gateway.sampling import Sampling
from imd.core.gateway.traces import Traces
from imd.kernel.clocks import Clock
from imd.kernel.errors import Forbidden
from imd.pb.envelope_pb2 import Header
from imd.pb.message_pb2 import FAILED, STORED
from tests.core.gateway.world import World, text
from tests.ops.spans import Spans

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


class Still:
    """Time does not pass."""

    def seconds(self) -> float:
        return 1000.0


class TracesTests(SynchronousTestCase):
    """A gateway that traces what clients ask for, and now and then what they do not."""

    def setUp(self) -> None:
        self.spans = Spans()
        still: Any = Still()
        clock: Clock = still
        self.sampling = Sampling(ratio=0, chosen_per_s=1, random_bits=Random(1).getrandbits, clock=clock)
        self.world = World(traces=Traces(tracer=self.spans.tracer("core-0"), sampling=self.sampling))
        self.ann = self.world.live(1)

    def say(self, client_msg_id: str, trace_id: str | None = None) -> None:
        envelope = text(client_msg_id)
        if trace_id is not None:
            envelope.header.CopyFrom(Header(traceId=trace_id, requestId=5))
        self.ann.says(envelope)

    def traced(self) -> list[str]:
        return [send.key.client_msg_id for send in self.world.pipeline.submitted if send.traced is not None]

    def test_what_is_asked_for(self) -> None:
        """A traceparent is followed; a header without, or with what is no trace, and none at all, are not."""
        self.say("a", f"00-{TRACE}-{SPAN}-01")
        self.say("b", "")
        self.say("c", "my own trace no. 7")
        self.say("d")
        self.assertEqual(self.traced(), ["a"])

    def test_by_the_ratio(self) -> None:
        """Every one, from the moment that the ratio says so."""
        self.say("a")
        self.sampling.change(ratio=1, chosen_per_s=1)
        self.say("b")
        self.say("c", "")
        self.assertEqual(self.traced(), ["b", "c"])

    def test_first_span(self) -> None:
        """It says which message it is and how it ended, and nothing of what is in it."""
        self.say("a", f"00-{TRACE}-{SPAN}-01")
        (send,) = self.world.pipeline.submitted
        self.assertEqual(self.spans.kept, [])
        send.seq = 3
        send.submitter.stored(send, duplicate=False)
        (span,) = self.spans.kept
        self.assertEqual((span.name, span.trace_id, span.parent_id), ("gateway.receive", TRACE, SPAN))
        self.assertEqual(
            span.attributes,
            {
                "im.conversation_id": "c",
                "im.user_id": 1,
                "im.device_id": "phone",
                "im.client_msg_id": "a",
                "im.server_msg_id": send.server_msg_id,
                "im.size_bytes": len(send.body),
                "im.status": "STORED",
            },
        )
        self.world.turn()
        self.assertEqual(self.ann.sent[-1].ack.status, STORED)

    def test_refused(self) -> None:
        """A refusal stands in the span as the client is told it."""
        self.say("a", f"00-{TRACE}-{SPAN}-01")
        (send,) = self.world.pipeline.submitted
        send.submitter.failed(send, Forbidden("you are muted here", reason="muted"))
        (span,) = self.spans.kept
        self.assertEqual((span.error, span.attributes["im.status"]), ("you are muted here", "FAILED"))
        self.world.turn()
        self.assertEqual(self.ann.sent[-1].ack.status, FAILED)
