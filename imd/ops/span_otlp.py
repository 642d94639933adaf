"""Spans to a collector, over OTLP/HTTP, by OpenTelemetry's SDK: the extra ``tracing`` of this package.

Spans are recorded without the SDK and turned into its own in the exporting thread: making one there costs the
thread that serves messages nothing, and with locks and limits of the SDK it would cost it 20 us each.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from imd.ops.span_export import SinkFailed
from imd.ops.tracing import Kind, RecordedSpan

_KINDS = {
    Kind.INTERNAL: SpanKind.INTERNAL,
    Kind.SERVER: SpanKind.SERVER,
    Kind.CLIENT: SpanKind.CLIENT,
    Kind.PRODUCER: SpanKind.PRODUCER,
    Kind.CONSUMER: SpanKind.CONSUMER,
}
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_UNSET = Status(StatusCode.UNSET)
_SCOPE = InstrumentationScope("imd")


class OtlpCollector:
    """``SpanSink`` at a collector. Headers (an access token, say) come from OTEL_EXPORTER_OTLP_HEADERS.

    :param endpoint: the whole URL, with ``/v1/traces``.
    :param service: such as ``im-core``.
    :param node: such as ``core-3``.
    :param timeout_s: for a batch, with what the exporter tries again.
    """

    def __init__(self, *, endpoint: str, service: str, node: str, timeout_s: float) -> None:
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._resource = Resource.create({"service.name": service, "service.instance.id": node})
        self._last_words = _LastWords()
        self._exporter: OTLPSpanExporter | None = None

    def portion(self, spans: Sequence[RecordedSpan]) -> Sequence[RecordedSpan]:
        """See ``SpanSink``. As they are: making OpenTelemetry's of them takes ten times as long as a line of a file."""
        return spans

    def write(self, portions: Sequence[Sequence[RecordedSpan]]) -> None:
        """See ``SpanSink``."""
        if self._exporter is None:
            _be_quiet(self._last_words)
            self._exporter = OTLPSpanExporter(endpoint=self._endpoint, timeout=self._timeout_s)
        self._last_words.text = ""
        if (
            self._exporter.export([self._readable(span) for spans in portions for span in spans])
            is not SpanExportResult.SUCCESS
        ):
            raise SinkFailed(self._last_words.text or "no answer")

    def close(self) -> None:
        """See ``SpanSink``."""
        if self._exporter is not None:
            self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _readable(self, span: RecordedSpan) -> ReadableSpan:
        trace_id, parent_id = span.context.trace_id, span.parent_id
        return ReadableSpan(
            span.name,
            context=_context(trace_id, span.context.span_id),
            parent=_context(trace_id, parent_id) if parent_id else None,
            resource=self._resource,
            attributes=span.attributes,
            kind=_KINDS[span.kind],
            status=Status(StatusCode.ERROR, span.error) if span.error else _UNSET,
            start_time=span.wall_ns,
            end_time=span.wall_ns + span.took_ns,
            instrumentation_scope=_SCOPE,
        )


def _context(trace_id: int, span_id: int) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote=False, trace_flags=_SAMPLED)


class _LastWords(logging.Handler):
    """Why the last export failed: the exporter tells nobody but the log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = " ".join(record.getMessage().split())[:300]


def _be_quiet(last_words: logging.Handler) -> None:
    """What the exporter says at every try is said once in a while by ``SpanExport``, and by urllib3 not at all."""
    for name in ("opentelemetry", "urllib3.connectionpool"):
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.addHandler(last_words if name == "opentelemetry" else logging.NullHandler())
