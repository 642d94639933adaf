"""Whether what lies there is what was written, and whole."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path

from imd.ctl.backup.facts import MESSAGES, Tail, describe, resting, tails
from imd.ctl.backup.manifest import LAST_SEQS, Database
from imd.ctl.exits import CHECK_FAILED, CommandFailed


def write_last_seqs(folder: Path, found: Iterable[Tail]) -> None:
    """How far each conversation goes, into the backup."""
    with (folder / LAST_SEQS).open("w", encoding="utf-8") as file:
        file.writelines(f"{tail.conversation_id}\t{tail.last_seq}\n" for tail in found)


def check_databases(data: Path, wanted: dict[str, Database], *, last_seqs: Path) -> Iterator[str]:
    """Look through every database; yields a line about each.

    :raises CommandFailed: one is damaged, has other rows than it should, or a conversation has holes.
    """
    for name, facts in wanted.items():
        path = data / name
        try:
            with resting(path) as connection:
                _check_pages(connection, path)
                found = describe(connection)
                if found != facts:
                    raise CommandFailed(
                        CHECK_FAILED, f"{path} is not what was backed up: {_differences(found, facts)}"
                    )
                yield f"{name}: sound, {sum(facts.rows.values()):,} rows in {len(facts.rows)} tables"
                if name == MESSAGES:
                    count = _check_tails(tails(connection), path, last_seqs)
                    yield f"{count:,} conversations, each whole from 1 to its last seq"
        except sqlite3.Error as error:
            raise CommandFailed(CHECK_FAILED, f"{path} is damaged: {error}") from None


def _check_pages(connection: sqlite3.Connection, path: Path) -> None:
    (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise CommandFailed(
            CHECK_FAILED,
            f"{path} is damaged ({verdict}): if the server's own file is, too, it says so at its next start; keep the "
            "backups you have",
        )


def _check_tails(found: Iterator[Tail], path: Path, last_seqs: Path) -> int:
    count = 0
    with last_seqs.open(encoding="utf-8") as file:
        for tail, line in zip_longest(found, file):
            told = "" if tail is None else f"{tail.conversation_id}\t{tail.last_seq}\n"
            if told != line:
                raise CommandFailed(
                    CHECK_FAILED, f"{path} ends a conversation at {told.strip() or 'nothing'}, {last_seqs.name} at "
                    f"{(line or 'nothing').strip()}"
                )  # fmt: skip
            if not tail.is_whole:
                raise CommandFailed(
                    CHECK_FAILED,
                    f"{path} has {tail.messages} messages of {tail.conversation_id} between {tail.first_seq} and "
                    f"{tail.last_seq}: some are missing",
                )
            count += 1
    return count


def _differences(found: Database, wanted: Database) -> str:
    keys = found.rows.keys() | wanted.rows.keys()
    told = [
        f"{key} has {found.rows.get(key)} rows, not {wanted.rows.get(key)}"
        for key in sorted(keys)
        if found.rows.get(key) != wanted.rows.get(key)
    ]
    return "; ".join(told) or f"its schema is {found.schema}, not {wanted.schema}"
