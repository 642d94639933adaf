"""How old the last backup of the data folder is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from imd.ops.metrics.readings import Reading, Source
from imd.storage.epoch import EPOCH
from imd.storage.last_backup import last_backup_ms


def backup_source(data_dir: Path) -> Source:
    """Read at each scrape: it is a line, and `imctl backup` writes it beside the server."""

    def read() -> Iterator[Reading]:
        shows_ms = last_backup_ms(data_dir)
        try:
            # Before the first backup it is as old as the folder, and as what was restored: the epoch is written then.
            value = (data_dir / EPOCH).stat().st_mtime if shows_ms is None else shows_ms / 1000
        except FileNotFoundError:
            # At the very first start, for a moment.
            return
        yield Reading("imd_backup_timestamp_seconds", value)

    return read
