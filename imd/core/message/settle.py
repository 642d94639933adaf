"""Stopping: what was admitted is written before those who write it are cancelled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from twisted.logger import Logger

from imd.core.message.neighbours import Neighbours
from imd.core.message.receipts import Receipts
from imd.kernel.clocks import Clock
from imd.kernel.timeouts import sleep

#: A store that works takes a full queue in a second; one that does not is not waited for much longer.
SETTLE_TIMEOUT_S = 10.0
_POLL_S = 0.02


class Unsettled(Protocol):
    """Who has taken messages and not answered all of them."""

    @property
    def unsettled(self) -> int: ...


class Settling:
    """A stage after the background work, so that it stops before it."""

    _logger = Logger()

    def __init__(
        self,
        *,
        pending: Sequence[Unsettled],
        neighbours: Neighbours,
        receipts: Receipts,
        clock: Clock,
        timeout_s: float = SETTLE_TIMEOUT_S,
    ) -> None:
        self._pending = pending
        self._neighbours = neighbours
        self._receipts = receipts
        self._clock = clock
        self._timeout_s = timeout_s

    async def start(self) -> None:
        """Nothing to do."""

    async def stop(self) -> None:
        """Returns when every send has its final answer and the other nodes know of it, or it has taken too long."""
        deadline_s = self._clock.seconds() + self._timeout_s
        while (self._unsettled or self._neighbours.untold) and self._clock.seconds() < deadline_s:
            await sleep(_POLL_S, clock=self._clock)
        if self._unsettled:
            # Told ACCEPTED or DELAYED at most; their clients send them again.
            self._logger.warn("{count} messages were not stored at stop", count=self._unsettled)
        if self._neighbours.untold:
            self._logger.warn("{count} conversations were not told of at stop", count=self._neighbours.untold)
        await self._receipts.write()

    @property
    def _unsettled(self) -> int:
        return sum(each.unsettled for each in self._pending)
