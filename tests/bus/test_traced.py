"""Spans of questions on the bus."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.bus import traced
from imd.bus.answering import respond
from imd.bus.local import LocalBus
from imd.bus.port import NoResponder
from imd.kernel.errors import Forbidden
from imd.kernel.trace_context import TraceContext, carried, carrying
from imd.pb.bus_pb2 import MembersAnswer, MembersQuery
from tests.contract.driving import drive
from tests.ops.spans import Spans, drawn


class TracedTests(SynchronousTestCase):
    """Core asks, business answers."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.bus = LocalBus(clock=self.clock)
        self.spans = Spans()
        self.core = self.spans.tracer("core")
        drive(self.clock, self.bus.start())
        self.carried: list[TraceContext | None] = []

        async def members(query: MembersQuery) -> MembersAnswer:
            self.carried.append(carried())
            if query.conversationId == "none":
                raise Forbidden("no")
            return MembersAnswer(found=True)

        tracer = self.spans.tracer("business")
        respond(self.bus, "im.auth.members", MembersQuery, MembersAnswer, members, tracer=tracer)

    def ask(
        self, trace: TraceContext | None, conversation_id: str = "c", subject: str = "im.auth.members"
    ) -> Any:
        async def asking() -> MembersAnswer:
            query = MembersQuery(conversationId=conversation_id)
            with carrying(trace):
                payload = await traced.request(
                    self.bus, self.core, subject, query.SerializeToString(), timeout_s=1
                )
            return MembersAnswer.FromString(payload)

        work: Coroutine[Deferred[Any], Any, MembersAnswer] = asking()
        return drive(self.clock, work)

    def test_traced(self) -> None:
        """Question and answer are spans of who asks; what is asked further on hangs on the answer's."""
        with_parent = self.core.start("permission.check", TraceContext(7, 0))
        self.assertTrue(self.ask(with_parent.context).found)
        with_parent.end()
        self.assertEqual(
            drawn(self.spans.kept),
            ["permission.check @core", "  bus.request @core", "    bus.answer @business"],
        )
        (answer,) = self.spans.named("bus.answer")
        assert self.carried[0] is not None
        self.assertEqual(f"{self.carried[0].span_id:016x}", answer.span_id)
        self.assertEqual(answer.attributes, {"messaging.destination.name": "im.auth.members"})

    def test_untraced(self) -> None:
        """Of nobody's questions nothing is kept."""
        self.assertTrue(self.ask(None).found)
        self.assertEqual((self.spans.kept, self.carried), ([], [None]))

    def test_failures(self) -> None:
        """A no, and nobody there, stand in the span that they ended."""
        trace = TraceContext(7, 9)
        self.assertTrue(self.ask(trace, "none").failure.code)
        self.assertEqual([span.error for span in self.spans.kept], ["Forbidden", ""])
        self.assertRaises(NoResponder, self.ask, trace, "c", "im.auth.nobody")
        self.assertEqual(self.spans.kept[-1].error, "NoResponder")
        self.assertIsNone(carried())
