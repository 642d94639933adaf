"""What Linux knows of this process, under the names that the whole field uses.

``prometheus_client.ProcessCollector`` says the same, but lists the file descriptors one by one: at 10,000 connections that
keeps the reactor for 8 to 40 ms, at each scrape.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client import Metric as Family
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from imd.kernel.clocks import WallClock

#: Kernels before 6.2 do not say how many descriptors there are; they are counted this seldom.
COUNT_INTERVAL_S = 60.0
#: Fields of /proc/self/stat after the name, which may hold anything: proc_pid_stat(5) counts from 1, and these from 3.
_STARTED, _VIRTUAL, _RESIDENT = 22 - 3, 23 - 3, 24 - 3


def since_boot_s() -> float:
    """Of this machine, its sleep included: what the kernel counts the start of a process by."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ProcessFamilies(Collector):
    """Memory, CPU and descriptors; nothing where there is no /proc/self.

    :param since_boot_s: which /proc/stat would say, too, but not to a unit of systemd with ProcSubset=pid.
    :param proc: for tests.
    """

    def __init__(
        self,
        *,
        seconds: Callable[[], float],
        wall_clock: WallClock,
        since_boot_s: Callable[[], float] = since_boot_s,
        proc: Path = Path("/proc"),
    ) -> None:
        self._seconds = seconds
        self._self = proc / "self"
        self._page_bytes = os.sysconf("SC_PAGE_SIZE")
        self._descriptors = 0
        self._counted_s: float | None = None
        try:
            started_s = int(self._stat()[_STARTED]) / os.sysconf("SC_CLK_TCK")
        except OSError:
            self._started_s = 0.0
        else:
            self._started_s = wall_clock() / 1000 - (since_boot_s() - started_s)

    def collect(self) -> Iterator[Family]:
        """See ``prometheus_client.registry.Collector``."""
        if not self._started_s:
            return
        fields = self._stat()
        for name, text, value in (
            ("process_virtual_memory_bytes", "Virtual memory size in bytes.", float(fields[_VIRTUAL])),
            (
                "process_resident_memory_bytes",
                "Resident memory size in bytes.",
                float(fields[_RESIDENT]) * self._page_bytes,
            ),
            ("process_start_time_seconds", "Start of the process, in seconds since 1970.", self._started_s),
            ("process_open_fds", "Open file descriptors.", self._open()),
            (
                "process_max_fds",
                "File descriptors that may be open.",
                resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            ),
        ):
            yield GaugeMetricFamily(name, text, value=value)
        yield CounterMetricFamily(
            "process_cpu_seconds_total", "User and system time of all threads.", value=time.process_time()
        )

    def _stat(self) -> list[str]:
        return (self._self / "stat").read_text().rpartition(")")[2].split()

    def _open(self) -> int:
        if said := self._said():
            return said
        now_s = self._seconds()
        if self._counted_s is None or now_s - self._counted_s >= COUNT_INTERVAL_S:
            self._counted_s = now_s
            self._descriptors = sum(1 for _ in (self._self / "fd").iterdir())
        return self._descriptors

    def _said(self) -> int:
        """As the kernel itself says; 0: an older one, which does not."""
        return (self._self / "fd").stat().st_size
