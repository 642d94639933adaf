"""What every place for records promises, as scenarios; an implementation brings ``make``."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imd.core.explain.model import SEND, OfSend
from imd.core.explain.ports import Segments
from imd.core.explain.segments import SEGMENT_COUNT
from tests.contract.bus import scenario

#: A few records a segment, so that forgetting comes soon.
PER_SEGMENT = 10
MOST_BYTES = SEGMENT_COUNT * PER_SEGMENT * SEND.size
START_MS = 1_764_000_000_000


def record(key: int, number: int, *, at_ms: int = START_MS) -> bytes:
    """One that is told from others by its number."""
    return SEND.pack(key, at_ms, number, 1, b"reason")


def numbers(found: list[tuple[Any, ...]]) -> list[int]:
    """Which records these are."""
    return [OfSend._make(each).code for each in found]


def everything(_: object) -> bool:
    """Keeps all."""
    return True


class SegmentsContract(SynchronousTestCase):
    """Scenarios; ``drive`` and ``make`` come from the implementation."""

    def drive(self, work: Any) -> Any:
        """Run a scenario."""
        raise NotImplementedError

    async def make(self) -> Segments:
        """Nothing is in it yet; ``now_ms`` is START_MS."""
        raise NotImplementedError

    @scenario
    async def test_found_by_key(self) -> None:
        """What was put in is found under its key, in order, whole; other keys have nothing of it."""
        segments = await self.make()
        await segments.append(record(7, 1) + record(8, 2) + record(7, 3), START_MS)
        found = await segments.find(7, keep=everything, limit=10)
        self.assertEqual(found[0], SEND.unpack(record(7, 1)))
        self.assertEqual(numbers(found), [1, 3])
        self.assertEqual(await segments.find(9, keep=everything, limit=10), [])

    @scenario
    async def test_kept_and_limited(self) -> None:
        """Of what passes, the newest so many."""
        segments = await self.make()
        await segments.append(b"".join(record(7, number) for number in range(20)), START_MS)
        found = await segments.find(7, keep=lambda one: one[2] % 2 == 0, limit=3)
        self.assertEqual(numbers(found), [14, 16, 18])

    @scenario
    async def test_key_inside_others(self) -> None:
        """Bytes of a key in the middle of other records are no key, also where they overlap one."""
        segments = await self.make()
        key = 0x0707070707070707
        lookalike = SEND.pack(key - 1, key, 7, 7, b"\x07" * 37)
        await segments.append(lookalike + record(key, 1) + lookalike, START_MS)
        self.assertEqual(numbers(await segments.find(key, keep=everything, limit=10)), [1])

    @scenario
    async def test_oldest_forgotten(self) -> None:
        """What does not fit pushes out the oldest, a segment at a time, and since when it knows is told."""
        segments = await self.make()
        self.assertEqual(segments.since_ms, START_MS)
        for number in range(100):
            await segments.append(record(7, number), START_MS + number)
        found = numbers(await segments.find(7, keep=everything, limit=1000))
        self.assertEqual(found, list(range(found[0], 100)))
        self.assertGreaterEqual(len(found), (SEGMENT_COUNT - 1) * PER_SEGMENT)
        self.assertLessEqual(len(found), SEGMENT_COUNT * PER_SEGMENT)
        self.assertEqual(segments.since_ms, START_MS + found[0])

    @scenario
    async def test_no_longer_than_two_days(self) -> None:
        """Where little happens what is older than two days is forgotten, what is of the last day is not."""
        segments = await self.make()
        hour_ms = 3600 * 1000
        for hour in range(100):
            await segments.append(record(7, hour), START_MS + hour * hour_ms)
        found = numbers(await segments.find(7, keep=everything, limit=1000))
        self.assertEqual(found, list(range(found[0], 100)))
        self.assertTrue(24 <= len(found) <= 48, found)

    @scenario
    async def test_clock_set_back(self) -> None:
        """A clock that goes back neither loses nor reorders anything."""
        segments = await self.make()
        for number in range(25):
            await segments.append(record(7, number), START_MS - number)
        self.assertEqual(numbers(await segments.find(7, keep=everything, limit=1000)), list(range(25)))
