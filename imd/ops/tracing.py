"""Spans: what each hop of a sampled message took, and whose part it was.

The port is ours and small, so that a server without any tracing library pays nothing. Whoever serves a message that
is not sampled never gets here: it has no trace context, and that is all that is looked at.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from enum import IntEnum
from functools import partial
from types import MappingProxyType
from typing import NamedTuple, Protocol

from msgspec import Struct

from imd.kernel.trace_context import TraceContext

Value = str | int | float | bool
Attributes = Mapping[str, Value]

_NONE: Attributes = MappingProxyType({})
_SPAN_ID_BITS = 64


class Kind(IntEnum):
    """What a span is to the one above it; values as in OpenTelemetry."""

    INTERNAL = 0
    #: Answers somebody else.
    SERVER = 1
    #: Asks somebody else, and waits.
    CLIENT = 2
    #: Sends something off, and does not wait.
    PRODUCER = 3
    #: Takes what was sent off.
    CONSUMER = 4


class Moment(NamedTuple):
    """A point in time: where it lies, and what to measure from; the wall clock may be set meanwhile."""

    wall_ns: int
    steady_ns: int


#: As the named tuples themselves, without their call into Python, which costs as much as the rest of a span.
_context: Callable[[tuple[int, int]], TraceContext] = partial(tuple.__new__, TraceContext)
_moment: Callable[[tuple[int, int]], Moment] = partial(tuple.__new__, Moment)


class Span(Protocol):
    """One hop, from the moment it was started."""

    @property
    def context(self) -> TraceContext:
        """The parent of what is done within, here or elsewhere."""
        ...

    def end(self, attributes: Attributes = _NONE, *, error: str = "") -> None:
        """It is over, and kept; a span that never ends is not. A second time changes nothing.

        :param error: why it failed, in words for an operator; never what somebody wrote.
        """
        ...


class Tracer(Protocol):
    """Starts spans. Never fails and never waits: what cannot be kept is dropped and counted."""

    def now(self) -> Moment:
        """For a span that may be started later."""
        ...

    def start(
        self,
        name: str,
        parent: TraceContext,
        *,
        kind: Kind = Kind.INTERNAL,
        since: Moment | None = None,
        attributes: Attributes = _NONE,
    ) -> Span:
        """:param parent: with a ``span_id`` of 0: this is the first span of its trace."""
        ...


class RecordedSpan(Struct, gc=False, eq=False):
    """``Span`` that is kept. Made for few messages, but each makes some ten, and a struct takes no call into Python.

    The garbage collector need not look at it: it refers to no other span, and the export lets go of each soon.
    """

    _tracer: RecordingTracer
    name: str
    context: TraceContext
    parent_id: int
    kind: Kind
    #: When it began, by the wall clock; and by the steady one, as ``ended_ns``. 0: it has not ended.
    wall_ns: int
    started_ns: int
    started_with: Attributes
    ended_ns: int = 0
    ended_with: Attributes = _NONE
    error: str = ""

    @property
    def took_ns(self) -> int:
        """How long it was."""
        return self.ended_ns - self.started_ns

    @property
    def attributes(self) -> dict[str, Value]:
        """All of them."""
        return {**self.started_with, **self.ended_with}

    def end(self, attributes: Attributes = _NONE, *, error: str = "") -> None:
        """See ``Span``."""
        if not self.ended_ns:
            tracer = self._tracer
            self.ended_with = attributes
            self.error = error
            # Two looks at the clock may be alike, and 0 is for what has not ended.
            ended_ns = tracer.steady_ns()
            started_ns = self.started_ns
            self.ended_ns = ended_ns if ended_ns > started_ns else started_ns + 1
            tracer.keep(self)


class RecordingTracer:
    """``Tracer`` whose spans are handed to ``keep`` when they end; attributes are theirs from then on.

    :param random_bits: of so many bits, as ``random.getrandbits``.
    """

    def __init__(
        self,
        *,
        keep: Callable[[RecordedSpan], None],
        random_bits: Callable[[int], int],
        wall_ns: Callable[[], int] = time.time_ns,
        steady_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.keep = keep
        self._random_bits = random_bits
        self._wall_ns = wall_ns
        self.steady_ns = steady_ns

    def now(self) -> Moment:
        """See ``Tracer``."""
        return _moment((self._wall_ns(), self.steady_ns()))

    def start(
        self,
        name: str,
        parent: TraceContext,
        *,
        kind: Kind = Kind.INTERNAL,
        since: Moment | None = None,
        attributes: Attributes = _NONE,
    ) -> Span:
        """See ``Tracer``."""
        wall_ns, started_ns = (self._wall_ns(), self.steady_ns()) if since is None else since
        # An id of 0 stands for no span.
        return RecordedSpan(
            self,
            name,
            _context((parent.trace_id, self._random_bits(_SPAN_ID_BITS) or 1)),
            parent.span_id,
            kind,
            wall_ns,
            started_ns,
            attributes,
        )


class _Relayed:
    """``Span`` of a node that keeps none: what comes after it hangs on what came before."""

    __slots__ = ("context",)

    def __init__(self, context: TraceContext) -> None:
        self.context = context

    def end(self, attributes: Attributes = _NONE, *, error: str = "") -> None:
        """Nothing is kept."""


class NoTracer:
    """``Tracer`` of a node with tracing switched off: a trace that others keep goes through it unbroken."""

    def now(self) -> Moment:
        """See ``Tracer``."""
        return Moment(0, 0)

    def start(
        self,
        name: str,
        parent: TraceContext,
        *,
        kind: Kind = Kind.INTERNAL,
        since: Moment | None = None,
        attributes: Attributes = _NONE,
    ) -> Span:
        """See ``Tracer``."""
        return _Relayed(parent)


NO_TRACER: Tracer = NoTracer()
