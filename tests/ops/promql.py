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
from imd.ops.metrics.model import EVERY_ROLE, Kind

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


def promtool(*arguments: str, folder: Path, text: str = "") -> tuple[int, str]:
    """Exit code, and all that it said; run in ``folder``, for files name others relative to it.

    :param text: what it is given to read.

    :raises SkipTest: it is not installed, and $CI is not set.
    """
    program = shutil.which("promtool")
    if program is None:
        missing = "promtool is not installed: tools/servers brings it (Debian's prometheus)"
        if os.environ.get("CI"):
            raise AssertionError(missing)
        raise SkipTest(missing)
    done = subprocess.run(
        [program, *arguments],
        cwd=folder,
        input=text,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
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
    """The metrics, and recorded series, that an expression reads: every name that is no label, function or keyword."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|ignoring|on) *\([^)]*\)", " ", expr)
    names = re.findall(r"\b([A-Za-z_][\w:]*)\b(?! *\()", bare)
    return set(names) - {"and", "or", "unless", "offset", "bool"}


def equalities(expr: str) -> Iterator[tuple[str, str, str]]:
    """(metric, label, value) of every ``metric{label="value"}``; alternatives one by one."""
    for metric, matchers in re.findall(r"\b([a-z]\w*)\{([^}]*)\}", expr):
        for label, values in re.findall(r'(\w+)(?:=~|!=|=)"([^"]*)"', matchers):
            for value in values.split("|"):
                yield metric, label, value


def label_values(metric: str, label: str) -> tuple[str, ...]:
    """Every value that the label can have there."""
    if label == "job":
        return EVERY_ROLE
    if label == "instance":
        return ("$instance",)
    (known,) = [each for each in CATALOGUE[metric].labels if each.name == label]
    return known.values or ("node_id",)
