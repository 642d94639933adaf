"""The last good settings in a small file of the node, for a start at which nobody can be asked."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from imd.pb.bus_pb2 import SettingsChanged

#: Two documents, a thousand users and the names around them.
MAX_BYTES = 256 * 1024


class Threads(Protocol):
    """Runs ``work`` off the reactor thread and fires with what it returned or raised."""

    def __call__(self, work: Callable[[], None], /) -> Deferred[None]: ...


class SettingsKept:
    """One file, replaced at one stroke. That it cannot be written or read is told, and stops nobody.

    :param file: of this process alone; its folder is made if it is not there.
    """

    _log = Logger()

    def __init__(self, file: Path, *, threads: Threads) -> None:
        self._file = file
        self._threads = threads
        self._is_writing = False
        self._written: Deferred[None] | None = None
        self._next: tuple[bytes, int, Callable[[], None]] | None = None
        #: Why the version in force will not be known at the next start; empty: it will.
        self.problem = ""

    def read(self) -> bytes | None:
        """The event that was kept, None if there is none that could be read. Blocks for a moment."""
        try:
            with self._file.open("rb") as opened:
                text = opened.read(MAX_BYTES + 1)
            if len(text) > MAX_BYTES:
                raise ValueError(f"is over {MAX_BYTES} bytes")
            return _event(json.loads(text))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, RecursionError, ParseError) as error:
            self._log.error(
                "the settings kept in {file} cannot be read, the node begins with its own file: {error}",
                file=str(self._file),
                error=error,
            )
            return None

    def keep(self, payload: bytes, version: int, *, told: Callable[[], None]) -> None:
        """Have this read at the next start; ``told`` is called once that is so, or is known to fail."""
        self._next = (payload, version, told)
        if not self._is_writing:
            self._is_writing = True
            self._written = Deferred.fromCoroutine(self._write_all())

    async def settled(self) -> None:
        """Nothing is being written any more."""
        if self._written is not None:
            await self._written

    async def _write_all(self) -> None:
        while self._next is not None:
            (payload, version, told), self._next = self._next, None
            self.problem = await self._write(payload)
            if self.problem:
                self._log.error(
                    "settings version {version} cannot be kept for the next start: {problem}",
                    version=version,
                    problem=self.problem,
                )
            told()
        self._is_writing = False

    async def _write(self, payload: bytes) -> str:
        """What went wrong."""
        try:
            await self._threads(partial(_replace, self._file, _text(payload)))
        except (OSError, ValueError) as error:
            return f"{self._file}: {getattr(error, 'strerror', None) or error}"
        return ""


def _text(payload: bytes) -> bytes:
    """As an operator can read it: documents as such, not as text within text."""
    shown: dict[str, Any] = MessageToDict(SettingsChanged.FromString(payload))
    for part in (shown, shown.get("gray")):
        if part is not None:
            part["document"] = json.loads(part["document"])
    # What is no character in UTF-8 stands there as JSON escapes it.
    return json.dumps(shown, indent=1, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"


def _event(shown: Any) -> bytes:
    for part in (shown, shown.get("gray")) if isinstance(shown, dict) else ():
        if isinstance(part, dict):
            part["document"] = json.dumps(part.get("document"))
    # It refuses what is no object; a later release may have kept more than this one knows.
    return ParseDict(shown, SettingsChanged(), ignore_unknown_fields=True).SerializeToString()


def _replace(file: Path, text: bytes) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = file.with_name(f"{file.name}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    beside.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
