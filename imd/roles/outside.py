"""Telling business what was stored, for the outside, as [webhook] says."""

from __future__ import annotations

from imd.bus.port import Bus
from imd.core.message.append import Appender
from imd.core.message.inherit import RecentTails
from imd.core.message.ports import MessageLog
from imd.core.nodes.ownership import Ownership
from imd.core.outside.feed import StoredFeed
from imd.core.outside.recover import Recovery
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.lifecycle import Stage
from imd.kernel.tasks import Tasks


def build_outside(
    *,
    enabled: bool,
    appender: Appender,
    ownership: Ownership | None,
    log: MessageLog,
    tails: RecentTails,
    bus: Bus,
    clock: Clock,
    wall_clock: WallClock,
    tasks: Tasks,
) -> list[tuple[str, Stage]]:
    """What has to be started; nothing, and at no cost, where nobody wants to hear.

    :param ownership: None: this node is alone, and what its earlier life stored last is its own to tell.
    """
    if not enabled:
        return []
    feed = StoredFeed(bus=bus, log=log, clock=clock, tasks=tasks)
    appender.on_committed = feed.take
    recovery = Recovery(feed=feed, log=log, tails=tails, clock=clock, wall_clock=wall_clock, tasks=tasks)
    stages: list[tuple[str, Stage]] = [("stored messages for the outside", feed)]
    if ownership is None:
        stages.append(("what was stored before", recovery))
    else:
        ownership.on_inherited(recovery.inherited)
    return stages
