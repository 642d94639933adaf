"""How far this device has come in each conversation, across connections and restarts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol


class CursorStore(Protocol):
    """Where a Client keeps its cursors. Called from the reactor's thread, so it must not block for long.

    ``put`` may keep the value in memory; ``save`` (at most once a second, and at stop) makes all of
    them durable. A cursor that was lost costs only a second delivery of what came after it.
    """

    def epoch(self) -> str:
        """The server's epoch that the cursors belong to; empty at first."""
        ...

    def reset(self, epoch: str) -> None:
        """Forget all cursors: the server was restored to an earlier time, or this is the first time."""
        ...

    def all(self) -> Mapping[str, int]:
        """Every cursor, by conversation id; best in the order of ``put``, the latest last."""
        ...

    def get(self, conversation_id: str) -> int | None:
        """The cursor of one conversation; None: never seen."""
        ...

    def put(self, conversation_id: str, seq: int) -> None:
        """Everything up to ``seq`` has been handed to the application."""
        ...

    def save(self) -> None:
        """Make it durable."""
        ...


class MemoryCursors:
    """For tests, bots and load: a restart begins anew."""

    def __init__(self, cursors: Mapping[str, int] | None = None, *, epoch: str = "") -> None:
        self._epoch = epoch
        self._cursors = dict(cursors or {})

    def epoch(self) -> str:
        return self._epoch

    def reset(self, epoch: str) -> None:
        self._epoch = epoch
        self._cursors.clear()

    def all(self) -> Mapping[str, int]:
        return self._cursors

    def get(self, conversation_id: str) -> int | None:
        return self._cursors.get(conversation_id)

    def put(self, conversation_id: str, seq: int) -> None:
        # To the end: Connect has room for the last ones only, and the liveliest should be among them.
        self._cursors.pop(conversation_id, None)
        self._cursors[conversation_id] = seq

    def save(self) -> None:
        """Nothing is durable here."""


class FileCursors(MemoryCursors):
    """One JSON file, replaced as a whole. A file that cannot be read counts as no cursors at all."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._dirty = False
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            self._epoch = str(content["epoch"])
            self._cursors = {str(key): int(value) for key, value in content["cursors"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self._cursors = {}

    def reset(self, epoch: str) -> None:
        super().reset(epoch)
        self._dirty = True

    def put(self, conversation_id: str, seq: int) -> None:
        super().put(conversation_id, seq)
        self._dirty = True

    def save(self) -> None:
        if not self._dirty:
            return
        temporary = self._path.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"epoch": self._epoch, "cursors": self._cursors}, file)
        temporary.replace(self._path)
        self._dirty = False
