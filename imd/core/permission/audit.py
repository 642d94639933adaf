"""The port through which core has its refusals and releases written down; ``imd.bus.audit.AuditLog`` is behind it."""

from __future__ import annotations

from typing import Protocol

from imd.bus.audit import AuditEntry


class Audit(Protocol):
    """Has decisions kept: each refusal by permission, and whatever was let through without being judged."""

    def record(self, entry: AuditEntry) -> None:
        """Never waits, never raises; costs about 3 us."""
        ...
