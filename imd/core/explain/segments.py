"""Where records are kept: in memory, and in files that outlive the process."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from struct import Struct
from typing import Any, NamedTuple, Protocol, TypeVar

from twisted.internet.defer import Deferred

from imd.kernel.clocks import WallClock

T = TypeVar("T")

#: Of this many one is forgotten at a time: at least three quarters of what fits are there.
SEGMENT_COUNT = 4
#: However little there is, a segment is no longer than this: nothing is kept for more than two days, and who was
#: connected when is nobody's business for longer.
SEGMENT_MS = 12 * 3600 * 1000
#: So much of a file is searched at a stroke, since Python does nothing else meanwhile (less than a millisecond).
_READ_BYTES = 512 * 1024
_SUFFIX = ".ring"


class Threads(Protocol):
    """Runs blocking work outside the reactor, one piece after the other."""

    def __call__(self, work: Callable[[], T]) -> Deferred[T]: ...


class _Segment(NamedTuple):
    since_ms: int
    records: bytearray


class MemorySegments:
    """``Segments`` that end with the process."""

    def __init__(self, *, record: Struct, most_bytes: int, wall_clock: WallClock) -> None:
        self._record = record
        self._segment_bytes = _whole(most_bytes // SEGMENT_COUNT, record)
        first = _Segment(wall_clock(), bytearray())
        self._segments: deque[_Segment] = deque([first], maxlen=SEGMENT_COUNT)

    @property
    def since_ms(self) -> int:
        return self._segments[0].since_ms

    async def start(self) -> None:
        """Nothing was there before."""

    async def append(self, records: bytes, now_ms: int) -> None:
        last = self._segments[-1]
        if len(last.records) >= self._segment_bytes or now_ms - last.since_ms >= SEGMENT_MS:
            self._segments.append(_Segment(now_ms, bytearray()))
        self._segments[-1].records.extend(records)

    async def find(
        self, key: int, *, keep: Callable[[Sequence[Any]], bool], limit: int
    ) -> list[tuple[Any, ...]]:
        found: deque[tuple[Any, ...]] = deque(maxlen=limit)
        for segment in self._segments:
            found.extend(_matching(self._record, segment.records, key, keep))
        return list(found)


class FileSegments:
    """``Segments`` in files of a folder, ``<name>-<since>.ring``; they are written, not synced: a power cut may take the
    last seconds.

    :param threads: everything that touches a file runs there.
    """

    def __init__(
        self,
        *,
        folder: Path,
        name: str,
        record: Struct,
        most_bytes: int,
        threads: Threads,
        wall_clock: WallClock,
    ) -> None:
        self._folder = folder
        self._name = name
        self._record = record
        self._segment_bytes = _whole(most_bytes // SEGMENT_COUNT, record)
        self._threads = threads
        self._wall_clock = wall_clock
        #: Begin of each, oldest first. Replaced whole, on the thread alone.
        self._since: tuple[int, ...] = ()

    @property
    def since_ms(self) -> int:
        since = self._since
        return since[0] if since else self._wall_clock()

    async def start(self) -> None:
        await self._threads(self._open)

    async def append(self, records: bytes, now_ms: int) -> None:
        await self._threads(lambda: self._append(records, now_ms))

    async def find(
        self, key: int, *, keep: Callable[[Sequence[Any]], bool], limit: int
    ) -> list[tuple[Any, ...]]:
        def work() -> list[tuple[Any, ...]]:
            found: deque[tuple[Any, ...]] = deque(maxlen=limit)
            for chunk in self._chunks():
                found.extend(_matching(self._record, chunk, key, keep))
            return list(found)

        return await self._threads(work)

    def _open(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = [path.name.removesuffix(_SUFFIX) for path in self._folder.glob(f"{self._name}-*{_SUFFIX}")]
        since = (name.rpartition("-")[2] for name in names)
        self._since = tuple(sorted(int(each) for each in since if each.isdecimal()))
        if self._since:
            self._cut_half_record(self._path(self._since[-1]))
        else:
            self._begin(self._wall_clock())

    def _cut_half_record(self, path: Path) -> None:
        """What a crash left half written would put all that follows out of step."""
        size_bytes = path.stat().st_size
        if size_bytes % self._record.size:
            os.truncate(path, size_bytes - size_bytes % self._record.size)

    def _begin(self, now_ms: int) -> None:
        # A clock that was set back must not make an old file the newest.
        since_ms = max(now_ms, self._since[-1] + 1) if self._since else now_ms
        os.close(os.open(self._path(since_ms), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600))
        old, self._since = self._since, (*self._since, since_ms)[-SEGMENT_COUNT:]
        for gone_ms in set(old) - set(self._since):
            self._path(gone_ms).unlink(missing_ok=True)

    def _append(self, records: bytes, now_ms: int) -> None:
        last_ms = self._since[-1]
        try:
            is_full = self._path(last_ms).stat().st_size >= self._segment_bytes
        except FileNotFoundError:
            # Somebody cleared the folder.
            self._since = ()
            self._open()
        else:
            if is_full or now_ms - last_ms >= SEGMENT_MS:
                self._begin(now_ms)
        path = self._path(self._since[-1])
        with path.open("ab", buffering=0) as file:
            written = file.write(records)
            if written != len(records):
                file.truncate(file.tell() - written)
                raise OSError(f"{path} takes no more")

    def _chunks(self) -> Iterator[bytes]:
        for since_ms in self._since:
            try:
                file = self._path(since_ms).open("rb", buffering=0)
            except FileNotFoundError:
                continue
            with file:
                while chunk := file.read(_whole(_READ_BYTES, self._record)):
                    yield chunk

    def _path(self, since_ms: int) -> Path:
        return self._folder / f"{self._name}-{since_ms}{_SUFFIX}"


def _whole(size_bytes: int, record: Struct) -> int:
    """So many bytes of whole records, at least one."""
    return max(record.size, size_bytes - size_bytes % record.size)


def _matching(
    record: Struct, records: bytes | bytearray, key: int, keep: Callable[[Sequence[Any]], bool]
) -> Iterator[tuple[Any, ...]]:
    """Records begin with their key, so a search for its bytes at the right places finds them."""
    wanted = key.to_bytes(8, "little")
    at = records.find(wanted)
    while at >= 0:
        if at % record.size:
            at = records.find(wanted, at + 1)
            continue
        if at + record.size <= len(records) and keep(found := record.unpack_from(records, at)):
            yield found
        at = records.find(wanted, at + record.size)
