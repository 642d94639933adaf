"""Where the data folder lies: space, kind of file system, and whether it really writes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from imd.ctl.doctor.finding import Check, Finding

SPACE = Check("disk.space", "a full disk refuses every message until there is space again")
KIND = Check("disk.kind", "what is acknowledged as stored may be gone")
SYNC = Check("disk.sync", "each commit waits for it: it bounds how many messages can be stored in a second")

_MIB = 1024**2
#: SQLite's logs, a backup and an upgrade need room to work.
LOW_BYTES, EMPTY_BYTES = 2048 * _MIB, 256 * _MIB
LOW_SHARE = 0.05
LOW_INODES = 1_000

_GONE = frozenset({"tmpfs", "ramfs"})
_REMOTE = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "9p", "afs", "ceph", "glusterfs", "fuse.sshfs", "fuse.s3fs"}
)

#: A group commit an fsync: below ten of them a second people notice.
SLOW_S = 0.1
#: No disk syncs in less; it says so before it has.
_NO_SYNC_S = 5e-6
_TRIES = 12
_BLOCK = bytes(4096)
_PROBE = ".imctl-doctor-{pid}"


class Space(NamedTuple):
    """What is left."""

    free_bytes: int
    total_bytes: int
    free_inodes: int
    #: 0: the file system does not count them.
    total_inodes: int


def disk(folder: Path, *, proc: Path) -> Iterator[Finding]:
    """:param folder: is there."""
    yield from space(str(folder), space_of(folder))
    yield kind(str(folder), kind_of(folder, proc))
    yield synced(folder)


def space_of(folder: Path) -> Space:
    """For those who are not root, as the server is not."""
    found = os.statvfs(folder)
    return Space(
        found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize, found.f_favail, found.f_files
    )


def space(about: str, found: Space) -> Iterator[Finding]:
    free = f"{found.free_bytes // _MIB:,} MiB of {found.total_bytes // _MIB:,} MiB are free"
    do = "make room: move what does not belong there, lower audit.keep_days, or give it a larger disk"
    if found.free_bytes < EMPTY_BYTES:
        yield SPACE.fail(about, free, do)
    elif found.free_bytes < min(LOW_BYTES, LOW_SHARE * found.total_bytes):
        yield SPACE.warn(about, free, do)
    else:
        yield SPACE.ok(about, free)
    if found.total_inodes and found.free_inodes < LOW_INODES:
        yield SPACE.fail(about, f"{found.free_inodes:,} inodes are free", "remove small files on this disk")


def kind(about: str, found: str) -> Finding:
    """:param found: as /proc/self/mountinfo calls it; empty: not known."""
    if found in _GONE:
        return KIND.fail(about, f"lies on {found}, in memory", "put data_dir on a disk")
    if found in _REMOTE or found.startswith("fuse."):
        return KIND.warn(
            about,
            f"lies on {found}, across a network or in user space",
            "put data_dir on a local disk",
            means="locks and syncs of such file systems are not to be relied on: SQLite warns of them",
        )
    return KIND.ok(about, f"lies on {found or 'a file system that does not say what it is'}")


def kind_of(folder: Path, proc: Path) -> str:
    """Of the mount that holds it; the longest mount point that it lies below, and of those the last."""
    try:
        lines = (proc / "self" / "mountinfo").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    best, found = -1, ""
    place = str(folder.resolve())
    for line in lines:
        before, _, after = line.partition(" - ")
        point = before.split()[4].replace("\\040", " ")
        is_below = place == point or place.startswith(point.rstrip("/") + "/")
        if is_below and len(point) >= best:
            best, found = len(point), after.split()[0]
    return found


def synced(folder: Path, *, seconds: Callable[[], float] = time.perf_counter) -> Finding:
    """How long a block takes to the disk."""
    file = folder / _PROBE.format(pid=os.getpid())
    try:
        times = _sync_times(file, seconds)
    except OSError as error:
        return SYNC.fail(
            str(folder),
            f"cannot be written: {error.strerror}",
            "check owner and mode of the folder, the disk, and that this runs as the server's user",
            means="the server cannot store anything either",
        )
    return sync_time(str(folder), sorted(times)[len(times) // 2])


def sync_time(about: str, median_s: float) -> Finding:
    found = f"an fsync takes {median_s * 1000:.2g} ms"
    if median_s > SLOW_S:
        return SYNC.warn(
            about, found, "use a faster disk, or find out what else keeps this one busy (iostat -x 1)"
        )
    if median_s < _NO_SYNC_S:
        return SYNC.warn(
            about,
            found,
            "switch off whatever makes fsync do nothing (eatmydata, a mount option, the hypervisor's cache mode)",
            means="nothing syncs that fast: a power cut loses messages that were acknowledged as stored",
        )
    return SYNC.ok(about, found)


def _sync_times(file: Path, seconds: Callable[[], float]) -> list[float]:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        # At once: what has no name any more is synced like anything else, and stays behind of nobody who is killed.
        file.unlink()
        times = []
        for _ in range(_TRIES):
            os.pwrite(descriptor, _BLOCK, 0)
            began_s = seconds()
            os.fsync(descriptor)
            times.append(seconds() - began_s)
        return times
    finally:
        os.close(descriptor)
