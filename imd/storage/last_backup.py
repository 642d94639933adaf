"""When a data folder was last backed up: a note that `imctl backup` leaves in it, for whoever watches its age."""

from __future__ import annotations

import json
from pathlib import Path

from imd.storage.whole_file import write_whole

#: In the data folder.
LAST_BACKUP = "last-backup.json"


def note_backup(data: Path, *, backup: Path, shows_ms: int) -> None:
    """A backup is whole.

    :param shows_ms: the moment that it shows.
    :raises OSError: it cannot be written down.
    """
    write_whole(data / LAST_BACKUP, json.dumps({"backup": str(backup), "showsMs": shows_ms}) + "\n")


def last_backup_ms(data: Path) -> int | None:
    """The moment that the last one shows; None: there was none.

    :raises ValueError: somebody else has written there.
    """
    try:
        note = json.loads((data / LAST_BACKUP).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    shows_ms = note.get("showsMs") if isinstance(note, dict) else None
    if type(shows_ms) is not int:
        raise ValueError(f"{data / LAST_BACKUP} is none of imctl's")
    return shows_ms
