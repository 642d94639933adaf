"""Records on their way to where they are kept: gathered in memory, written in large pieces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any

from twisted.logger import Logger

from imd.core.explain.ports import Segments
from imd.kernel.clocks import WallClock

#: What waits when the disk is slow or gone, and as much again that is being written; more is lost, and counted.
MAX_WAITING_BYTES = 4 * 1024 * 1024


class Ring:
    """One kind of record. ``add`` costs an append; ``flush`` is called every second or so by whoever owns it.

    :param spare: where records are kept if ``segments`` cannot be started.
    """

    _log = Logger()

    def __init__(
        self, *, name: str, record: Struct, segments: Segments, spare: Segments, wall_clock: WallClock
    ) -> None:
        self._name = name
        self._spare = spare
        self._record = record
        self._segments = segments
        self._wall_clock = wall_clock
        self._waiting = bytearray()
        #: Handed over, and not written yet.
        self._writing_bytes = 0
        self._failed = False
        #: Records that could not be kept.
        self.lost = 0

    @property
    def since_ms(self) -> int:
        """Nothing older is remembered."""
        return self._segments.since_ms

    async def start(self) -> None:
        """Find what is left of before, or begin in the spare place."""
        try:
            await self._segments.start()
        except OSError as error:
            # People can talk without it.
            self._log.error(
                "{name}: what should explain later what became of messages is kept in memory only: {error}",
                name=self._name,
                error=error,
            )
            self._segments = self._spare
            await self._segments.start()

    def add(self, packed: bytes) -> None:
        """Keep a record."""
        waiting = self._waiting
        if len(waiting) < MAX_WAITING_BYTES:
            waiting += packed
        else:
            self.lost += 1

    async def flush(self) -> None:
        """Write what waits; what cannot be written is lost, and that is said once until it works again."""
        if not self._waiting or self._writing_bytes >= MAX_WAITING_BYTES:
            return
        records, self._waiting = bytes(self._waiting), bytearray()
        self._writing_bytes += len(records)
        try:
            await self._segments.append(records, self._wall_clock())
            self._failed = False
        except OSError as error:
            self.lost += len(records) // self._record.size
            if not self._failed:
                self._failed = True
                self._log.error(
                    "{name}: what should explain later what became of messages is not kept: {error}",
                    name=self._name,
                    error=error,
                )
        finally:
            self._writing_bytes -= len(records)

    async def find(
        self, key: int, *, keep: Callable[[Sequence[Any]], bool] = lambda _: True, limit: int
    ) -> list[tuple[Any, ...]]:
        """The newest under this key, oldest first."""
        await self.flush()
        return await self._segments.find(key, keep=keep, limit=limit)
