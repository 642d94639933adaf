"""How many messages of each kind a user may send a day (spec 5.1), UTC: images a day, for one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple, Protocol

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from imd.kernel.clocks import Clock, WallClock
from imd.kernel.errors import ImError, RateLimited
from imd.kernel.eviction import forget_oldest
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep
from imd.pb.message_pb2 import AUDIO, FILE, IMAGE, VIDEO

DAY_MS = 24 * 3600 * 1000
#: Users and kinds counted here, about 200 B each; whoever is forgotten is counted by the nodes together, or,
#: where there is one node, begins anew.
MAX_COUNTS = 100_000
#: For so long a user may spend at each node what is there but once.
REPORT_S = 1.0
#: In one question.
MAX_REPORTED = 5_000


class DailyLimits(NamedTuple):
    """Of each kind a day; 0: no limit."""

    text: int = 0
    image: int = 0
    audio: int = 0
    video: int = 0
    file: int = 0

    def of(self, message_type: int) -> int:
        """For messages of this type; whatever is no medium counts as text."""
        return self[_KIND.get(message_type, 0)]


#: The place in ``DailyLimits`` of each medium.
_KIND: dict[int, int] = {IMAGE: 1, AUDIO: 2, VIDEO: 3, FILE: 4}


class Used(NamedTuple):
    """What a node has let somebody use on a day: ``spent`` since it said so last, ``known`` in all before that."""

    key: str
    spent: int
    known: int


class DayCounts(Protocol):
    """What the nodes have counted together. Losing it lets people send more, never less."""

    async def count(self, used: Sequence[Used]) -> Sequence[int]:
        """Add each to what is known of it; what that makes.

        :raises ServerBusy: they cannot be asked in time; it may have been added or not.
        """
        ...


class MemoryDayCounts:
    """``DayCounts`` within one process; several nodes in it share one object."""

    def __init__(self) -> None:
        self._totals: dict[str, int] = {}

    async def count(self, used: Sequence[Used]) -> Sequence[int]:
        totals = []
        for key, spent, known in used:
            total = self._totals[key] = max(0, max(self._totals.pop(key, 0), known) + spent)
            totals.append(total)
        forget_oldest(self._totals, MAX_COUNTS)
        return totals


class _Count:
    """Of one user and kind, today."""

    __slots__ = ("known", "spent")

    def __init__(self) -> None:
        #: By all nodes, as far as was said.
        self.known = 0
        #: Here, since then.
        self.spent = 0


class Quotas:
    """Counts what is sent here, and, as a stage, what is sent elsewhere.

    :ivar are_any: whether anything is limited; nothing is counted where not.
    :param shared: what other nodes count; None: there are none.
    """

    _logger = Logger()

    def __init__(
        self,
        *,
        limits: DailyLimits,
        clock: Clock,
        wall_clock: WallClock,
        tasks: Tasks,
        shared: DayCounts | None = None,
    ) -> None:
        self.limits = limits
        self._clock = clock
        self._wall_clock = wall_clock
        self._tasks = tasks
        self._shared = shared
        self._day = 0
        self._counts: dict[tuple[int, int], _Count] = {}
        self._unsaid: dict[tuple[int, int], _Count] = {}
        #: Sends above a limit, ever.
        self.refused = 0

    @property
    def limits(self) -> DailyLimits:
        """May be replaced at any time."""
        return self._limits

    @limits.setter
    def limits(self, limits: DailyLimits) -> None:
        self._limits = limits
        self.are_any = any(limits)

    async def start(self) -> None:
        """Ask the others from here on."""
        if self._shared is not None:
            self._tasks.spawn("daily quotas", self._run(self._shared))

    async def stop(self) -> None:
        """Ended with its tasks."""

    def take(self, user_id: int, message_type: int) -> ImError | None:
        """Count one; or why there is none left today."""
        limit = self.limits.of(message_type)
        if not limit:
            return None
        now_ms = self._wall_clock()
        self._begin(now_ms // DAY_MS)
        key = (user_id, _KIND.get(message_type, 0))
        count = self._counts.get(key)
        if count is None:
            count = self._counts[key] = _Count()
            forget_oldest(self._counts, MAX_COUNTS)
        if count.known + count.spent >= limit:
            self.refused += 1
            kind = DailyLimits._fields[key[1]]
            return RateLimited(
                f"{limit} messages of kind {kind} a day, and these are used up",
                retry_after_ms=DAY_MS - now_ms % DAY_MS,
                reason="quota",
            )
        count.spent += 1
        self._unsaid[key] = count
        return None

    def give_back(self, user_id: int, message_type: int) -> None:
        """It was not stored, or had been before."""
        key = (user_id, _KIND.get(message_type, 0))
        count = self._counts.get(key)
        if count is not None and count.known + count.spent > 0:
            count.spent -= 1
            self._unsaid[key] = count

    def counts(self) -> dict[str, int]:
        """Sizes, for whoever watches memory."""
        return {"counted": len(self._counts), "unsaid": len(self._unsaid)}

    def _begin(self, day: int) -> None:
        if day != self._day:
            self._day = day
            self._counts.clear()
            self._unsaid.clear()

    async def _run(self, shared: DayCounts) -> None:
        while True:
            await sleep(REPORT_S, clock=self._clock)
            try:
                await self.report(shared)
            except CancelledError:
                raise
            except ImError:
                # What was not said stays, and is said with the next.
                pass
            except Exception:
                self._logger.failure("daily quotas were not shared; it goes on with the next")

    async def report(self, shared: DayCounts) -> None:
        """Say what was sent here, and learn what was elsewhere.

        :raises ServerBusy: the others cannot be asked.
        """
        while self._unsaid:
            day = self._day
            batch = dict(islice(self._unsaid.items(), MAX_REPORTED))
            spent = [count.spent for count in batch.values()]
            totals = await shared.count([
                Used(f"{day}:{user_id}:{kind}", count.spent, count.known)
                for (user_id, kind), count in batch.items()
            ])  # fmt: skip
            for (key, count), said, total in zip(batch.items(), spent, totals, strict=True):
                count.known = total
                count.spent -= said
                if not count.spent:
                    self._unsaid.pop(key, None)
