"""What must hold of the files that a configuration names."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from imd.config.conflict import Conflict


def readable(path: str, file: str) -> Iterator[Conflict]:
    """It is there, and this process may read it."""
    try:
        with Path(file).open("rb") as opened:
            opened.read(1)
    except OSError as error:
        yield Conflict(path, f"cannot read {file}: {error.strerror}; expected a PEM file")


def private_key(path: str, file: str) -> Iterator[Conflict]:
    """Nobody else can have it: whoever does is the server. One that cannot be read is told by ``readable``."""
    if not file:
        return
    with suppress(OSError):
        mode = stat.S_IMODE(Path(file).stat().st_mode)
        if mode & 0o007:
            yield Conflict(path, f"{file} is open to everybody (mode {mode:04o}): chmod 0600 {file}")
