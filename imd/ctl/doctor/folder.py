"""The data folder of `twistd im`: who may read it, and who holds it."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from imd.ctl.doctor.finding import Check, Finding
from imd.kernel.ids import is_id

PRESENCE = Check("folder.present", "the server makes it at first start")
MODES = Check("folder.modes", "other users of this machine can read messages, or sign tokens of anybody")
OWNER = Check("folder.owner", "the server's user cannot write it")
LOCK = Check("folder.lock", "the server holds it, so that no second one writes the same files")
EPOCH = Check("folder.epoch", "the server does not start without it, and clients keep their cursors by it")

LOCK_NAME = "imd.lock"
#: All that the server makes; anything else is somebody's own.
_OURS = ("*.db", "*.db-wal", "*.db-shm", "epoch", LOCK_NAME, "secrets/*")


def folder(path: Path) -> Iterator[Finding]:
    """All about the folder but what is in its databases."""
    if not path.exists():
        yield PRESENCE.note(
            str(path), "is not there yet", "nothing before the first start; else give the file with the right data_dir"
        )  # fmt: skip
        return
    if not path.is_dir():
        yield PRESENCE.fail(
            str(path), "is no folder", "name a folder in data_dir", means="the server cannot start"
        )
        return
    yield PRESENCE.ok(str(path), "is there")
    yield from modes(path)
    yield from owners(path)
    yield lock(path)
    yield from epoch(path)


def modes(path: Path) -> Iterator[Finding]:
    """Of the folder and of what the server makes in it."""
    open_ones = [each for each in [path, path / "secrets", *_files(path)] if _mode(each) & 0o077]
    for each in open_ones:
        wanted = "0700" if each.is_dir() else "0600"
        yield MODES.fail(str(each), f"has mode {_mode(each):04o}", f"chmod {wanted} {each}")
    if not open_ones:
        yield MODES.ok(str(path), "nobody but its owner may read it")


def owners(path: Path) -> Iterator[Finding]:
    """Whether all is one user's: of what root made in passing the server cannot use anything."""
    owner = path.stat().st_uid
    strangers = {each: user for each in _files(path) if (user := _owner(each, owner)) != owner}
    for each, user in strangers.items():
        yield OWNER.fail(str(each), f"belongs to user {user}, the folder to {owner}", f"chown {owner} {each}")
    if not strangers:
        yield OWNER.ok(str(path), f"all belongs to user {owner}")


def lock(path: Path) -> Finding:
    """Whether who is said to hold the folder does."""
    file = str(path / LOCK_NAME)
    pid = pid_in(path)
    if is_held(path):
        return LOCK.ok(file, f"held by process {pid or 'unknown'}")
    if pid:
        return LOCK.note(
            file,
            f"names process {pid}, which does not hold it",
            "nothing: the next start takes it over; see in the log why the last run ended",
            means="the server was killed, or the machine went down, and the lock went with it",
        )
    return LOCK.ok(file, "free: no server runs on it")


def epoch(path: Path) -> Iterator[Finding]:
    """Its form; it is only missing where there are no messages yet."""
    file = path / "epoch"
    if not file.exists():
        if (path / "messages.db").exists():
            yield EPOCH.warn(
                str(file),
                "is missing, and there are messages",
                "restore it from a backup, or let the server make a new one: clients then sync anew",
            )
        return
    text = _text(file)
    if is_id(text):
        yield EPOCH.ok(str(file), "is there")
    else:
        yield EPOCH.fail(
            str(file), "holds no epoch", "restore it from a backup, or remove it: clients then sync anew"
        )


def is_held(path: Path) -> bool:
    """Whether a server has the folder; one that runs notices nothing."""
    try:
        descriptor = os.open(path / LOCK_NAME, os.O_RDONLY)
    except OSError:
        return False
    try:
        # If nobody has it, it is ours until the close, some microseconds; shared, so that two who look at the
        # same moment do not see each other.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def pid_in(path: Path) -> int:
    """The process that the lock names; 0 if none."""
    text = _text(path / LOCK_NAME)
    return int(text) if text.isascii() and text.isdigit() else 0


def _files(path: Path) -> Iterator[Path]:
    for pattern in _OURS:
        yield from (each for each in sorted(path.glob(pattern)) if each.exists())


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return 0


def _owner(path: Path, default: int) -> int:
    """The user; ``default`` if it is gone, as a log is when its database is closed."""
    try:
        return path.stat().st_uid
    except OSError:
        return default


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(200).decode("ascii", "replace").strip()
    except OSError:
        return ""
