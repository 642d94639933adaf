"""PromQL for tests: Prometheus' own judge, where it is installed, and what an expression is about."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from unittest import SkipTest

from imd.ops.metrics.catalogue import CATALOGUE
from imd.ops.metrics.model import Kind

#: Of prometheus_client's ProcessCollector, on Linux.
PROCESS = frozenset(
    {
        "process_start_time_seconds",
        "process_open_fds",
        "process_max_fds",
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
    }
)


def promtool(*arguments: str, folder: Path) -> tuple[int, str]:
    """Exit code, and all that it said; run in ``folder``, for files name others relative to it.

    :raises SkipTest: it is not installed, and $CI is not set.
    """
    program = shutil.which("promtool")
    if program is None:
        missing = "promtool is not installed: tools/servers brings it (Debian's prometheus)"
        if os.environ.get("CI"):
            raise AssertionError(missing)
        raise SkipTest(missing)
    done = subprocess.run(
        [program, *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout + done.stderr


def exposed() -> Iterator[str]:
    """The names of all series that nodes have."""
    yield from PROCESS
    for name, metric in CATALOGUE.items():
        if metric.kind is Kind.HISTOGRAM:
            yield from (f"{name}_bucket", f"{name}_sum", f"{name}_count")
        else:
            yield name


def metrics_of(expr: str) -> set[str]:
    """The metrics, and recorded series, that an expression reads."""
    # Labels, strings and ranges are no metrics; ours and a process's are the only ones there are.
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"", "", expr)
    return set(re.findall(r"\b(?:\w+:)?(?:imd_|process_)\w+(?::\w+)?|\bup\b", bare))
