"""How old the last backup of the data folder is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from imd.ops.metrics.readings import Reading, Source
from imd.storage.last_backup import last_backup_ms


def backup_source(data_dir: Path) -> Source:
    """Read at each scrape: it is a line, and `imctl backup` writes it beside the server."""

    def read() -> Iterator[Reading]:
        shows_ms = last_backup_ms(data_dir)
        if shows_ms is not None:
            yield Reading("imd_backup_timestamp_seconds", shows_ms / 1000)

    return read
