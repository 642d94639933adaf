"""1:1 conversations that were taken for granted while nobody could be asked: once they are there, both are told.

What was said in one was pushed only where nobody had to be asked who is in it. When business has looked at it, it
makes the conversation, and says so like every change.
"""

from __future__ import annotations

from twisted.logger import Logger

from imd.core.message.fanout import Fanout
from imd.core.message.live import LiveConversation, LiveConversations
from imd.core.message.neighbours import Neighbours
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep

#: Until the other nodes have heard, too, that it is there.
PAUSE_S = 1.0


class FirstWords:
    """Hints at what is there already, at the node that wrote it."""

    _logger = Logger()

    def __init__(
        self, *, live: LiveConversations, fanout: Fanout, neighbours: Neighbours, clock: Clock, tasks: Tasks
    ) -> None:
        self._live = live
        self._fanout = fanout
        self._neighbours = neighbours
        self._clock = clock
        self._tasks = tasks
        live.on_came_true(self._came_true)

    def _came_true(self, live: LiveConversation) -> None:
        if live.last_seq:
            self._tasks.spawn("tell of first words", self._tell(live.conversation_id))

    async def _tell(self, conversation_id: str) -> None:
        await sleep(PAUSE_S, clock=self._clock)
        try:
            live = await self._live.load(conversation_id)
        except ImError as error:
            self._logger.warn("{id} is left to the sweeps: {error}", id=conversation_id, error=error)
            return
        if live is not None and live.last_seq:
            self._fanout.hint(live, live.last_seq)
            self._neighbours.hint(live, live.last_seq)
