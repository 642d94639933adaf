"""Spans as nodes have written them into files, put together to traces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct, field

Value = str | int | float | bool

#: Traces held at a time, of more the newest; a trace is some 10 KB.
MAX_TRACES = 10_000


class Line(Struct):
    """One span, as ``imd.ops.span_files`` writes it."""

    time: str
    trace_id: str
    span_id: str
    parent_id: str
    name: str
    node: str
    took_ms: float
    attributes: dict[str, Value] = field(default_factory=dict)
    error: str = ""

    @property
    def began_ms(self) -> float:
        """Since 1970; 0 if it does not say."""
        try:
            return datetime.fromisoformat(self.time).timestamp() * 1000
        except ValueError:
            return 0.0


#: By which a message is asked for.
_IDS = ("im.client_msg_id", "im.server_msg_id", "im.conversation_id")

_decoder = msgspec.json.Decoder(Line)


class Trace:
    """The spans of one message, in the order in which they began."""

    def __init__(self, spans: Sequence[Line]) -> None:
        # Once each, also where a file was copied twice.
        self.spans = sorted({span.span_id: span for span in spans}.values(), key=lambda span: span.time)
        self.trace_id = self.spans[0].trace_id

    @property
    def first(self) -> Line:
        """The span that all others hang on, or the earliest that is left."""
        return next((span for span in self.spans if span.name == "gateway.receive"), self.spans[0])

    @property
    def failed(self) -> Line | None:
        """The first that failed."""
        return next((span for span in self.spans if span.error), None)

    def placed(self) -> Iterator[tuple[int, Line]]:
        """Each span below its parent, with its depth; one whose parent is missing stands at the top."""
        ids = {span.span_id for span in self.spans}
        below: dict[str, list[Line]] = {}
        for span in self.spans:
            below.setdefault(span.parent_id if span.parent_id in ids else "", []).append(span)
        stack = [(0, span) for span in reversed(below.pop("", []))]
        while stack:
            depth, span = stack.pop()
            yield depth, span
            stack += [(depth + 1, each) for each in reversed(below.pop(span.span_id, []))]
        # Each other's parents: no node writes such, but a file may say anything.
        yield from ((0, span) for spans in below.values() for span in spans)


class Folder:
    """The files of one folder.

    :ivar damaged: lines that could not be read, the last time all were.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.damaged = 0

    def traces(self, wanted: str = "") -> list[Trace]:
        """The newest last.

        :param wanted: only those with this trace id (or beginning of one), message or conversation.
        :raises OSError: the folder cannot be read.
        """
        ids = {span.trace_id for span in self._spans() if _is_meant(span, wanted)} if wanted else None
        found: dict[str, list[Line]] = {}
        for span in self._spans():
            if ids is None or span.trace_id in ids:
                found.setdefault(span.trace_id, []).append(span)
                if len(found) > MAX_TRACES:
                    del found[next(iter(found))]
        return sorted((Trace(spans) for spans in found.values()), key=lambda trace: trace.first.time)

    def _spans(self) -> Iterator[Line]:
        self.damaged = 0
        # The file that was put aside comes before the one that took its place.
        files = sorted(self._path.glob("*.jsonl"), key=lambda file: (file.stat().st_mtime, file.name))
        if not files:
            # What glob passes over: the folder may not be there at all.
            next(self._path.iterdir(), None)
        for file in files:
            with file.open("rb") as lines:
                for line in lines:
                    try:
                        yield _decoder.decode(line)
                    except (msgspec.DecodeError, UnicodeDecodeError):
                        self.damaged += 1


def _is_meant(span: Line, wanted: str) -> bool:
    if span.trace_id.startswith(wanted.lower()):
        return True
    return any(str(span.attributes.get(name, "")) == wanted for name in _IDS)
