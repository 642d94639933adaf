"""Word lists as people write them: a word, a tab, and what it does, line by line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from imd.core.screening.model import Action
from imd.core.screening.words import MAX_WORDS, Entry, Words, entry

#: A list of a million short words; whoever has more has named the wrong file.
MAX_FILE_BYTES = 32 * 1024 * 1024
#: Wrong lines that are told one by one; a file of another format is wrong in all of them.
MAX_TOLD = 20

_ACTIONS = {action.name.lower(): action for action in Action}
_EXPECTED = "expected a word, a tab, and replace, refuse, review or allow"

#: What tells whether a file was changed; None: it is not there.
Fingerprint = tuple[int, int, int] | None


class WrongLists(Exception):
    """Lists that cannot be used; ``problems`` has a line for each reason, with its file and line."""

    def __init__(self, problems: Sequence[str]) -> None:
        told = list(problems[:MAX_TOLD])
        if len(problems) > MAX_TOLD:
            told.append(f"and {len(problems) - MAX_TOLD} more")
        self.problems = told
        super().__init__("\n  ".join(["the word lists are wrong:", *told]))


class Source(NamedTuple):
    """Lines and what they are called."""

    name: str
    lines: Iterable[str]


def fingerprint(file: str) -> Fingerprint:
    """Changes when the file does."""
    try:
        status = Path(file).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def load_words(files: Sequence[str], extra: Sequence[str]) -> Words:
    """All words of these files and of ``extra`` lines; reads and computes, so it belongs into a thread.

    :raises WrongLists: with all that is wrong.
    """
    problems: list[str] = []
    entries: list[Entry] = []
    for file in files:
        entries += _entries(Source(file, _lines(file, problems)), problems)
    entries += _entries(Source("settings", extra), problems)
    if len(entries) > MAX_WORDS:
        problems.append(f"{len(entries):,} words are more than {MAX_WORDS:,}")
    if problems:
        raise WrongLists(problems)
    return Words(entries)


def _lines(file: str, problems: list[str]) -> list[str]:
    try:
        with Path(file).open("rb") as opened:
            content = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        problems.append(f"{file}: cannot be read: {error.strerror}")
        return []
    if len(content) > MAX_FILE_BYTES:
        problems.append(f"{file}: is over {MAX_FILE_BYTES:,} bytes")
        return []
    lines: list[str] = []
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            lines.append(line.decode())
        except UnicodeDecodeError:
            problems.append(f"{file}:{number}: is not UTF-8")
            lines.append("")
    return lines


def _entries(source: Source, problems: list[str]) -> list[Entry]:
    entries: list[Entry] = []
    for number, line in enumerate(source.lines, 1):
        text = line.rstrip("\r")
        if not text.strip() or text.startswith("#"):
            continue
        word, _, name = text.rpartition("\t")
        action = _ACTIONS.get(name.strip())
        try:
            if action is None or not word:
                raise ValueError(_EXPECTED)
            entries.append(entry(word, action))
        except ValueError as error:
            problems.append(f"{source.name}:{number}: {error}")
    return entries
