"""What a backup says about itself, and the checksums of its files.

::

    imd-20260301T030000Z/
        SHA256SUMS          of every other file; `sha256sum --check SHA256SUMS` reads it, too
        manifest.json       when, from what, with how many rows of which schema
        last-seqs.tsv       conversation and its last seq, for every conversation
        data/               the data folder, as it is after a restore, but for the epoch
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import msgspec

from imd.ctl.exits import SOURCE, CommandFailed

MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
LAST_SEQS = "last-seqs.tsv"
DATA = "data"
#: Rises when an older imctl could not read it any more.
FORMAT = 1

CHUNK_BYTES = 1024 * 1024
#: Of a file that says how to read the rest; a real one has some kilobytes.
_MAX_MANIFEST_BYTES = 1024 * 1024
_SUM_LINE = re.compile(r"([0-9a-f]{64})  ([^\s\0][^\0]*)")


class Database(msgspec.Struct, frozen=True):
    """A SQLite file: the schema steps it has taken, by who counts them, and the rows of each table."""

    schema: dict[str, str]
    rows: dict[str, int]


class Manifest(msgspec.Struct, frozen=True, rename="camel"):
    """``manifest.json``. Times are UTC, as ISO 8601."""

    format: int
    #: Everything that was STORED before is in the backup.
    begun_at: str
    #: The moment that the backup shows.
    cut_at: str
    cut_at_ms: int
    #: Of the folder that was backed up; a restore makes another.
    epoch: str
    sqlite: str
    databases: dict[str, Database]
    #: One more than that of any backup that lay beside it then; 0: of a release that did not count.
    number: int = 0


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Into the backup."""
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")


def read_manifest(folder: Path) -> Manifest:
    """Of a backup.

    :raises CommandFailed: it is no backup, or of a newer release.
    """
    path = folder / MANIFEST
    try:
        with path.open("rb") as file:
            manifest = msgspec.json.decode(file.read(_MAX_MANIFEST_BYTES), type=Manifest)
    except FileNotFoundError:
        raise CommandFailed(
            SOURCE, f"{folder} is no backup: it has no {MANIFEST}; give a folder that `imctl backup` wrote"
        ) from None
    except (OSError, msgspec.MsgspecError) as error:
        raise CommandFailed(SOURCE, f"{path} cannot be read: {error}; take another backup") from None
    if manifest.format > FORMAT:
        raise CommandFailed(
            SOURCE, f"{folder} was written by a newer release (format {manifest.format}): use its imctl"
        )
    return manifest


def files_of(folder: Path) -> list[Path]:
    """Every file below, relative, in a fixed order."""
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir())


def write_sums(folder: Path, advance: Callable[[int], None]) -> None:
    """Read everything that is in the backup, and write what it should be read as.

    :param advance: told how many bytes more were read.
    """
    lines = [f"{sum_of(folder / name, advance)}  {name}\n" for name in files_of(folder)]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def read_sums(folder: Path) -> dict[Path, str]:
    """The checksum of each file.

    :raises CommandFailed: the file is damaged, or files are missing or too many.
    """
    sums: dict[Path, str] = {}
    try:
        # Not splitlines: it takes more for the end of a line than is written there.
        lines = (folder / SUMS).read_bytes().decode().removesuffix("\n").split("\n")
        for number, line in enumerate(lines, 1):
            found = _SUM_LINE.fullmatch(line)
            name = Path(found[2]) if found else Path()
            if found is None or name.is_absolute() or ".." in name.parts or name in sums:
                raise CommandFailed(SOURCE, f"{folder / SUMS} is damaged in line {number}: {_OTHER}")
            sums[name] = found[1]
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(SOURCE, f"{folder / SUMS} cannot be read ({error}): {_OTHER}") from None
    present = {name for name in files_of(folder) if name != Path(SUMS)}
    for name in sorted(sums.keys() - present):
        raise CommandFailed(SOURCE, f"{folder / name} is missing in the backup: {_OTHER}")
    for name in sorted(present - sums.keys()):
        raise CommandFailed(SOURCE, f"{folder / name} does not belong to the backup: remove it, or {_OTHER}")
    return sums


def verify(folder: Path, sums: dict[Path, str], advance: Callable[[int], None]) -> None:
    """Read every file of the backup.

    :raises CommandFailed: one is not what it was.
    """
    for name, wanted in sums.items():
        if sum_of(folder / name, advance) != wanted:
            raise changed(folder / name)


def changed(path: Path) -> CommandFailed:
    """The refusal of a file that is not what it was."""
    return CommandFailed(
        SOURCE, f"{path} is not what was written: its checksum does not fit; the backup is damaged, {_OTHER}"
    )


def sum_of(path: Path, advance: Callable[[int], None]) -> str:
    """SHA-256 of a regular file.

    :raises CommandFailed: it cannot be read.
    """
    digest = sha256()
    try:
        if path.is_symlink() or not path.is_file():
            raise CommandFailed(SOURCE, f"{path} is no regular file: {_OTHER}")
        for chunk in chunks(path):
            digest.update(chunk)
            advance(len(chunk))
    except OSError as error:
        raise CommandFailed(SOURCE, f"{path} cannot be read ({error.strerror}): {_OTHER}") from None
    return digest.hexdigest()


def chunks(path: Path) -> Iterator[bytes]:
    """The content, piece by piece."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


_OTHER = "take another backup"
