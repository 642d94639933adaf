"""Spans as a test looks at them: kept in a list, and drawn as the tree that their parents make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import count
from random import Random
from typing import Any, NamedTuple

from imd.ops.tracing import RecordedSpan, RecordingTracer, Tracer


class Seen(NamedTuple):
    """What matters of a span, wherever it was read; ids as in the files."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    node: str
    began: Any
    attributes: Mapping[str, Any]
    error: str = ""


class Spans:
    """Keeps the spans of several nodes; each moment is later than the one before."""

    def __init__(self) -> None:
        self.kept: list[Seen] = []
        self._moments = count(1)
        self._random = Random(7)

    def tracer(self, node: str) -> Tracer:
        """Of one node."""

        def keep(span: RecordedSpan) -> None:
            self.kept.append(
                Seen(
                    span.context.trace_id_hex(),
                    f"{span.context.span_id:016x}",
                    f"{span.parent_id:016x}" if span.parent_id else "",
                    span.name,
                    node,
                    span.started_ns,
                    span.attributes,
                    span.error,
                )
            )

        def next_ns() -> int:
            return 1_000_000 * next(self._moments)

        return RecordingTracer(
            keep=keep, random_bits=self._random.getrandbits, wall_ns=next_ns, steady_ns=next_ns
        )

    def named(self, name: str) -> list[Seen]:
        return [span for span in self.kept if span.name == name]


def by_trace(spans: Iterable[Seen]) -> dict[str, list[Seen]]:
    """The spans of each trace."""
    traces: dict[str, list[Seen]] = {}
    for span in spans:
        traces.setdefault(span.trace_id, []).append(span)
    return traces


def drawn(spans: Iterable[Seen]) -> list[str]:
    """One trace, a line a span, indented below its parent, in the order in which they began.

    :raises AssertionError: a parent is missing, or an id is there twice.
    """
    below: dict[str, list[Seen]] = {}
    ids = set()
    for span in sorted(spans, key=lambda each: each.began):
        assert span.span_id not in ids, f"{span.span_id} is there twice"
        ids.add(span.span_id)
        below.setdefault(span.parent_id, []).append(span)
    lines: list[str] = []

    def draw(parent_id: str, depth: int) -> None:
        for span in below.pop(parent_id, ()):
            lines.append(f"{'  ' * depth}{span.name} @{span.node}")
            draw(span.span_id, depth + 1)

    draw("", 0)
    assert not below, f"parents are missing: {below}"
    return lines
