"""Where audit events go, and where they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from imd.bus.audit import AuditEntry
from imd.business.audit.model import Kept, Place, Wanted
from imd.pb.bus_pb2 import AuditEvent


class Audit(Protocol):
    """Has decisions and acts kept."""

    def record(self, entry: AuditEntry) -> None:
        """Never waits, never raises: an act is not held up, nor undone, because it cannot be written down."""
        ...


class AuditEvents(Protocol):
    """The events of all nodes. All methods raise ``ServerBusy``; the writing ones also ``OutcomeUnknown``."""

    async def add(self, events: Sequence[AuditEvent]) -> int:
        """Keep them; those whose ``eventId`` is there already are dropped. How many were new."""
        ...

    async def find(self, wanted: Wanted, *, after: Place | None, limit: int) -> Sequence[Kept]:
        """The newest first, those older than ``after``."""
        ...

    async def forget(self, before_ms: int, *, limit: int) -> int:
        """Drop at most ``limit`` that are older; how many there were."""
        ...
