"""The places of records: in memory and in files, and what files live through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, execute

from imd.core.explain.model import SEND
from imd.core.explain.segments import FileSegments, MemorySegments
from tests.contract import segments as contract
from tests.contract.segments import (
    MOST_BYTES,
    START_MS,
    everything,
    numbers,
    record,
)

T = TypeVar("T")


def at_once(work: Callable[[], T]) -> Deferred[T]:
    """A queue of work that has no thread."""
    return execute(work)


class InMemory(contract.SegmentsContract):
    """MemorySegments keep the contract."""

    def drive(self, work: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(work))

    async def make(self) -> MemorySegments:
        segments = MemorySegments(record=SEND, most_bytes=MOST_BYTES, wall_clock=lambda: START_MS)
        await segments.start()
        return segments


class InFiles(contract.SegmentsContract):
    """FileSegments keep the contract."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())

    def drive(self, work: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(work))

    def segments(self) -> FileSegments:
        return FileSegments(
            folder=self.folder,
            name="sends",
            record=SEND,
            most_bytes=MOST_BYTES,
            threads=at_once,
            wall_clock=lambda: START_MS,
        )

    async def make(self) -> FileSegments:
        segments = self.segments()
        await segments.start()
        return segments

    def found(self, segments: FileSegments) -> list[int]:
        return numbers(self.drive(segments.find(7, keep=everything, limit=1000)))

    def test_outlives_the_process(self) -> None:
        """The next process finds everything, goes on in the same file, and knows since when it knows."""
        first = self.drive(self.make())
        self.drive(first.append(record(7, 1), START_MS))
        second = self.drive(self.make())
        self.drive(second.append(record(7, 2), START_MS + 5))
        self.assertEqual(self.found(second), [1, 2])
        self.assertEqual(second.since_ms, START_MS)
        self.assertEqual(len(list(self.folder.iterdir())), 1)

    def test_half_a_record(self) -> None:
        """What a crash left half written is cut off, and nothing behind it is out of step."""
        first = self.drive(self.make())
        self.drive(first.append(record(7, 1), START_MS))
        (path,) = self.folder.iterdir()
        with path.open("ab") as file:
            file.write(record(7, 2)[:-1])
        second = self.drive(self.make())
        self.drive(second.append(record(7, 3), START_MS))
        self.assertEqual(self.found(second), [1, 3])

    def test_cleared(self) -> None:
        """Who clears the folder takes what was there, and nothing of what comes."""
        segments = self.drive(self.make())
        self.drive(segments.append(record(7, 1), START_MS))
        for path in self.folder.iterdir():
            path.unlink()
        self.assertEqual(self.found(segments), [])
        self.drive(segments.append(record(7, 2), START_MS))
        self.folder.rename(str(self.folder) + ".old")
        self.drive(segments.append(record(7, 3), START_MS))
        self.assertEqual(self.found(segments), [3])

    def test_foreign_files(self) -> None:
        """Files of other names are neither read nor removed."""
        self.folder.mkdir()
        for name in ("sends-x.ring", "sessions-1.ring", "sends-1.ring.bak", "notes"):
            (self.folder / name).write_bytes(record(7, 9))
        segments = self.drive(self.make())
        self.drive(segments.append(record(7, 1), START_MS))
        self.assertEqual(self.found(segments), [1])
        self.assertEqual(len(list(self.folder.iterdir())), 5)

    def test_private(self) -> None:
        """Who was connected when is nobody's business but the server's user's."""
        self.drive(self.make())
        (path,) = self.folder.iterdir()
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(self.folder.stat().st_mode & 0o777, 0o700)

    def test_no_folder(self) -> None:
        """Where there can be no folder that is said, as an OSError."""
        self.folder.write_text("a file")
        self.failureResultOf(Deferred.fromCoroutine(self.segments().start()), OSError)
