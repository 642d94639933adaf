"""Files that are on the disk when they are said to be, for their owner alone; and what a full disk means."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from imd.ctl.backup.manifest import chunks
from imd.ctl.exits import TARGET, CommandFailed

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def make_private(path: Path) -> int:
    """A new file with mode 0600, open for writing."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)


def copy_file(source: Path, target: Path, advance: Callable[[int], None]) -> str:
    """A private copy, on the disk; the checksum of what was read."""
    digest = sha256()
    with os.fdopen(make_private(target), "wb") as file:
        for chunk in chunks(source):
            file.write(chunk)
            digest.update(chunk)
            advance(len(chunk))
        file.flush()
        settle(file.fileno())
    return digest.hexdigest()


def settle(descriptor: int) -> None:
    """On the disk, and out of memory: what is read next comes from the disk."""
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def settle_file(path: Path) -> None:
    """``settle``, for a file or folder that is not open."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        settle(descriptor)
    finally:
        os.close(descriptor)


def settle_folders(top: Path) -> None:
    """The names of everything below are on the disk."""
    for folder in (top, *(path for path in top.rglob("*") if path.is_dir())):
        settle_file(folder)


@contextmanager
def writing_to(place: Path) -> Iterator[None]:
    """What fails at writing there is told as that.

    :raises CommandFailed: it did.
    """
    try:
        yield
    except OSError as error:
        raise CommandFailed(TARGET, _told(place, error.errno in _NO_SPACE, error)) from None
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        raise CommandFailed(TARGET, _told(place, code == sqlite3.SQLITE_FULL, error)) from None


def require_space(place: Path, wanted_bytes: int) -> None:
    """There is room for so much.

    :raises CommandFailed: there is not.
    """
    found = os.statvfs(place)
    free_bytes = found.f_bavail * found.f_frsize
    if free_bytes < wanted_bytes:
        raise CommandFailed(
            TARGET,
            f"{place} has {free_bytes >> 20:,} MiB free, and {(wanted_bytes >> 20) + 1:,} MiB are needed: make room, "
            "or choose another place",
        )


def _told(place: Path, is_full: bool, error: Exception) -> str:
    if is_full:
        return f"the disk of {place} is full ({error}): nothing was left there; make room and begin again"
    return f"copying to {place} failed: {error}; check owner, mode and disk of both sides"
