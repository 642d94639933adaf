"""Spans of questions on the bus: one where it is asked, and one where it is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from imd.bus.port import Bus
from imd.kernel.trace_context import carried, carrying
from imd.ops.tracing import Kind, Span, Tracer

T = TypeVar("T")


async def request(bus: Bus, tracer: Tracer, subject: str, payload: bytes, *, timeout_s: float) -> bytes:
    """As ``Bus.request``; a span if the caller works on behalf of one."""
    trace = carried()
    if trace is None:
        return await bus.request(subject, payload, timeout_s=timeout_s)
    span = tracer.start("bus.request", trace, kind=Kind.CLIENT, attributes=_where(subject))
    return await _within(span, lambda: bus.request(subject, payload, timeout_s=timeout_s))


async def answer(tracer: Tracer, subject: str, work: Callable[[], Awaitable[T]]) -> T:
    """What ``work`` gives; a span if somebody asks on behalf of one."""
    trace = carried()
    if trace is None:
        return await work()
    span = tracer.start("bus.answer", trace, kind=Kind.SERVER, attributes=_where(subject))
    return await _within(span, work)


async def _within(span: Span, work: Callable[[], Awaitable[T]]) -> T:
    try:
        with carrying(span.context):
            result = await work()
    except BaseException as error:
        span.end(error=type(error).__name__)
        raise
    span.end()
    return result


def _where(subject: str) -> dict[str, str]:
    return {"messaging.destination.name": subject}
