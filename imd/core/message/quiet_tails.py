"""Tails of conversations that nobody here has used: while the bus is away no other node can tell of them.

With the bus, whoever stores a message tells the nodes where its members are, and by that the conversation is in use
there. Without it a conversation that was quiet up to now would stay quiet until the bus is back. So the store is
asked for what is newer than the beginning of the outage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from imd.core.message.listening import Listening
from imd.core.message.live import LiveConversations
from imd.core.message.ports import MessageLog
from imd.core.message.recipients import Recipient
from imd.kernel.clocks import WallClock
from imd.kernel.ids import snowflake_at
from imd.pb.delivery_pb2 import Hint
from imd.pb.envelope_pb2 import Envelope
from imd.wire.codec import encode
from imd.wire.outbound import Outbound, Priority

#: Before the first look that finds the bus away: a sweep's interval, what it takes to see that a connection is
#: dead, and what the nodes' clocks may differ.
LOOK_BACK_MS = 120_000
#: Conversations in one question to the store, and in the memory that a look takes.
BATCH = 500


class QuietTails:
    """Looks while the bus is away, and hints at what it finds, once."""

    def __init__(
        self,
        *,
        listening: Listening,
        live: LiveConversations,
        log: MessageLog,
        is_on_bus: Callable[[], bool],
        wall_clock: WallClock,
    ) -> None:
        self._listening = listening
        self._live = live
        self._log = log
        self._is_on_bus = is_on_bus
        self._wall_clock = wall_clock
        #: Messages from this id on count; None: the bus was there when it was looked last.
        self._since: int | None = None
        #: How far a conversation has been hinted at in this outage.
        self._hinted: dict[str, int] = {}

    async def look(self) -> int:
        """Of how many conversations somebody was told."""
        if self._is_on_bus():
            self._since = None
            self._hinted = {}
            return 0
        if self._since is None:
            self._since = snowflake_at(self._wall_clock() - LOOK_BACK_MS)
        found: dict[str, int] = {}
        waiting: dict[str, list[Recipient]] = {}
        for recipient in self._listening:
            for conversation_id in self._listening.of(recipient):
                waiting.setdefault(conversation_id, []).append(recipient)
            if len(waiting) >= BATCH:
                found.update(await self._compare(waiting, self._since))
                waiting = {}
        found.update(await self._compare(waiting, self._since))
        # Only now: one conversation may have been in several batches, each with its own sessions.
        self._hinted.update(found)
        return len(found)

    async def _compare(self, waiting: dict[str, list[Recipient]], since: int) -> dict[str, int]:
        wanted = list(waiting)
        stirred: list[str] = []
        for start in range(0, len(wanted), BATCH):
            newest = await self._log.newest(wanted[start : start + BATCH])
            stirred += [conversation_id for conversation_id, id_ in newest.items() if id_ >= since]
        if not stirred:
            return {}
        last_seqs = await self._log.last_seqs(stirred)
        behind = {
            conversation_id: last_seq
            for conversation_id, last_seq in last_seqs.items()
            if last_seq > self._hinted.get(conversation_id, 0)
        }
        for conversation_id, last_seq in behind.items():
            self._hint(conversation_id, last_seq, waiting[conversation_id])
        return behind

    def _hint(self, conversation_id: str, last_seq: int, recipients: Sequence[Recipient]) -> None:
        live = self._live.known(conversation_id)
        told = live.audience if live is not None and live.audience is not None else {}
        # A client that has it does nothing.
        hint = Envelope(hint=Hint(conversationId=conversation_id, lastSeq=last_seq))
        outbound = Outbound(encode(hint), Priority.NORMAL, 1)
        for recipient in recipients:
            # The others are the tail sweep's.
            if recipient not in told:
                recipient.push(outbound)
