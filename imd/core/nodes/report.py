"""How this node is, told to everybody every few seconds; business sends clients by it."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from statistics import median

from twisted.logger import Logger

from imd.bus.port import Bus
from imd.bus.subjects import NODE_REPORT
from imd.config.address import parse_address
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.errors import ServerBusy
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep
from imd.pb.bus_pb2 import NodeReport

#: At most; who has missed three takes the node for gone.
REPORT_INTERVAL_S = 5.0
#: Reports come up to so much earlier, so that nodes that started together do not speak together.
JITTER = 0.2
#: How often a timer's lateness is looked at within an interval; the median, so that one long pause is no load.
SAMPLES = 5
#: A reactor that is usually so late has no time left, whatever it is that takes it.
FULL_LATENESS_S = 0.25


def offered(scheme: str, *, listen: str, public: str = "", path: str = "") -> str:
    """The URL to tell clients, "" for none.

    :param listen: where the server listens; that is no address to tell if it is all of the machine's.
    :param public: HOST:PORT by which clients reach it instead.
    """
    address = public
    if not address and listen:
        host = parse_address(listen).host
        address = "" if ip_address(host).is_unspecified else listen
    return f"{scheme}://{address}{path}" if address else ""


class NodeReports:
    """A stage, the last of its role: from its start the node is ready, from its stop it is not.

    After ``stop`` it goes on telling that it is not ready, as long as its ``tasks`` run.

    The load is the greater of two shares. The CPU time of the reactor's thread rises evenly with the
    work, but knows nothing of neighbours on the machine and of calls that block; the lateness of timers
    sees both, but only once it is late for clients too. Both cost one clock call a second.

    :param about: what stays: ids, zone, addresses (URLs), labels, weight, room for connections.
    :param cpu_seconds: CPU time of the calling thread so far, such as ``time.thread_time``.
    :param random: 0 to 1.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        about: NodeReport,
        bus: Bus,
        connections: Callable[[], int],
        clock: Clock,
        wall_clock: WallClock,
        cpu_seconds: Callable[[], float],
        random: Callable[[], float],
        tasks: Tasks,
    ) -> None:
        self._about = about
        self._bus = bus
        self._connections = connections
        self._clock = clock
        self._wall_clock = wall_clock
        self._cpu_seconds = cpu_seconds
        self._random = random
        self._tasks = tasks
        self._ready = False
        self._load = 0.0

    async def start(self) -> None:
        self.set_ready(True)
        self._tasks.spawn("node reports", self._run())

    async def stop(self) -> None:
        self.set_ready(False)

    def set_ready(self, ready: bool) -> None:
        """Whether clients may be sent here; a change is told at once."""
        if ready is not self._ready:
            self._ready = ready
            self._tell()

    async def _run(self) -> None:
        while True:
            self._load = await self._measure(REPORT_INTERVAL_S * (1 - JITTER * self._random()))
            self._tell()

    async def _measure(self, interval_s: float) -> float:
        """The load over the next interval."""
        begun_s, cpu_s = self._clock.seconds(), self._cpu_seconds()
        late_s: list[float] = []
        for number in range(1, SAMPLES + 1):
            due_s = begun_s + number * interval_s / SAMPLES
            await sleep(max(0.0, due_s - self._clock.seconds()), clock=self._clock)
            late_s.append(max(0.0, self._clock.seconds() - due_s))
        elapsed_s = self._clock.seconds() - begun_s
        busy = (self._cpu_seconds() - cpu_s) / elapsed_s
        return min(1.0, max(busy, median(late_s) / FULL_LATENESS_S))

    def _tell(self) -> None:
        report = NodeReport()
        report.CopyFrom(self._about)
        report.ready = self._ready
        report.connections = self._connections()
        report.load = self._load
        report.timestamp = self._wall_clock()
        try:
            self._bus.publish(NODE_REPORT, report.SerializeToString())
        except ServerBusy as error:
            # The next one says it all again.
            self._log.debug("the node report was not sent: {error}", error=error)
