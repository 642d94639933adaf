"""Which settings this node runs, told to im-admin: at every change at once, and every few seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from imd.bus.port import Bus
from imd.bus.subjects import ADMIN_MONITOR
from imd.kernel.clocks import Clock
from imd.kernel.errors import ServerBusy
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep
from imd.pb.bus_pb2 import SettingsReport
from imd.roles.settings_kept import SettingsKept
from imd.roles.settings_seen import SettingsSeen

#: An im-admin that has just started knows all nodes after so long.
INTERVAL_S = 5.0
#: What travels of a version's reasons; the node's log has them all.
MAX_REASONS = 20
MAX_REASON_LENGTH = 300


class SettingsReports:
    """A stage.

    :param gray_users: how many users here have the gray release now.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        seen: SettingsSeen[Any],
        kept: SettingsKept,
        bus: Bus,
        node: str,
        clock: Clock,
        zone: str = "",
        gray_users: Callable[[], int] = lambda: 0,
    ) -> None:
        self._seen = seen
        self._kept = kept
        self._bus = bus
        self._node = node
        self._clock = clock
        self._zone = zone
        self._gray_users = gray_users
        self._tasks = Tasks()

    async def start(self) -> None:
        self._seen.on_news = self._tell
        self._tasks.spawn("settings reports", self._run())

    async def stop(self) -> None:
        await self._tasks.stop()
        self._seen.on_news = lambda: None
        self._tell(leaving=True)

    async def _run(self) -> None:
        while True:
            self._tell()
            await sleep(INTERVAL_S, clock=self._clock)

    def _tell(self, *, leaving: bool = False) -> None:
        seen, refused = self._seen, self._seen.refused
        report = SettingsReport(
            node=self._node,
            zone=self._zone,
            version=seen.version,
            appliedAt=seen.applied_at_ms,
            notKept=self._kept.problem[:MAX_REASON_LENGTH],
            grayId=seen.gray_id,
            grayUsers=self._gray_users() if seen.gray_id else 0,
            leaving=leaving,
        )
        if refused is not None:
            report.refusedVersion = refused.version
            report.reasons.extend(reason[:MAX_REASON_LENGTH] for reason in refused.reasons[:MAX_REASONS])
        try:
            self._bus.publish(ADMIN_MONITOR, report.SerializeToString())
        except ServerBusy as error:
            # The next one says it all again.
            self._log.debug("the settings report was not sent: {error}", error=error)
