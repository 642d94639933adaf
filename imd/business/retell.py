"""What was committed and not told: its node died, or the bus was away. Whichever node is there tells it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep

#: Between two looks. What was there at one and still is at the next has been forgotten by whoever should have told
#: it: that takes milliseconds.
LOOK_INTERVAL_S = 5.0
#: Read at a time, up to a few hundred bytes each.
PAGE = 500


#: Tellings that come to nothing in one look; each may take a time-out, and those behind them have their turn, too.
MAX_FAILED = 3


class Waiting(Protocol):
    """Where tellings wait, by the name of what they are about; all raise ``ImError`` while they cannot be reached."""

    async def remember(self, about: str, payload: bytes) -> None: ...

    async def some(self, *, limit: int) -> Sequence[tuple[str, bytes]]: ...

    async def forget(self, abouts: Sequence[str]) -> None: ...


class Retelling:
    """A stage that looks now and then. Several nodes may tell the same: whoever hears it twice does nothing.

    :param tell: whether it is told.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        waiting: Waiting,
        tell: Callable[[str, bytes], Awaitable[bool]],
        clock: Clock,
        random: Callable[[], float],
        tasks: Tasks,
    ) -> None:
        self._waiting = waiting
        self._tell = tell
        self._clock = clock
        self._random = random
        self._tasks = tasks
        self._seen: frozenset[str] = frozenset()

    async def start(self) -> None:
        self._tasks.spawn("tell what was not told", self._run())

    async def stop(self) -> None:
        """Ended with its tasks."""

    async def _run(self) -> None:
        while True:
            # Not all nodes in step: what one has told the others need not.
            await sleep(LOOK_INTERVAL_S * (0.8 + 0.4 * self._random()), clock=self._clock)
            try:
                while await self._look():
                    pass
            except ImError as error:
                self._log.warn("what may not have been told is looked for later: {error}", error=error)
            except CancelledError:
                raise
            except Exception:
                self._log.failure("what may not have been told is looked for later")

    async def _look(self) -> bool:
        """Whether there may be more at once."""
        rows = await self._waiting.some(limit=PAGE)
        late = [(about, payload) for about, payload in rows if about in self._seen]
        told: list[str] = []
        failed = 0
        for about, payload in late:
            if await self._tell(about, payload):
                told.append(about)
            elif (failed := failed + 1) == MAX_FAILED:
                break
        if told:
            self._log.warn("{count} changes are told late", count=len(told))
            await self._waiting.forget(told)
        self._seen = frozenset(about for about, _ in rows).difference(told)
        return len(rows) == PAGE and len(told) == len(rows)
