"""Where backups lie: each whole or not at all, one at a time, the oldest going when there are enough.

Which is the oldest is told by their numbers, for a clock that was ahead once gives names that stay ahead of all others.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from imd.ctl.backup.disk import settle_file, settle_folders
from imd.ctl.backup.manifest import MANIFEST, read_manifest
from imd.ctl.exits import SOURCE, TARGET, CommandFailed

_LOCK = ".imd-backup.lock"
#: The name of what is being written, or being deleted.
_HALF = ".imd-half"
_OWN_NAME = re.compile(r"imd-\d{8}T\d{6}Z")


def own_name(now_ms: int) -> str:
    """The name of a backup that was given none: its time."""
    return f"imd-{datetime.fromtimestamp(now_ms / 1000, UTC):%Y%m%dT%H%M%SZ}"


@contextmanager
def alone_in(parent: Path) -> Iterator[None]:
    """Nobody else writes backups there meanwhile; what a killed one left is removed.

    :raises CommandFailed: somebody does, or it is no folder to write to.
    """
    if (parent / MANIFEST).exists():
        raise CommandFailed(
            TARGET, f"{parent} is a backup itself, and nothing is added to it: give another folder"
        )
    try:
        descriptor = os.open(parent / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise CommandFailed(
            TARGET, f"cannot write to {parent}: {error.strerror}; make the folder, for the server's user"
        ) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CommandFailed(
                TARGET, f"another backup is being written to {parent}: wait for it, or choose another folder"
            ) from None
        for half in parent.glob(f".*{_HALF}"):
            shutil.rmtree(half)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def whole_or_nothing(target: Path) -> Iterator[Path]:
    """A new private folder that gets the name ``target``, on the disk, if nothing goes wrong; and else goes.

    Only ``alone_in`` its parent.

    :raises CommandFailed: there is something of that name.
    """
    refuse_present(target)
    half = target.parent / f".{target.name}{_HALF}"
    half.mkdir(mode=0o700)
    try:
        yield half
        settle_folders(half)
        refuse_present(target)
        half.rename(target)
        settle_file(target.parent)
    except BaseException:
        shutil.rmtree(half, ignore_errors=True)
        raise


def refuse_present(target: Path) -> None:
    """:raises CommandFailed: there is something of that name."""
    if os.path.lexists(target):
        raise CommandFailed(TARGET, f"{target} exists: a backup never overwrites; give another name")


def delete_oldest(parent: Path, *, made: Path, keep: int) -> list[Path]:
    """Leave so many of the backups that have names of ours, ``made`` among them; those that went. Only ``alone_in`` it."""
    others = [path for path in _named(parent) if path.name != made.name]
    surplus = others[: len(others) - (keep - 1)] if len(others) >= keep else []
    for path in surplus:
        # Under a name of its own first: what is half deleted does not pass for a backup.
        half = path.rename(parent / f".{path.name}{_HALF}")
        shutil.rmtree(half)
    return surplus


def next_number(parent: Path) -> int:
    """Above those of all backups there that have names of ours. Only ``alone_in`` it."""
    return max((_number(path) for path in _named(parent)), default=0) + 1


def from_the_future(parent: Path, now_ms: int) -> list[Path]:
    """Those named by a clock that was ahead of the one of now, or by the right one while this one is behind."""
    return [path for path in _named(parent) if path.name > own_name(now_ms)]


def newest_in(parent: Path) -> Path:
    """Of the backups that have names of ours.

    :raises CommandFailed: there is none.
    """
    try:
        return _named(parent)[-1]
    except (IndexError, OSError):
        raise CommandFailed(SOURCE, f"{parent} holds no backup that `imctl backup --into` named") from None


def _named(parent: Path) -> list[Path]:
    """The oldest first; of those without a number, by their names."""
    found = (path for path in parent.iterdir() if _OWN_NAME.fullmatch(path.name) and _is_backup(path))
    return sorted(found, key=lambda path: (_number(path), path.name))


def _number(path: Path) -> int:
    """0: made by an older release, or its manifest cannot be read."""
    try:
        return read_manifest(path).number
    except CommandFailed:
        return 0


def _is_backup(path: Path) -> bool:
    return not path.is_symlink() and (path / MANIFEST).is_file()
