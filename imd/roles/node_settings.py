"""How a node follows the settings of im-admin: heard, laid over its file, kept, and told back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from twisted.internet.threads import deferToThreadPool

from imd.bus.port import Bus
from imd.config.section import Section
from imd.kernel.clocks import system_wall_clock
from imd.roles.settings_kept import SettingsKept
from imd.roles.settings_reports import SettingsReports
from imd.roles.settings_seen import SettingsSeen

C = TypeVar("C", bound=Section)


class NodeSettings(NamedTuple, Generic[C]):
    """Two stages, in this order."""

    seen: SettingsSeen[C]
    reports: SettingsReports


def build_node_settings(
    config: C,
    *,
    bus: Bus,
    node: str,
    folder: str | Path,
    reactor: Any,
    zone: str = "",
    gray_users: Callable[[], int] = lambda: 0,
) -> NodeSettings[C]:
    """Put it together; see ``SettingsSeen`` and ``SettingsReports``."""
    # Written at a change only, so the reactor's own threads will do.
    threads = partial(deferToThreadPool, reactor, reactor.getThreadPool())
    kept = SettingsKept(Path(folder) / f"{node}.settings.json", threads=threads)
    seen = SettingsSeen(bus=bus, node=node, config=config, kept=kept, wall_clock=system_wall_clock, zone=zone)
    reports = SettingsReports(
        seen=seen, kept=kept, bus=bus, node=node, clock=reactor, zone=zone, gray_users=gray_users
    )
    return NodeSettings(seen, reports)
