"""Shards of a node that died: what it stored in its last moments may have been told to nobody."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from twisted.logger import Logger

from imd.bus.subjects import shard_of
from imd.core.message.fanout import Fanout
from imd.core.message.live import LiveConversations
from imd.core.message.neighbours import Neighbours
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.errors import ImError
from imd.kernel.ids import snowflake_at
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep

#: A node is missed after 15 s; the rest is for clocks that differ.
WINDOW_MS = 120_000
#: Conversations told of in a row, and the pause after them: each may cost a look-up of its members.
PACE = 100
PAUSE_S = 0.1
#: The store may have failed over with the node; then once more, so many times.
TRIES = 5
RETRY_S = 5.0


class RecentTails(Protocol):
    """The log, as far as it can be asked by age."""

    async def recent_tails(self, since_server_msg_id: int) -> Mapping[str, int]:
        """The last seq of the conversations that have messages newer than this id; some may be left out
        if there are very many. Failures as in ``MessageLog``."""
        ...


class Inheritance:
    """Tells the members of the conversations in which something was stored lately how far they go."""

    _logger = Logger()

    def __init__(
        self,
        *,
        log: RecentTails,
        live: LiveConversations,
        fanout: Fanout,
        neighbours: Neighbours,
        clock: Clock,
        wall_clock: WallClock,
        tasks: Tasks,
    ) -> None:
        self._log = log
        self._live = live
        self._fanout = fanout
        self._neighbours = neighbours
        self._clock = clock
        self._wall_clock = wall_clock
        self._tasks = tasks

    def inherited(self, shards: Collection[int]) -> None:
        """These were a dead node's; see ``Ownership.on_inherited``."""
        since = snowflake_at(self._wall_clock() - WINDOW_MS)
        self._tasks.spawn("tell what a dead node stored", self._tell(shards, since))

    async def _tell(self, shards: Collection[int], since: int) -> None:
        for _ in range(TRIES):
            try:
                tails = await self._log.recent_tails(since)
                break
            except ImError as error:
                self._logger.warn("what a dead node stored is not known yet: {error}", error=error)
                await sleep(RETRY_S, clock=self._clock)
        else:
            self._logger.error("what a dead node stored last is left to the sweeps")
            return
        mine = [(name, seq) for name, seq in tails.items() if shard_of(name) in shards]
        for index, (conversation_id, last_seq) in enumerate(mine):
            if index % PACE == PACE - 1:
                await sleep(PAUSE_S, clock=self._clock)
            try:
                live = await self._live.load(conversation_id)
            except ImError as error:
                self._logger.warn("{id} is left to the sweeps: {error}", id=conversation_id, error=error)
                continue
            if live is not None:
                self._fanout.hint(live, last_seq)
                self._neighbours.hint(live, last_seq)
        self._logger.info("{count} conversations of a dead node were told of", count=len(mine))
