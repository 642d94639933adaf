"""What the nodes last said about the settings that they run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from google.protobuf.message import DecodeError
from twisted.logger import Logger

from imd.bus.port import Bus
from imd.bus.subjects import ADMIN_MONITOR
from imd.kernel.clocks import Clock
from imd.kernel.eviction import forget_oldest
from imd.pb.bus_pb2 import SettingsReport

#: Nodes report at least so often; one that has missed three is silent.
REPORT_INTERVAL_S = 5.0
SILENT_AFTER_S = 3 * REPORT_INTERVAL_S
#: A node that has been silent for so long is not shown any more.
FORGET_AFTER_S = 3600.0
#: Of both roles, as many as there are node ids; 2 KB each.
MAX_NODES = 2048
#: Versions of which it is remembered when they were published.
_MAX_PUBLISHED = 100


class NodeState(NamedTuple):
    """A node, as it was heard of last. Times are seconds of the clock here, or milliseconds since 1970 by the node's."""

    node: str
    zone: str
    version: int
    applied_at_ms: int
    #: From the publishing of the version until the node said that it runs it, by the clock here; None: that was
    #: not seen.
    took_ms: int | None
    refused_version: int
    reasons: Sequence[str]
    not_kept: str
    gray_id: int
    gray_users: int
    heard_s_ago: float

    @property
    def is_silent(self) -> bool:
        """Whether it should have been heard of since."""
        return self.heard_s_ago > SILENT_AFTER_S


class _Heard(NamedTuple):
    report: SettingsReport
    at_s: float
    took_ms: int | None


class NodeBoard:
    """A stage that listens from its start on."""

    _log = Logger()

    def __init__(self, *, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._nodes: dict[str, _Heard] = {}
        self._published_s: dict[int, float] = {}
        self._began_s: float | None = None
        #: Of any node since this process began.
        self.highest_version = 0

    async def start(self) -> None:
        self._began_s = self._clock.seconds()
        self._bus.subscribe(ADMIN_MONITOR, self._hear)

    async def stop(self) -> None:
        """Ended with the bus."""

    @property
    def is_complete(self) -> bool:
        """Whether it has listened for long enough that each node has spoken."""
        return self._began_s is not None and self._clock.seconds() - self._began_s > 1.2 * REPORT_INTERVAL_S

    def publishing(self, version: int) -> None:
        """It is handed to the bus now."""
        self._published_s.pop(version, None)
        self._published_s[version] = self._clock.seconds()
        forget_oldest(self._published_s, _MAX_PUBLISHED)

    def nodes(self) -> list[NodeState]:
        """All that are known, by name."""
        now_s = self._clock.seconds()
        for name, heard in list(self._nodes.items()):
            if now_s - heard.at_s > FORGET_AFTER_S:
                del self._nodes[name]
        return [_state(self._nodes[name], now_s) for name in sorted(self._nodes, key=_order)]

    def is_anybody_behind(self, version: int) -> bool:
        """Whether a node that speaks runs an older version, and has not refused this one."""
        return any(
            state.version < version and state.refused_version != version and not state.is_silent
            for state in self.nodes()
        )

    async def _hear(self, _: str, payload: bytes) -> None:
        try:
            report = SettingsReport.FromString(payload)
        except DecodeError:
            self._log.error("not a SettingsReport on {subject}; dropped", subject=ADMIN_MONITOR)
            return
        if report.leaving:
            self._nodes.pop(report.node, None)
            return
        known, now_s = self._nodes.pop(report.node, None), self._clock.seconds()
        if known is not None and known.report.version == report.version:
            took_ms = known.took_ms
        else:
            took_ms = self._took_ms(report, now_s, is_new=known is None)
        self._nodes[report.node] = _Heard(report, now_s, took_ms)
        forget_oldest(self._nodes, MAX_NODES)
        if report.version > self.highest_version:
            self.highest_version = report.version

    def _took_ms(self, report: SettingsReport, now_s: float, *, is_new: bool) -> int | None:
        published_s = self._published_s.get(report.version)
        # One that is heard of for the first time may have had it before.
        return None if published_s is None or is_new else round(1000 * (now_s - published_s))


def _state(heard: _Heard, now_s: float) -> NodeState:
    report = heard.report
    return NodeState(
        node=report.node,
        zone=report.zone,
        version=report.version,
        applied_at_ms=report.appliedAt,
        took_ms=heard.took_ms,
        refused_version=report.refusedVersion,
        reasons=list(report.reasons),
        not_kept=report.notKept,
        gray_id=report.grayId,
        gray_users=report.grayUsers,
        heard_s_ago=now_s - heard.at_s,
    )


def _order(name: str) -> tuple[str, int]:
    role, _, number = name.partition("-")
    return role, int(number) if number.isdecimal() else 0
