"""What the core nodes last reported, forgotten when they fall silent."""

from __future__ import annotations

from typing import NamedTuple

from google.protobuf.message import DecodeError
from twisted.logger import Logger

from imd.bus.port import Bus
from imd.bus.subjects import NODE_REPORT
from imd.business.gateways.model import Gateway
from imd.kernel.clocks import Clock
from imd.pb.bus_pb2 import NodeReport

#: Nodes report at least so often.
REPORT_INTERVAL_S = 5.0
#: A node that has missed so many is left out.
MISSED_REPORTS = 3
#: A node that is gone for longer is not asked what it did any more.
LOOK_BACK_S = 24 * 3600.0
#: As many as there are node ids; a report from elsewhere is none of ours.
MAX_NODES = 1024


class _Heard(NamedTuple):
    incarnation: str
    at_s: float
    gateway: Gateway


class GatewayBoard:
    """A stage that listens from its start on; ages are judged by the clock here."""

    _logger = Logger()

    def __init__(self, *, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._nodes: dict[int, _Heard] = {}
        #: When each was heard of last, for those who look back.
        self._heard_s: dict[int, float] = {}

    async def start(self) -> None:
        self._bus.subscribe(NODE_REPORT, self._hear)

    async def stop(self) -> None:
        """Ended with the bus."""

    def gateways(self) -> list[Gateway]:
        """All nodes that have reported lately."""
        oldest_s = self._clock.seconds() - MISSED_REPORTS * REPORT_INTERVAL_S
        for node_id, heard in list(self._nodes.items()):
            if heard.at_s < oldest_s:
                del self._nodes[node_id]
        return [heard.gateway for heard in self._nodes.values()]

    def node_ids(self) -> list[int]:
        """All nodes that have reported within ``LOOK_BACK_S``, gone or not."""
        oldest_s = self._clock.seconds() - LOOK_BACK_S
        return sorted(node_id for node_id, heard_s in self._heard_s.items() if heard_s >= oldest_s)

    async def _hear(self, _: str, payload: bytes) -> None:
        try:
            report = NodeReport.FromString(payload)
        except DecodeError:
            self._logger.error("not a NodeReport on {subject}; dropped", subject=NODE_REPORT)
            return
        if not 0 <= report.nodeId < MAX_NODES:
            return
        self._heard_s[report.nodeId] = self._clock.seconds()
        known = self._nodes.get(report.nodeId)
        if known is not None and not report.ready and known.incarnation != report.incarnation:
            # The late farewell of a process that another has followed already.
            return
        self._nodes[report.nodeId] = _Heard(report.incarnation, self._clock.seconds(), _gateway(report))


def _gateway(report: NodeReport) -> Gateway:
    return Gateway(
        zone=report.zone,
        ready=report.ready,
        connections=report.connections,
        max_connections=report.maxConnections,
        load=report.load,
        tcp=report.tcp,
        tls=report.tls,
        ws=report.ws,
        version_labels=frozenset(report.versionLabels),
        weight=report.weight,
    )
