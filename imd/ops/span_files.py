"""Spans in files, for whoever has no collector: one JSON object a line, a few files of bounded size.

``grep -h TRACE_ID imd-data/traces/*.jsonl | sort`` is the whole story of one message: lines begin with the time.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from msgspec import UNSET, Struct, UnsetType
from msgspec.json import Encoder

from imd.ops.span_export import SinkFailed
from imd.ops.tracing import Kind, RecordedSpan, Value

_NS_PER_S = 1_000_000_000
#: By value: as the key of a dict, an enum costs a call.
_KINDS = tuple(kind.name.lower() for kind in sorted(Kind))
_encoder = Encoder()


class SpanLine(Struct):
    """A span as it is written; its time is when it began, in UTC and to the microsecond."""

    time: str
    trace_id: str
    span_id: str
    parent_id: str
    name: str
    node: str
    kind: str
    took_ms: float
    attributes: dict[str, Value]
    error: str | UnsetType = UNSET


def span_line(span: RecordedSpan, node: str) -> SpanLine:
    """What is written of a span. There are some thousand a second on a busy node, and what f-strings make of numbers
    takes twice as long as ``%`` and ``hex``."""
    seconds, rest_ns = divmod(span.wall_ns, _NS_PER_S)
    context, parent_id = span.context, span.parent_id
    return SpanLine(
        "%s.%06dZ" % (_second(seconds), rest_ns // 1000),  # noqa: UP031
        context.trace_id.to_bytes(16).hex(),
        context.span_id.to_bytes(8).hex(),
        parent_id.to_bytes(8).hex() if parent_id else "",
        span.name,
        node,
        _KINDS[span.kind],
        (span.took_ns + 500) // 1000 / 1000,
        span.attributes,
        span.error or UNSET,
    )


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    """Made once for all that began in it: a third of what a line costs."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class SpanFiles:
    """``SpanSink[bytes]``: ``NODE.jsonl`` in a folder, and ``NODE.1.jsonl``, the one before.

    :param node: whose spans these are; several nodes may share a folder.
    :param max_bytes: of a file; it is then put aside in place of the one before.
    """

    def __init__(self, *, folder: Path, node: str, max_bytes: int) -> None:
        self._folder = folder
        self._node = node
        self._max_bytes = max_bytes
        self._file = folder / f"{node}.jsonl"
        self._before = folder / f"{node}.1.jsonl"

    def portion(self, spans: Sequence[RecordedSpan]) -> bytes:
        """See ``SpanSink``."""
        return _encoder.encode_lines([span_line(span, self._node) for span in spans])

    def write(self, portions: Sequence[bytes]) -> None:
        """See ``SpanSink``. Opened each time: whoever moves the file away need not tell."""
        data = b"".join(portions)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Who wrote to whom is for nobody else's eyes.
            descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                began_at = os.fstat(descriptor).st_size
                if began_at and began_at + len(data) > self._max_bytes:
                    self._file.replace(self._before)
                    os.close(descriptor)
                    descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                    began_at = 0
                _write_whole(descriptor, data, began_at)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise SinkFailed(f"{self._file}: {error.strerror}") from error

    def close(self) -> None:
        """See ``SpanSink``."""


def _write_whole(descriptor: int, data: bytes, began_at: int) -> None:
    """All of it or, on a full disk, nothing: half a line would spoil the next one, too."""
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
    except OSError:
        os.ftruncate(descriptor, began_at)
        raise
