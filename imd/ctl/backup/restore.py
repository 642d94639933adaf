"""Bringing a backup back into an empty folder, under a new epoch.

While it is under way the folder's epoch says so, and no server starts on half of it; interrupted, killed or cut off from
the power it is run again, and begins anew.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from imd.admin.operators.sql import revoke_all
from imd.admin.schema import open_admin
from imd.ctl.at_once import at_once
from imd.ctl.backup.disk import copy_file, require_space, settle_folders, writing_to
from imd.ctl.backup.facts import is_newer
from imd.ctl.backup.manifest import DATA, Manifest, changed, read_manifest, read_sums, verify
from imd.ctl.exits import SOURCE, TARGET, CommandFailed
from imd.ctl.progress import Progress
from imd.kernel.clocks import WallClock
from imd.kernel.errors import StartupError
from imd.storage.epoch import EPOCH, RESTORING
from imd.storage.sqlite import FolderLock
from imd.storage.whole_file import write_whole

#: May lie in a folder that counts as empty: our lock, and what ext4 puts into every disk's top.
_NO_MATTER = frozenset({"imd.lock", "lost+found"})
#: Signs the tokens with which people are logged in.
TOKEN_KEY = Path("secrets") / "token.key"
#: The operators' token that is made at the first start.
OPERATOR_TOKEN = Path("secrets") / "operator.token"
#: Holds the other operators' tokens.
_ADMIN = "admin.db"


def restore(
    backup: Path, data: Path, *, log_out: bool, progress: Progress, wall_clock: WallClock
) -> Manifest:
    """Check the backup, copy it, and give it a new epoch; at the end a server can start on it.

    :param log_out: leave the token key and the first operator's token out: the server makes others, and everybody has to
        log in again; the tokens of all other operators are revoked.
    :raises CommandFailed: the backup is damaged or too new, or the folder is not empty or in use.
    """
    manifest = read_manifest(backup)
    _refuse_newer(backup, manifest)
    sums = read_sums(backup)
    verify(backup, sums, progress.begin_bytes("reading the backup", _size_bytes(backup, sums)))
    progress.end()
    left_out = {Path(EPOCH), TOKEN_KEY, OPERATOR_TOKEN} if log_out else {Path(EPOCH)}
    wanted = {
        name.relative_to(DATA): wanted
        for name, wanted in sums.items()
        if name.parts[0] == DATA and name.relative_to(DATA) not in left_out
    }
    with writing_to(data), _empty_folder(data):
        size_bytes = _size_bytes(backup / DATA, wanted)
        require_space(data, size_bytes)
        write_whole(data / EPOCH, RESTORING + "\n")
        advance = progress.begin_bytes("copying", size_bytes)
        for name, checksum in wanted.items():
            for parent in reversed(name.parents):
                (data / parent).mkdir(mode=0o700, exist_ok=True)
            if copy_file(backup / DATA / name, data / name, advance) != checksum:
                raise changed(backup / DATA / name)
        progress.end()
        if log_out:
            progress.say(f"operators' tokens revoked: {_revoke_operators(data / _ADMIN, wall_clock())}")
        settle_folders(data)
        # From here on it is a data folder.
        write_whole(data / EPOCH, secrets.token_hex(8) + "\n")
    return manifest


def _revoke_operators(path: Path, now_ms: int) -> int:
    """All that the backup has; how many."""
    if not path.exists():
        # Of a release that had one operators' token.
        return 0
    try:
        engine = open_admin(path)
        try:
            return revoke_all(engine, by="imctl restore", now_ms=now_ms)
        finally:
            engine.dispose()
    except (SQLAlchemyError, StartupError) as error:
        raise CommandFailed(TARGET, f"the operators' tokens in {path} cannot be revoked: {error}") from None


def _size_bytes(folder: Path, names: Iterable[Path]) -> int:
    return sum((folder / name).stat().st_size for name in names)


def _refuse_newer(backup: Path, manifest: Manifest) -> None:
    for name, database in manifest.databases.items():
        if is_newer(name, database):
            raise CommandFailed(
                SOURCE,
                f"{backup / DATA / name} was written by a newer release (schema {database.schema}): restore it with that "
                "release, or take an older backup",
            )


@contextmanager
def _empty_folder(data: Path) -> Iterator[None]:
    """Held for this process; what an interrupted restore left there is removed."""
    if data.exists():
        owner = data.stat().st_uid
        if owner != os.geteuid():
            raise CommandFailed(
                TARGET,
                f"{data} belongs to user {owner}: run this as that user (sudo -u '#{owner}' imctl ...)",
            )
        # The lock leaves a file, which has no business among those of others.
        _refuse_filled(data)
    lock = FolderLock(folder=data)
    try:
        at_once(lock.start())
    except StartupError as error:
        raise CommandFailed(TARGET, str(error)) from None
    try:
        _refuse_filled(data)
        _clear(data)
        yield
    finally:
        at_once(lock.stop())


def _refuse_filled(data: Path) -> None:
    if not _is_half(data) and any(path.name not in _NO_MATTER for path in data.iterdir()):
        raise CommandFailed(
            TARGET,
            f"{data} is not empty: stop the server that uses it, move the folder away, and keep it until all is well",
        )


def _is_half(data: Path) -> bool:
    try:
        return (data / EPOCH).read_text(encoding="ascii", errors="replace").strip() == RESTORING
    except OSError:
        return False


def _clear(data: Path) -> None:
    for path in data.iterdir():
        if path.name in _NO_MATTER or path.name == EPOCH:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
