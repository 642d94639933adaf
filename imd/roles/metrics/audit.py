"""What is on its way to the audit log."""

from __future__ import annotations

from collections.abc import Iterator

from imd.bus.audit import AuditLog
from imd.ops.metrics.readings import Reading, Source


def audit_source(audit: AuditLog) -> Source:
    """Of a role that records."""

    def read() -> Iterator[Reading]:
        yield Reading("imd_audit_events_total", audit.recorded)
        yield Reading("imd_audit_lost_total", audit.lost)
        yield Reading("imd_audit_waiting_events", audit.waiting)

    return read
