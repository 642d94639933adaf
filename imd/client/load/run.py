"""A run from beginning to end: people, server, load, interruptions, the final check."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from imd.client.load import topology
from imd.client.load.crowd import OfflineSeeder, Seeder, TokensFile
from imd.client.load.fleet import Fleet
from imd.client.load.options import Options
from imd.client.load.plan import Order, Report
from imd.client.load.register import RestSeeder
from imd.client.load.result import Result, latency
from imd.client.load.server import OwnServer, ProcessMeter, environment
from imd.kernel.errors import StartupError

_CONNECT_S: Final = 120.0
_BACK_S: Final = 90.0
#: More than a worker may take to look through what it counted.
_GRACE_S: Final = 60.0
#: The share of connections (at most so many) after which a connection's memory is measured.
_WARM_UP_SHARE: Final = 0.1
_WARM_UP_MOST: Final = 1000

Progress = Callable[[Mapping[str, int], int], None]


@dataclass(kw_only=True)
class _Target:
    """The server under load."""

    addresses: Sequence[tuple[str, int]]
    seeder: Seeder
    own: OwnServer | None = None
    meters: Sequence[ProcessMeter] = ()
    cpu_at_go_s: float = 0.0

    def cpu_s(self) -> float | None:
        if self.own is not None:
            return self.own.cpu_s()
        return sum(meter.cpu_s() for meter in self.meters) if self.meters else None

    def rss_bytes(self) -> int | None:
        if self.own is not None:
            return self.own.rss_bytes()
        return sum(meter.rss_bytes() for meter in self.meters) if self.meters else None


def _target(options: Options) -> _Target:
    if not options.servers:
        own = OwnServer(connections=options.connections, settings=options.settings)
        seeder = OfflineSeeder(config_file=own.config_file, environment=environment())
        return _Target(addresses=[own.address], seeder=seeder, own=own)
    people: Seeder = TokensFile(options.tokens) if options.tokens else RestSeeder(address=options.rest)
    meters = [ProcessMeter(pid) for pid in options.server_pids]
    return _Target(addresses=options.servers, seeder=people, meters=meters)


def run(options: Options, *, say: Callable[[str], None], on_progress: Progress) -> Result:
    """The whole run.

    :raises StartupError: it could not be done; that says nothing about lost messages.
    """
    target = _target(options)
    try:
        started_s = time.monotonic()
        crowd = target.seeder.seed(topology.wish(options))
        say(f"{len(crowd.people)} people in {time.monotonic() - started_s:.1f} s")
        if target.own is not None:
            target.own.start()
        rss_bytes = target.rss_bytes()
        plans = topology.plans(options, crowd, addresses=target.addresses)
        fleet = Fleet(plans, environment=environment(), on_progress=on_progress)
        try:
            one = _Run(options=options, target=target, fleet=fleet, say=say)
            one.result.extra["server_rss_bytes_before"] = rss_bytes
            return one.idle() if options.scenario == "idle" else one.traffic()
        except StartupError as error:
            log = target.own.log_tail() if target.own else ""
            raise StartupError(f"{error}\n{log}") from None
        finally:
            fleet.close()
    finally:
        if target.own is not None:
            target.own.close()


@dataclass(kw_only=True)
class _Run:
    options: Options
    target: _Target
    fleet: Fleet
    say: Callable[[str], None]
    result: Result = field(init=False)

    def __post_init__(self) -> None:
        self.result = Result(scenario=self.options.scenario, connections=self.options.connections)

    def _connect(self, count: int) -> None:
        """``count`` connections in all, spread over the workers."""
        workers = self.options.workers
        shares = [count // workers + (n < count % workers) for n in range(workers)]
        if count == self.options.connections:
            shares = [self.options.connections] * workers
        started_s = time.monotonic()
        self.fleet.order([Order(do="connect", count=share, timeout_s=_CONNECT_S) for share in shares])
        reports = self.fleet.wait_for("connected", timeout_s=_CONNECT_S + _GRACE_S)
        connected = sum(report.counts["connected"] for report in reports)
        if connected < count:
            errors = [error for report in reports for error in report.errors]
            raise StartupError(
                f"only {connected} of {count} clients could connect: {errors or 'no reason given'}"
            )
        self.say(f"{connected} clients connected in {time.monotonic() - started_s:.1f} s")

    def idle(self) -> Result:
        """Memory a connection, between a warm-up count and all."""
        count = self.options.connections
        warm = min(_WARM_UP_MOST, int(count * _WARM_UP_SHARE)) or 1
        extra = self.result.extra
        self._connect(warm)
        self.fleet.run_for(min(2.0, self.options.seconds))
        warm_bytes = extra["server_rss_bytes_warm"] = self.target.rss_bytes()
        extra["warm_connections"] = warm
        self._connect(count)
        cpu_s = self.target.cpu_s()
        self.fleet.run_for(self.options.seconds)
        spent_s = self.target.cpu_s()
        all_bytes = self.result.server_rss_bytes = self.target.rss_bytes()
        if all_bytes and warm_bytes:
            self.result.rss_bytes_per_connection = round((all_bytes - warm_bytes) / (count - warm), 1)
        if cpu_s is not None and spent_s is not None:
            extra["server_cpu_share"] = round((spent_s - cpu_s) / self.options.seconds, 4)
        self._finish([])
        return self.result

    def traffic(self) -> Result:
        """Load for the time wanted, interrupted as often as wanted, and the final check."""
        self._connect(self.options.connections)
        self.target.cpu_at_go_s = self.target.cpu_s() or 0.0
        load_cpu_s = sum(report.cpu_s for report in self.fleet.last_reports())
        self.fleet.order_all(Order(do="go"))
        go_ns = time.monotonic_ns()
        interruptions = self.options.kills or int(self.options.scenario == "reconnect")
        for _ in range(interruptions):
            self._load_for(self.options.seconds / (interruptions + 1))
            self._interrupt()
        self._load_for(self.options.seconds / (interruptions + 1))
        self.fleet.order_all(Order(do="stop", timeout_s=self.options.settle_s))
        at_stop = self.fleet.wait_for("stopping", timeout_s=_GRACE_S)
        elapsed_s = (at_stop[-1].at_ns - go_ns) / 1e9
        self.result.rate_per_s = sum(report.counts["stored"] for report in at_stop) / elapsed_s
        self.result.deliveries_per_s = sum(report.counts["delivered"] for report in at_stop) / elapsed_s
        stopped = self.fleet.wait_for("stopped", timeout_s=self.options.settle_s + _GRACE_S)
        self._finish(stopped)
        self._cost(load_cpu_s)
        return self.result

    def _load_for(self, seconds: float) -> None:
        self.fleet.run_for(seconds)
        if self.target.own is not None:
            self.target.own.require_alive()

    def _interrupt(self) -> None:
        """kill -9 and restart the own server, or cut all connections of a foreign one."""
        self.fleet.forget("back")
        dropped_ns = time.monotonic_ns()
        extra = self.result.extra
        if self.target.own is not None:
            self.target.own.kill()
            self.target.own.start()
            extra.setdefault("down_s", []).append(_since_s(dropped_ns))
            self.say(f"server killed with -9 and restarted in {extra['down_s'][-1]} s")
        else:
            self.fleet.order_all(Order(do="drop"))
        reports = self.fleet.wait_for("back", timeout_s=_BACK_S)
        back_s = round((max(report.at_ns for report in reports) - dropped_ns) / 1e9, 2)
        extra.setdefault("back_s", []).append(back_s)
        self.say(f"all clients are back and have everything after {back_s} s")

    def _finish(self, stopped: Sequence[Report]) -> None:
        """The final check: each worker learns what was stored through others."""
        settle_s = self.options.settle_s
        orders = []
        for worker in range(self.options.workers):
            elsewhere: dict[str, list[int]] = {}
            for other, report in enumerate(stopped):
                if other != worker:
                    for name, seqs in report.stored.items():
                        elsewhere.setdefault(name, []).extend(seqs)
            orders.append(Order(do="check", timeout_s=settle_s, stored=elsewhere))
        self.fleet.order(orders)
        final = self.fleet.wait_for("final", timeout_s=settle_s + _GRACE_S)
        result = self.result
        result.counts = self.fleet.counts()
        result.lost = sum(report.lost for report in final)
        result.unsettled = sum(report.unsettled for report in final)
        result.latency_ms = latency(final, "delivery_latency", "delivery_max_ns")
        result.ack_latency_ms = latency(final, "ack_latency", "ack_max_ns")
        result.load_late_ms = latency(final, "lateness", "lateness_max_ns")
        result.findings = [finding for report in final for finding in report.findings]
        result.errors = [error for report in final for error in report.errors]

    def _cost(self, load_cpu_before_s: float) -> None:
        result: Any = self.result
        stored = result.counts.get("stored", 0)
        cpu_s = self.target.cpu_s()
        result.server_rss_bytes = self.target.rss_bytes()
        if not stored:
            return
        if cpu_s is not None:
            result.server_cpu_us_per_message = round((cpu_s - self.target.cpu_at_go_s) / stored * 1e6, 2)
        load_cpu_s = sum(report.cpu_s for report in self.fleet.last_reports()) - load_cpu_before_s
        result.load_cpu_us_per_message = round(load_cpu_s / stored * 1e6, 2)


def _since_s(then_ns: int) -> float:
    return round((time.monotonic_ns() - then_ns) / 1e9, 2)
