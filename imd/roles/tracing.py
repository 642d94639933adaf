"""Traces, as [tracing] says: who keeps spans, where these go, and which messages are sampled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from imd.config import tracing as sections
from imd.core.gateway.sampling import Sampling
from imd.core.gateway.traces import Traces
from imd.kernel.clocks import Clock
from imd.kernel.errors import StartupError
from imd.kernel.lifecycle import Stage
from imd.ops.metrics.readings import Reading, Source, by_label
from imd.ops.span_export import SpanExport, SpanSink
from imd.ops.span_files import SpanFiles
from imd.ops.tracing import NO_TRACER, RecordingTracer, Tracer

_MIB = 1024 * 1024


class TracingRole(NamedTuple):
    """What the role's parts take, what is started before them, and what is counted."""

    tracer: Tracer
    stages: list[tuple[str, Stage]]
    source: Source


def build_tracing(section: sections.SpanExport, *, service: str, node: str, reactor: Any) -> TracingRole:
    """Nothing is opened before the stages start.

    :param node: as it is called in spans and files.
    :raises StartupError: what it needs is not installed.
    """
    if not section.enabled:
        return TracingRole(NO_TRACER, [], spans_source(None))
    export = SpanExport(
        _sink(section, service=service, node=node),
        where=section.endpoint if section.exporter == "otlp" else section.folder,
        clock=reactor,
        in_thread=_threads(reactor),
        queue_spans=section.queue_spans,
        batch_spans=section.batch_spans,
        interval_s=section.interval_s,
    )
    tracer = RecordingTracer(keep=export.keep, random_bits=Random().getrandbits)
    return TracingRole(tracer, [("traces", export)], spans_source(export))


def spans_source(export: SpanExport[Any] | None) -> Source:
    """What became of spans; None: there are none."""

    def read() -> Iterator[Reading]:
        written, dropped, failed = (
            (0, 0, 0) if export is None else (export.written, export.dropped, export.failed)
        )
        yield from by_label(
            "imd_trace_spans_total", {"written": written, "dropped": dropped, "failed": failed}
        )
        yield Reading("imd_trace_waiting_spans", 0 if export is None else len(export))

    return read


def build_traces(section: sections.Tracing, *, tracer: Tracer, clock: Clock) -> Traces | None:
    """None: this node begins none."""
    if not section.enabled:
        return None
    sampling = Sampling(
        ratio=section.sample_ratio,
        chosen_per_s=section.chosen_per_s,
        random_bits=Random().getrandbits,
        clock=clock,
    )
    return Traces(tracer=tracer, sampling=sampling)


def _sink(section: sections.SpanExport, *, service: str, node: str) -> SpanSink[Any]:
    if section.exporter != "otlp":
        return SpanFiles(folder=Path(section.folder), node=node, max_bytes=section.file_mib * _MIB)
    try:
        # An extra; and it takes 0.3 s to import, which only those pay who use it.
        from imd.ops.span_otlp import OtlpCollector
    except ImportError as error:
        raise StartupError(
            f'tracing.exporter is "otlp", which needs OpenTelemetry ({error}): pip install "imd[tracing]", or set '
            'it to "file"'
        ) from error

    return OtlpCollector(endpoint=section.endpoint, service=service, node=node, timeout_s=section.timeout_s)


def _threads(reactor: Any) -> Callable[[Callable[[], None]], Deferred[None]]:
    """A thread a batch, some in a second at most. Daemons: a collector that hangs does not keep the process."""

    def in_thread(work: Callable[[], None]) -> Deferred[None]:
        done: Deferred[None] = Deferred()

        def run() -> None:
            try:
                work()
            except BaseException:
                reactor.callFromThread(done.errback, Failure())
            else:
                reactor.callFromThread(done.callback, None)

        Thread(target=run, name="spans", daemon=True).start()
        return done

    return in_thread
