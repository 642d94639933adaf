"""What a process stored in its last moments and told nobody outside: told by whoever takes its shards.

Of what is told twice, business drops the second.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from twisted.logger import Logger

from imd.bus.subjects import shard_of
from imd.core.message.inherit import WINDOW_MS, RecentTails
from imd.core.message.ports import MessageLog
from imd.core.outside.feed import StoredFeed
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.errors import ImError
from imd.kernel.ids import snowflake_at, snowflake_span
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep
from imd.pb.message_pb2 import Message

#: The store may have failed over with the node; then once more, so many times.
TRIES = 5
RETRY_S = 5.0
PAGE = 200
PAGE_BYTES = 512 * 1024


class Recovery:
    """Reads back what is newer than two minutes: a node is missed after 15 s, the rest is for clocks that differ and
    for what waited for the bus."""

    _logger = Logger()

    def __init__(
        self,
        *,
        feed: StoredFeed,
        log: MessageLog,
        tails: RecentTails,
        clock: Clock,
        wall_clock: WallClock,
        tasks: Tasks,
    ) -> None:
        self._feed = feed
        self._log = log
        self._tails = tails
        self._clock = clock
        self._wall_clock = wall_clock
        self._tasks = tasks

    def inherited(self, shards: Collection[int]) -> None:
        """These were a dead node's; see ``Ownership.on_inherited``."""
        since = snowflake_at(self._wall_clock() - WINDOW_MS)
        self._spawn(since, lambda conversation_id: shard_of(conversation_id) in shards)

    async def start(self) -> None:
        """The only node there is, as a stage: what its earlier life stored last, however long ago that is."""
        self._spawn(0, lambda _: True)

    async def stop(self) -> None:
        """Ended with the background work."""

    def _spawn(self, since: int, is_ours: Callable[[str], bool]) -> None:
        self._tasks.spawn("tell the outside what was stored before", self._recover(since, is_ours))

    async def _recover(self, since: int, is_ours: Callable[[str], bool]) -> None:
        for _ in range(TRIES):
            try:
                tails = await self._tails.recent_tails(since)
                ours = [(one, seq) for one, seq in tails.items() if is_ours(one)]
                if not since and ours:
                    newest = await self._log.newest([one for one, _ in ours])
                    since = max(newest.values(), default=0) - snowflake_span(WINDOW_MS)
                for conversation_id, last_seq in ours:
                    first_seq = await self._first_since(conversation_id, last_seq, since)
                    if first_seq <= last_seq:
                        self._feed.read_back(conversation_id, first_seq, last_seq)
                return
            except ImError as error:
                self._logger.warn("what was stored before is not known yet: {error}", error=error)
                await sleep(RETRY_S, clock=self._clock)
        self._logger.error("what another process stored last may not be told outside")

    async def _first_since(self, conversation_id: str, last_seq: int, since: int) -> int:
        first = last_seq + 1
        while True:
            page = await self._log.page(
                conversation_id, from_seq=first - 1, limit=PAGE, max_bytes=PAGE_BYTES, backward=True
            )
            for message in reversed(page.messages):
                if Message.FromString(message.body).serverMsgId <= since:
                    return first
                first = message.seq
            if not page.more or not page.messages:
                return first
