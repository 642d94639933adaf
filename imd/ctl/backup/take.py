"""Taking a backup: a cut through the databases, copied; the other files; a check; and only then its name."""

from __future__ import annotations

import os
import sqlite3
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from imd.ctl.backup.check import check_databases, write_last_seqs
from imd.ctl.backup.cut import cut
from imd.ctl.backup.disk import copy_file, make_private, require_space, settle_file, writing_to
from imd.ctl.backup.facts import MESSAGES, REQUIRED, describe, tails
from imd.ctl.backup.manifest import (
    DATA,
    FORMAT,
    LAST_SEQS,
    MANIFEST,
    SUMS,
    Database,
    Manifest,
    write_manifest,
    write_sums,
)
from imd.ctl.backup.place import next_number, refuse_present, whole_or_nothing
from imd.ctl.exits import SOURCE, USAGE, CommandFailed
from imd.ctl.progress import Progress
from imd.kernel.clocks import WallClock
from imd.storage.last_backup import LAST_BACKUP

#: Of the folder itself, and of no use elsewhere.
_LEFT_OUT = frozenset({"imd.lock", LAST_BACKUP})
#: A ring is what `imctl explain` remembers of a day; what a node keeps of the settings may be newer than their database,
#: which tells them again anyway.
_LEFT_OUT_ENDINGS = ("-wal", "-shm", "-journal", ".new", ".ring", ".settings.json")
#: Beside the databases: manifest, checksums, and what is written while it is measured.
_SPARE_BYTES = 16 << 20
#: Pages between two looks at progress and at ^C, about 4 MiB.
_PAGES = 1024


class Contents(NamedTuple):
    """The files of a data folder, relative to it."""

    databases: list[Path]
    others: list[Path]
    #: Symbolic links, sockets and the like; they are not backed up.
    strange: list[Path]


def contents_of(data: Path) -> Contents:
    """What there is to back up.

    :raises CommandFailed: it is no data folder, or somebody else's.
    """
    missing = [name for name in REQUIRED if not (data / name).is_file()]
    if missing:
        raise CommandFailed(
            SOURCE,
            f"{data} is no data folder of `twistd im`: it has no {' and no '.join(missing)}; give the folder that "
            "data_dir names in im.toml",
        )
    owner = data.stat().st_uid
    if owner != os.geteuid():
        raise CommandFailed(
            SOURCE, f"{data} belongs to user {owner}: run this as that user (sudo -u '#{owner}' imctl ...)"
        )
    contents = Contents([], [], [])
    for path in sorted(data.rglob("*")):
        name = path.relative_to(data)
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            # The server has finished with it since.
            continue
        if stat.S_ISDIR(mode) or str(name) in _LEFT_OUT or name.name.endswith(_LEFT_OUT_ENDINGS):
            continue
        if not stat.S_ISREG(mode):
            contents.strange.append(name)
        elif name.suffix == ".db" and name.parent == Path():
            contents.databases.append(name)
        else:
            contents.others.append(name)
    # The busiest is waited for first.
    contents.databases.sort(key=lambda name: (name.name != MESSAGES, name))
    return contents


def refuse_inside(data: Path, target: Path) -> None:
    """:raises CommandFailed: the next backup would hold this one."""
    if target.resolve().is_relative_to(data.resolve()):
        raise CommandFailed(USAGE, f"{target} lies in {data} itself: a backup of it belongs on another disk")


def take(data: Path, target: Path, *, progress: Progress, wall_clock: WallClock) -> Manifest:
    """Write the backup of a folder. Only ``alone_in`` the target's parent.

    :raises CommandFailed: it could not be done; then nothing of it is left.
    """
    begun_ms = wall_clock()
    refuse_present(target)
    contents = contents_of(data)
    for name in contents.strange:
        progress.say(f"{data / name} is no regular file, and not part of the backup")
    with writing_to(target.parent):
        require_space(target.parent, _size_bytes(data, contents) + _SPARE_BYTES)
        with whole_or_nothing(target) as half:
            return _Writing(data, contents, half, progress, wall_clock).write(begun_ms)


class _Writing(NamedTuple):
    """One backup under way, in a folder without its name yet."""

    data: Path
    contents: Contents
    half: Path
    progress: Progress
    wall_clock: WallClock

    def write(self, begun_ms: int) -> Manifest:
        (self.half / DATA).mkdir(mode=0o700)
        cut_ms, databases = self._copy_databases()
        # After the cut: what a database refers to was there before it.
        self._copy_others()
        self.progress.say("checking what was written")
        for line in check_databases(self.half / DATA, databases, last_seqs=self.half / LAST_SEQS):
            self.progress.say(f"  {line}")
        manifest = Manifest(
            format=FORMAT,
            begun_at=_iso(begun_ms),
            cut_at=_iso(cut_ms),
            cut_at_ms=cut_ms,
            epoch=_epoch(self.half / DATA),
            sqlite=sqlite3.sqlite_version,
            databases=databases,
            number=next_number(self.half.parent),
        )
        write_manifest(self.half, manifest)
        write_sums(self.half, lambda _: None)
        for name in (LAST_SEQS, MANIFEST, SUMS):
            settle_file(self.half / name)
        return manifest

    def _copy_databases(self) -> tuple[int, dict[str, Database]]:
        databases: dict[str, Database] = {}
        with cut([self.data / name for name in self.contents.databases]) as (snapshots, held_s):
            cut_ms = self.wall_clock()
            self.progress.say(
                f"the backup shows {_iso(cut_ms)}; writing was held up for {held_s * 1000:.1f} ms"
            )
            for name, snapshot in snapshots.items():
                self._copy_database(name, snapshot)
                databases[name] = describe(snapshot)
            write_last_seqs(self.half, tails(snapshots[MESSAGES]))
        return cut_ms, databases

    def _copy_database(self, name: str, snapshot: sqlite3.Connection) -> None:
        path = self.half / DATA / name
        os.close(make_private(path))
        (page_bytes,) = snapshot.execute("PRAGMA page_size").fetchone()
        (pages,) = snapshot.execute("PRAGMA page_count").fetchone()
        advance = self.progress.begin_bytes(name, pages * page_bytes)
        left = pages

        def show(_status: int, remaining: int, _total: int) -> None:
            nonlocal left
            advance((left - remaining) * page_bytes)
            left = remaining

        copy = sqlite3.connect(path, isolation_level=None)
        try:
            # It is whole when it is synced below, or it is thrown away.
            copy.execute("PRAGMA journal_mode = OFF")
            copy.execute("PRAGMA synchronous = OFF")
            snapshot.backup(copy, pages=_PAGES, progress=show)
        finally:
            copy.close()
        self.progress.end()
        settle_file(path)

    def _copy_others(self) -> None:
        for name in self.contents.others:
            path = self.half / DATA / name
            for parent in reversed(path.relative_to(self.half / DATA).parents):
                (self.half / DATA / parent).mkdir(mode=0o700, exist_ok=True)
            try:
                copy_file(self.data / name, path, lambda _: None)
            except FileNotFoundError:
                self.progress.say(f"{self.data / name} went away meanwhile, and is not part of the backup")


def _size_bytes(data: Path, contents: Contents) -> int:
    """An upper bound: a log's pages are new ones, or replace those of the database."""
    logs = [data / f"{name}-wal" for name in contents.databases]
    files = [data / name for name in (*contents.databases, *contents.others)]
    return sum(path.stat().st_size for path in (*files, *logs) if path.exists())


def _epoch(data: Path) -> str:
    try:
        return (data / "epoch").read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        raise CommandFailed(SOURCE, "the data folder has no epoch: start the server on it once") from None


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")
