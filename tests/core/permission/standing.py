"""What stands in for the authority, around a directory that a test plays."""

from __future__ import annotations

from imd.bus.audit import AuditEntry
from imd.core.directory import Directory
from imd.core.permission.channel import Channel
from imd.core.permission.release import Releases
from imd.core.permission.snapshots import MembershipCache
from imd.core.permission.stand_in import StandIn
from imd.core.permission.values import PolicyValues
from imd.kernel.clocks import Clock
from imd.kernel.tasks import Tasks


class Trail:
    """Keeps what is recorded; ``releases_waiting`` is what the bus has not taken, as a test says."""

    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []
        self.releases_waiting = 0

    def record(self, entry: AuditEntry) -> None:
        self.entries.append(entry)


class Standing:
    """All of it; ``restricted`` are the users of whom the filter says so."""

    def __init__(self, *, members: MembershipCache, directory: Directory, clock: Clock, tasks: Tasks) -> None:
        values = PolicyValues()
        self.trail = Trail()
        self.channel = Channel(values.channel, now_s=clock.seconds())
        self.releases = Releases(trail=self.trail, wall_clock=lambda: 1_800_000_000_000)
        self.restricted: set[int] = set()
        self.stand_in = StandIn(
            members=members,
            directory=directory,
            channel=self.channel,
            releases=self.releases,
            may_be_restricted=lambda _, user_id: user_id in self.restricted,
            clock=clock,
            tasks=tasks,
            values=values,
        )
