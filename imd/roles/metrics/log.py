"""What the process says of itself, counted."""

from __future__ import annotations

from collections.abc import Iterator

from imd.ops.logs.log import ProcessLog
from imd.ops.metrics.readings import Reading, Source, by_label


def log_source(log: ProcessLog) -> Source:
    """Of every role."""

    def read() -> Iterator[Reading]:
        yield from by_label("imd_log_lines_total", log.lines)
        yield Reading("imd_log_lost_total", log.lost)
        yield Reading("imd_log_held_back_total", log.held_back)

    return read
