"""The load processes, seen from the parent: orders go out to all, reports are gathered."""

from __future__ import annotations

import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Final

import msgspec

from imd.client.load.plan import Order, Report, WorkerPlan
from imd.kernel.errors import StartupError

_READ_BYTES: Final = 1 << 20
_EXIT_S: Final = 5.0


class _Process:
    """One worker and what it said last."""

    def __init__(self, plan: WorkerPlan, environment: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "imd.client.load.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(environment),
        )
        self.partial = b""
        self.last: Report | None = None
        self.tell(msgspec.json.encode(plan))

    @property
    def stdin(self) -> IO[bytes]:
        assert self.process.stdin is not None
        return self.process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        assert self.process.stdout is not None
        return self.process.stdout

    def tell(self, line: bytes) -> None:
        self.stdin.write(line + b"\n")
        self.stdin.flush()

    def reports(self, data: bytes) -> list[Report]:
        *lines, self.partial = (self.partial + data).split(b"\n")
        return [msgspec.json.decode(line, type=Report) for line in lines if line]


class Fleet:
    """All workers of a run. ``on_progress`` is called about once a second with the sums."""

    def __init__(
        self,
        plans: Sequence[WorkerPlan],
        *,
        environment: Mapping[str, str],
        on_progress: Callable[[Mapping[str, int], int], None],
    ) -> None:
        self._workers = [_Process(plan, environment) for plan in plans]
        self._on_progress = on_progress
        self._selector = selectors.DefaultSelector()
        for worker in self._workers:
            self._selector.register(worker.stdout, selectors.EVENT_READ, worker)
        #: What was reported since it was last waited for, by kind and worker.
        self._arrived: dict[str, dict[_Process, Report]] = {}

    def order(self, orders: Sequence[Order]) -> None:
        """One order for each worker."""
        for worker, order in zip(self._workers, orders, strict=True):
            worker.tell(msgspec.json.encode(order))

    def order_all(self, order: Order) -> None:
        self.order([order] * len(self._workers))

    def counts(self) -> dict[str, int]:
        """The sums of what was last reported."""
        sums: dict[str, int] = {}
        for worker in self._workers:
            if worker.last is not None:
                for name, count in worker.last.counts.items():
                    sums[name] = sums.get(name, 0) + count
        return sums

    def last_reports(self) -> list[Report]:
        """What each worker said last."""
        return [worker.last for worker in self._workers if worker.last is not None]

    def forget(self, what: str) -> None:
        """Reports of this kind so far do not count for the next ``wait_for``."""
        self._arrived.pop(what, None)

    def run_for(self, seconds: float) -> None:
        """Gather reports for a while."""
        deadline_s = time.monotonic() + seconds
        while (left_s := deadline_s - time.monotonic()) > 0:
            self._gather(left_s)

    def wait_for(self, what: str, *, timeout_s: float) -> list[Report]:
        """A report of this kind from every worker, in their order.

        :raises StartupError: a worker died, or kept silent.
        """
        deadline_s = time.monotonic() + timeout_s
        while len(self._arrived.get(what, ())) < len(self._workers):
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise StartupError(f"no {what!r} report from the load processes within {timeout_s:.0f} s")
            self._gather(left_s)
        arrived = self._arrived.pop(what)
        return [arrived[worker] for worker in self._workers]

    def _gather(self, timeout_s: float) -> None:
        for key, _ in self._selector.select(timeout_s):
            worker: _Process = key.data
            data = worker.stdout.read1(_READ_BYTES)  # type: ignore[attr-defined]
            if not data:
                self._selector.unregister(worker.stdout)
                if not worker.last or worker.last.what != "final":
                    raise StartupError(f"a load process ended with code {worker.process.wait()}")
                continue
            for report in worker.reports(data):
                worker.last = report
                self._arrived.setdefault(report.what, {})[worker] = report
                if report.what == "progress" and worker is self._workers[0]:
                    self._on_progress(self.counts(), report.at_ns)

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers:
            worker.stdin.close()
        for worker in self._workers:
            try:
                worker.process.wait(_EXIT_S)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            worker.stdout.close()
        self._selector.close()
