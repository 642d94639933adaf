"""Which trace something belongs to, as W3C Trace Context writes it (https://www.w3.org/TR/trace-context/).

Whatever sends something on behalf of a sampled message says so by ``carrying``; the bus takes it along and sets
it around the handler at the other end. Nothing else reads or sets it, so that no timer and no background work
goes on under the name of a message that once started it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar
from typing import NamedTuple, TypeVar

T = TypeVar("T")

TRACEPARENT = "traceparent"
#: Version, trace id, parent id, flags. What a later version adds stands behind another dash.
_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1


class TraceContext(NamedTuple):
    """A span of a sampled trace: the parent of what follows. What is not sampled has none."""

    trace_id: int
    span_id: int

    def traceparent(self) -> str:
        """As it travels."""
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-01"

    def trace_id_hex(self) -> str:
        """As logs and people write it."""
        return f"{self.trace_id:032x}"


class Traceparent(NamedTuple):
    """What somebody said of a trace, sampled or not."""

    context: TraceContext
    is_sampled: bool


def read_traceparent(text: str) -> Traceparent | None:
    """None: it is malformed, and stands for nothing."""
    found = _TRACEPARENT.fullmatch(text)
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    context = TraceContext(int(trace_id, 16), int(span_id, 16))
    if not (context.trace_id and context.span_id) or (more is not None and version == "00"):
        return None
    return Traceparent(context, bool(int(flags, 16) & _SAMPLED))


def sampled_context(text: str) -> TraceContext | None:
    """The parent that a traceparent names; None if it is malformed, or not sampled."""
    said = read_traceparent(text)
    return said.context if said is not None and said.is_sampled else None


_carried: ContextVar[TraceContext | None] = ContextVar("imd_trace", default=None)


def carried() -> TraceContext | None:
    """On behalf of which span the caller works; None: of none that is sampled."""
    return _carried.get()


@contextmanager
def carrying(context: TraceContext | None) -> Iterator[None]:
    """What is sent and awaited in here is on behalf of this span."""
    token = _carried.set(context)
    try:
        yield
    finally:
        _carried.reset(token)


def run_apart(context: TraceContext | None, work: Callable[..., T], *arguments: object) -> T:
    """Call ``work`` with nothing of the caller's context variables, on behalf of this span."""
    apart = Context()
    if context is not None:
        apart.run(_carried.set, context)
    return apart.run(work, *arguments)
