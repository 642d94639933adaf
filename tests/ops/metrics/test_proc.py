"""What is said of the process itself."""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.kernel.clocks import system_wall_clock
from imd.ops.metrics.proc import COUNT_INTERVAL_S, ProcessFamilies


class OldKernel(ProcessFamilies):
    """One whose folder of descriptors has no size."""

    def _said(self) -> int:
        return 0


class ProcessTests(SynchronousTestCase):
    """``ProcessFamilies``."""

    def setUp(self) -> None:
        self.clock = Clock()

    def values(self, families: ProcessFamilies) -> dict[str, float]:
        return {sample.name: sample.value for family in families.collect() for sample in family.samples}

    def test_as_the_field_has_it(self) -> None:
        """Names and values are those of prometheus_client's own collector."""
        ours = self.values(ProcessFamilies(seconds=self.clock.seconds, wall_clock=system_wall_clock))
        theirs = {
            sample.name: sample.value
            for family in ProcessCollector(registry=CollectorRegistry()).collect()
            for sample in family.samples
        }
        self.assertEqual(ours.keys(), theirs.keys())
        for name, apart in (
            ("process_start_time_seconds", 2),
            ("process_cpu_seconds_total", 0.5),
            ("process_open_fds", 2),
        ):
            self.assertLessEqual(abs(ours[name] - theirs[name]), apart, name)
        self.assertEqual(ours["process_max_fds"], theirs["process_max_fds"])
        for name in ("process_resident_memory_bytes", "process_virtual_memory_bytes"):
            self.assertLess(abs(ours[name] / theirs[name] - 1), 0.1, name)

    def fake(self) -> Path:
        """A /proc with this process alone."""
        proc = Path(self.mktemp())
        (proc / "self" / "fd").mkdir(parents=True)
        ticks = 5 * os.sysconf("SC_CLK_TCK")
        fields = ["S", *["0"] * 18, str(ticks), "4096", "2", "0"]
        (proc / "self" / "stat").write_text(f"7 (a) name) {' '.join(fields)}\n")
        return proc

    def test_fields(self) -> None:
        """A name with a bracket in it does not shift what comes behind."""
        families = ProcessFamilies(
            seconds=self.clock.seconds,
            wall_clock=lambda: 1_060_000,
            since_boot_s=lambda: 60.0,
            proc=self.fake(),
        )
        values = self.values(families)
        self.assertEqual(values["process_start_time_seconds"], 1005)
        self.assertEqual(values["process_virtual_memory_bytes"], 4096)
        self.assertEqual(values["process_resident_memory_bytes"], 2 * os.sysconf("SC_PAGE_SIZE"))

    def test_nowhere(self) -> None:
        """Without a /proc nothing is said."""
        families = ProcessFamilies(
            seconds=self.clock.seconds, wall_clock=system_wall_clock, proc=Path("/nowhere")
        )
        self.assertEqual(self.values(families), {})

    def test_counted_seldom(self) -> None:
        """Where the kernel does not say how many descriptors there are, they are counted once a minute."""
        families = OldKernel(seconds=self.clock.seconds, wall_clock=system_wall_clock)
        first = self.values(families)["process_open_fds"]
        self.assertGreater(first, 2)
        with Path(os.devnull).open(), Path(os.devnull).open():
            self.assertEqual(self.values(families)["process_open_fds"], first)
            self.clock.advance(COUNT_INTERVAL_S)
            self.assertEqual(self.values(families)["process_open_fds"], first + 2)
