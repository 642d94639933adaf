"""How a core node goes on without the authority: its channel, who stands in, and by which values."""

from __future__ import annotations

from collections.abc import Callable

from imd.config.permission import Permission
from imd.core.directory import Directory
from imd.core.permission.asking import Asking
from imd.core.permission.channel import Channel
from imd.core.permission.known import Lifetimes
from imd.core.permission.release import Releases, Trail
from imd.core.permission.snapshots import MembershipCache
from imd.core.permission.stand_in import StandIn
from imd.core.permission.watch import ChannelWatch
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.tasks import Tasks
from imd.roles.policy_values import policy_values


class Standing:
    """The parts of the degraded path, put together around the directory that they watch."""

    def __init__(self, permission: Permission, *, clock: Clock) -> None:
        self._clock = clock
        self._values = policy_values(permission)
        self.channel = Channel(self._values.channel, now_s=clock.seconds())
        self.asking = Asking(channel=self.channel, clock=clock)
        self.asking.heeds = not self._values.shadow
        self.lifetimes = _lifetimes(permission)

    def complete(
        self,
        *,
        members: MembershipCache,
        directory: Directory,
        trail: Trail,
        may_be_restricted: Callable[[str, int], bool],
        wall_clock: WallClock,
        tasks: Tasks,
    ) -> None:
        """Add what needs the directory; comes before everything below."""
        self._members = members
        self.releases = Releases(trail=trail, wall_clock=wall_clock)
        self.stand_in = StandIn(
            members=members,
            directory=directory,
            channel=self.channel,
            releases=self.releases,
            may_be_restricted=may_be_restricted,
            clock=self._clock,
            tasks=tasks,
            values=self._values,
        )
        self.watch = ChannelWatch(
            channel=self.channel, stand_in=self.stand_in, clock=self._clock, tasks=tasks
        )

    def bus_is_back(self) -> None:
        """Whoever has to learn what he missed meanwhile need not wait until the authority counts as cured."""
        self.channel.restored(self._clock.seconds())

    def change(self, permission: Permission, version: int) -> None:
        """These values hold from now on."""
        values = policy_values(permission, version=version)
        self.channel.replace(values.channel, self._clock.seconds())
        self.asking.heeds = not values.shadow
        self.stand_in.values = values
        self._members.lifetimes = _lifetimes(permission)


def _lifetimes(permission: Permission) -> Lifetimes:
    return Lifetimes(
        normal_s=permission.snapshot_s,
        hot_s=permission.snapshot_hot_s,
        sensitive_s=permission.snapshot_sensitive_s,
    )
