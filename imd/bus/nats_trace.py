"""The trace that something on NATS is part of, in the header ``traceparent``; nats-server follows it, too."""

from __future__ import annotations

import re

from imd.kernel.trace_context import TRACEPARENT, TraceContext, carried, sampled_context

#: Names are compared as HTTP's are; nats-server itself writes some with capitals.
_HEADER = re.compile(rb"\r\n(?i:%b):[ \t]*([0-9a-f-]{55,200})[ \t]*\r\n" % TRACEPARENT.encode())


def header_block() -> bytes:
    """The headers of what is sent now; empty if the sender carries no trace."""
    trace = carried()
    return b"" if trace is None else f"NATS/1.0\r\n{TRACEPARENT}: {trace.traceparent()}\r\n\r\n".encode()


def trace_of(headers: bytes) -> TraceContext | None:
    """What a header block says of it; None also if that cannot be read."""
    found = _HEADER.search(headers)
    return None if found is None else sampled_context(found[1].decode())
