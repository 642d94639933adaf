"""What other nodes may not have heard: refused by the bus, or lost with a line that broke. They are told again, in hints.

Nothing shows a lost last message to a node where its conversation is not in use, not even the sweep.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from twisted.logger import Logger

from imd.bus.port import Bus
from imd.bus.subjects import message_deliver
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError
from imd.kernel.eviction import forget_oldest
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep
from imd.pb.bus_pb2 import ToldConversation, ToldConversations

#: A line that hangs is given up after 15 s; all that was sent meanwhile may be lost with it.
MEMORY_S = 20.0
#: Conversations, each at one node, that are remembered at most, of two such times and of what was refused; 150 B each.
MAX_REMEMBERED = 100_000
#: After the bus refused.
RETRY_S = 1.0
#: Conversations in a row, and the pause after them: each may cost the other node a look-up of its members.
PACE = 100
PAUSE_S = 0.1

#: Which node, which conversation.
_Where = tuple[int, str]


class Retelling:
    """Remembers for each node how far it was told, and for how long that may be in vain."""

    _logger = Logger()

    def __init__(self, *, bus: Bus, clock: Clock, tasks: Tasks) -> None:
        self._bus = bus
        self._clock = clock
        self._tasks = tasks
        #: Told in the last one or two times ``MEMORY_S``.
        self._lately: dict[_Where, int] = {}
        self._before: dict[_Where, int] = {}
        self._turn_s = 0.0
        self._due: dict[_Where, int] = {}
        self._running = False

    def __len__(self) -> int:
        """Conversations that wait to be told again."""
        return len(self._due)

    def told(self, node_id: int, conversations: Sequence[ToldConversation]) -> None:
        """The bus took this; it may yet get lost."""
        now_s = self._clock.seconds()
        if now_s >= self._turn_s:
            self._before, self._lately = self._lately, {}
            self._turn_s = now_s + MEMORY_S
        _note(self._lately, node_id, conversations)

    def refused(self, node_id: int, conversations: Sequence[ToldConversation]) -> None:
        """The bus did not take this."""
        _note(self._due, node_id, conversations)
        self._begin()

    def missed(self) -> None:
        """The bus has had a gap."""
        due: dict[_Where, int] = {}
        for known in (self._before, self._lately, self._due):
            due.update(known)
        self._before, self._lately, self._due = {}, {}, due
        self._begin()

    def _begin(self) -> None:
        forget_oldest(self._due, MAX_REMEMBERED)
        if self._due and not self._running:
            self._running = True
            self._tasks.spawn("tell nodes again", self._tell_again())

    async def _tell_again(self) -> None:
        count = 0
        try:
            await sleep(RETRY_S, clock=self._clock)
            while self._due:
                try:
                    count += self._tell_some()
                    await sleep(PAUSE_S, clock=self._clock)
                except ImError:
                    await sleep(RETRY_S, clock=self._clock)
        finally:
            self._running = False
        self._logger.info("other nodes were told again how far {count} conversations go", count=count)

    def _tell_some(self) -> int:
        some = list(islice(self._due.items(), PACE))
        by_node: dict[int, ToldConversations] = {}
        for (node_id, conversation_id), seq in some:
            told = by_node.setdefault(node_id, ToldConversations())
            told.conversations.add(conversationId=conversation_id, hintSeq=seq)
        for node_id, told in by_node.items():
            self._bus.publish(message_deliver(node_id), told.SerializeToString())
        for where, _ in some:
            del self._due[where]
        return len(some)


def _note(known: dict[_Where, int], node_id: int, conversations: Sequence[ToldConversation]) -> None:
    """How far they go; who types, and whose cursor moved, is not worth a second word."""
    for told in conversations:
        seq = told.messages[-1].seq if told.messages else told.hintSeq
        if seq:
            where = (node_id, told.conversationId)
            known[where] = max(seq, known.get(where, 0))
    forget_oldest(known, MAX_REMEMBERED)
