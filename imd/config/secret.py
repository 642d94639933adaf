"""Secrets come from files, never from the configuration itself: those are printed, copied and committed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

#: A password, not a film.
_MAX_BYTES = 4096


def read_secret(file: str) -> str:
    """The text in a file, without the line end that editors leave there.

    :raises ValueError: it cannot be read, is empty, or is open to everybody.
    """
    try:
        with Path(file).open("rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            content = opened.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot read {file}: {error.strerror}") from None
    if stat.S_IMODE(mode) & 0o007:
        raise ValueError(f"{file} is open to everybody (mode {stat.S_IMODE(mode):04o}): chmod 0600 {file}")
    try:
        secret = content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"{file} is not UTF-8 text") from None
    if not secret or len(content) > _MAX_BYTES:
        raise ValueError(f"{file} is {'too long' if secret else 'empty'}; expected a line with the secret")
    return secret
