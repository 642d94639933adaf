"""Sections about traces (docs/tracing.rst)."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from imd.config.conflict import Conflict
from imd.config.section import Section


class SpanExport(Section, frozen=True):
    """What each hop of a sampled message took (docs/tracing.rst). Off, it costs nothing; whatever becomes of the
    spans, messages go on."""

    enabled: bool = False
    """Whether this node keeps spans. Off, traces of other nodes go through it unbroken."""
    exporter: str = "file"
    """"file": JSON lines in folder. "otlp": to the collector at endpoint, by OTLP over HTTP; needs the extra:
    pip install "imd[tracing]"."""
    folder: str = "imd-traces"
    """For "file": NODE.jsonl, mode 0600; several nodes may share it."""
    file_mib: int = 64
    """For "file": then it is put aside as NODE.1.jsonl, in place of the one before."""
    endpoint: str = "http://127.0.0.1:4318/v1/traces"
    """For "otlp": the whole URL. Spans tell who wrote to whom, though not what: to other machines, use https. Headers
    such as an access token come from OTEL_EXPORTER_OTLP_HEADERS in the environment."""
    timeout_s: float = 5.0
    """For "otlp": a batch that is not taken by then is lost."""
    queue_spans: int = 8192
    """Spans that wait to be written, about 1 KB each; above, new ones are lost, and the log says how many."""
    batch_spans: int = 1024
    """So many are written at once, and as soon as there are so many."""
    interval_s: float = 2.0
    """Fewer wait for so long."""


class Tracing(SpanExport, frozen=True):
    """What each hop of a sampled message took (docs/tracing.rst). Off, it costs nothing; whatever becomes of the
    spans, messages go on."""

    sample_ratio: float = 0.01
    """Of the messages that clients send to this node; all nodes that a message comes to follow."""
    chosen_per_s: float = 1.0
    """Traces whose id a client chose (Header.traceId), which may also ask to be sampled: so many a second on this
    node, ten times as many at once. 0: none."""


#: Where spans may go.
EXPORTERS = ("file", "otlp")


def of_tracing(tracing: SpanExport) -> Iterator[Conflict]:
    """What is wrong with [tracing] beyond types and bounds."""
    if tracing.exporter not in EXPORTERS:
        expected = ", ".join(EXPORTERS)
        yield Conflict("tracing.exporter", f"is {tracing.exporter!r}; expected one of {expected}")
    if tracing.exporter == "file" and not tracing.folder.strip():
        yield Conflict("tracing.folder", "is empty; expected a folder", ("tracing.exporter",))
    if tracing.exporter == "otlp" and _is_no_endpoint(tracing.endpoint):
        # Not repeated: some hold a key.
        text = "is no URL of a collector; expected such as http://127.0.0.1:4318/v1/traces"
        yield Conflict("tracing.endpoint", text, ("tracing.exporter",))
    if tracing.batch_spans > tracing.queue_spans:
        text = f"is above tracing.queue_spans ({tracing.queue_spans}); so many never wait"
        yield Conflict("tracing.batch_spans", text, ("tracing.queue_spans",))


def _is_no_endpoint(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return True
    return (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or port == 0
        or not parts.path.strip("/")
        or bool(parts.query or parts.fragment or "@" in parts.netloc)
        or not url.isascii()
        or any(character <= " " for character in url)
    )
