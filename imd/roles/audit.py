"""Where roles record what they decide."""

from __future__ import annotations

import secrets

from imd.bus.audit import AuditLog
from imd.bus.port import Bus
from imd.kernel.clocks import Clock, WallClock


def audit_log(bus: Bus, node: str, *, clock: Clock, wall_clock: WallClock) -> AuditLog:
    """A stage; ``node`` is what its events call the process."""
    return AuditLog(bus=bus, node=node, clock=clock, wall_clock=wall_clock, random_hex=secrets.token_hex)
