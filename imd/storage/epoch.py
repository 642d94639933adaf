"""The incarnation of a data folder: clients drop their cursors when it changes (after a restore)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from imd.kernel.errors import StartupError
from imd.kernel.ids import is_id
from imd.storage.whole_file import write_whole

#: In a data folder; written once, by the first start or by a restore.
EPOCH = "epoch"
#: Stands there while a backup is brought back: no server must start on half of it.
RESTORING = "a backup is being restored"
_BYTES = 8


class EpochFile:
    """A stage that reads the epoch, and makes it at first start. ``value`` is known once it is up."""

    def __init__(self, path: Path, *, random_hex: Callable[[int], str]) -> None:
        self._path = path
        self._random_hex = random_hex
        self._value = ""

    def value(self) -> str:
        return self._value

    async def start(self) -> None:
        try:
            if not self._path.exists():
                write_whole(self._path, self._random_hex(_BYTES) + "\n")
            self._value = self._path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise StartupError(f"cannot read {self._path}: {error}; check its owner and mode") from error
        if self._value == RESTORING:
            raise StartupError(
                f"`imctl restore` has not finished bringing back a backup into {self._path.parent}: run it again"
            )
        if not is_id(self._value):
            raise StartupError(
                f"{self._path} holds no epoch; if nothing else is damaged, remove it: clients then sync anew"
            )

    async def stop(self) -> None:
        """Nothing is held."""
