"""The spans of one sampled message at one node (docs/tracing.rst numbers them).

A send that is not sampled has ``traced is None``, and so has what is told of it: that is all the way of a message
looks at. Spans of many messages are open at the same time; each is held by its own send, never by "the current one".
"""

from __future__ import annotations

from imd.kernel.trace_context import TraceContext
from imd.ops.tracing import Attributes, Kind, Moment, Span, Tracer, Value

_NEVER = Moment(0, 0)


class TracedDelivery:
    """What a node tells its own people, on behalf of ``parent``."""

    __slots__ = ("_kind", "_tracer", "parent")

    def __init__(self, tracer: Tracer, parent: TraceContext, *, kind: Kind = Kind.CONSUMER) -> None:
        self._tracer = tracer
        self._kind = kind
        self.parent = parent

    def delivering(self) -> Span:
        """From here on sessions are handed the message; ends when all are."""
        return self._tracer.start("message.deliver", self.parent, kind=self._kind)


class TracedSend(TracedDelivery):
    """A send from when this node had it to when all were told.

    ``whole`` encloses all of it: at the gateway what came from the client. At an owner that was handed the send by
    another node, the whole is there, and ``parent`` is the hop that brought it.
    """

    __slots__ = (
        "_append",
        "_hop",
        "_is_stored",
        "_step",
        "_tries",
        "_waiting_since",
        "_whole",
        "_written",
        "onward",
    )

    def __init__(self, tracer: Tracer, parent: TraceContext, *, whole: Span | None = None) -> None:
        super().__init__(tracer, parent, kind=Kind.INTERNAL)
        self._whole = whole
        self._hop: Span | None = None
        self._append: Span | None = None
        self._step: Span | None = None
        self._is_stored = False
        self._tries = 0
        self._waiting_since = _NEVER
        #: Of the batch that it was written with.
        self._written: dict[str, Value] = {}
        #: What other nodes are told on behalf of.
        self.onward = parent

    @property
    def context(self) -> TraceContext:
        """Of the innermost span that is open."""
        innermost = self._step or self._append or self._hop
        return self.parent if innermost is None else innermost.context

    def checking_content(self) -> None:
        """It waits to be screened, maybe by somebody outside."""
        self._next("content.check", self.parent)

    def handed_over(self, node_id: int) -> TraceContext:
        """It goes to the owner of its conversation; what that does is on behalf of what is returned."""
        self._end_step()
        where: Attributes = {
            "messaging.destination.name": f"im.message.append.{node_id}",
            "im.owner": node_id,
        }
        self._hop = self._tracer.start("bus.forward", self.parent, kind=Kind.CLIENT, attributes=where)
        return self._hop.context

    def taken_in(self) -> None:
        """This node is to append it: first, may it be written?"""
        self._end_step()
        if self._hop is not None:
            self._hop.end(error="the owner did not answer; this node goes on in its place")
            self._hop = None
        if self._append is None:
            kind = Kind.SERVER if self._whole is None else Kind.INTERNAL
            self._append = self._tracer.start("message.append", self.parent, kind=kind)
        self._next("permission.check", self._append.context)

    def admitted(self) -> None:
        """It may; now it waits for the store."""
        if self._append is not None:
            self._waiting_since = self._tracer.now()
            self._next("store.append", self._append.context)

    def writing(self, batch_messages: int) -> None:
        """It is written now, together with others; again, if an earlier try was in vain."""
        self._tries += 1
        waited_ns = self._tracer.now().steady_ns - self._waiting_since.steady_ns
        self._written = {
            "im.batch_messages": batch_messages,
            "im.waited_ms": round(waited_ns / 1e6, 3),
            "im.tries": self._tries,
        }

    def joined(self) -> None:
        """The same send is under way already; its outcome will be this one's."""
        if self._append is not None:
            self._next("store.join", self._append.context)

    def stored(self, seq: int) -> None:
        """It is durable; now people are told."""
        self._end_step({"im.seq": seq, **self._written})
        self._is_stored = True
        if self._append is not None:
            self._step = self._tracer.start("message.fanout", self._append.context)
            self.parent = self.onward = self._step.context

    def publishing(self) -> Span:
        """Other nodes are told; they go on on behalf of it."""
        span = self._tracer.start(
            "bus.publish",
            self.parent,
            kind=Kind.PRODUCER,
            attributes={"messaging.destination.name": "im.message.deliver"},
        )
        self.onward = span.context
        return span

    def told(self) -> None:
        """All who are known to listen were told, here and elsewhere."""
        self._end_step()
        if self._append is not None:
            self._append.end()

    def answered(self, result: Attributes, *, error: str = "") -> None:
        """The sender has the final answer. What is stored is still being told."""
        if self._hop is not None:
            self._hop.end(result, error=error)
        if not self._is_stored:
            self._end_step(error=error)
            if self._append is not None:
                self._append.end(result, error=error)
        if self._whole is not None:
            self._whole.end(result, error=error)

    def _next(self, name: str, parent: TraceContext) -> None:
        self._end_step()
        self._step = self._tracer.start(name, parent)

    def _end_step(self, attributes: Attributes | None = None, *, error: str = "") -> None:
        if self._step is not None:
            self._step.end(attributes or {}, error=error)
            self._step = None
