"""What was stored in the moment between a first sync and the owner hearing of the new route: looked for once more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from twisted.logger import Logger

from imd.core.directory import ConversationEntry
from imd.core.gateway.session import Session
from imd.core.message.ports import MessageLog
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep
from imd.pb.connection_pb2 import ConversationCursor
from imd.pb.delivery_pb2 import Hint
from imd.pb.envelope_pb2 import Envelope
from imd.pb.sync_pb2 import SyncResp
from imd.wire.codec import encode
from imd.wire.outbound import Outbound, Priority

#: After the first sync. Whoever wrote meanwhile has heard of the session by then.
DELAY_S = 1.0
#: Conversations in one question to the store.
BATCH = 500
#: Conversations of all who wait, about 60 B each; beyond, the tail sweep finds what is missing.
MAX_CONVERSATIONS = 500_000


class _Newcomer(NamedTuple):
    """Who came, and what the first sync said of each conversation."""

    session: Session
    told: dict[str, int]


class SecondLook:
    """Compares once more, for all who came within a second together."""

    _logger = Logger()

    def __init__(self, *, log: MessageLog, clock: Clock, tasks: Tasks) -> None:
        self._log = log
        self._clock = clock
        self._tasks = tasks
        self._newcomers: list[_Newcomer] = []
        self._conversations = 0
        self.found = 0

    def arrived(
        self,
        session: Session,
        entries: Iterable[ConversationEntry],
        cursors: Iterable[ConversationCursor],
        answer: SyncResp,
    ) -> None:
        """This first sync has just been answered."""
        told = {cursor.conversationId: cursor.lastSeq for cursor in cursors}
        told.update({state.conversationId: state.lastSeq for state in answer.behind})
        # What is on a later page of the sync is looked up when the client asks for that.
        last = answer.nextPageToken
        looked_up = {
            entry.conversation_id: told.get(entry.conversation_id, 0)
            for entry in entries
            if not last or entry.conversation_id <= last
        }
        if not looked_up or self._conversations + len(looked_up) > MAX_CONVERSATIONS:
            return
        self._conversations += len(looked_up)
        self._newcomers.append(_Newcomer(session, looked_up))
        if len(self._newcomers) == 1:
            self._tasks.spawn("second look", self._look_later())

    async def _look_later(self) -> None:
        # Twice: some have come only just before.
        await sleep(DELAY_S, clock=self._clock)
        newcomers, self._newcomers = self._newcomers, []
        self._conversations = 0
        await sleep(DELAY_S, clock=self._clock)
        try:
            await self._look(newcomers)
        except ImError as error:
            self._logger.warn("no second look, the tail sweep will do: {error}", error=error)

    async def _look(self, newcomers: Sequence[_Newcomer]) -> None:
        waiting: dict[str, list[_Newcomer]] = {}
        for newcomer in newcomers:
            if newcomer.session.user is not None:
                for conversation_id in newcomer.told:
                    waiting.setdefault(conversation_id, []).append(newcomer)
        conversation_ids = list(waiting)
        for start in range(0, len(conversation_ids), BATCH):
            last_seqs = await self._log.last_seqs(conversation_ids[start : start + BATCH])
            for conversation_id, last_seq in last_seqs.items():
                self._compare(conversation_id, last_seq, waiting[conversation_id])

    def _compare(self, conversation_id: str, last_seq: int, newcomers: Sequence[_Newcomer]) -> None:
        behind = [each.session for each in newcomers if last_seq > each.told[conversation_id]]
        if not behind:
            return
        # What was delivered live meanwhile is hinted at too; a client that has it does nothing.
        hint = Envelope(hint=Hint(conversationId=conversation_id, lastSeq=last_seq))
        outbound = Outbound(encode(hint), Priority.NORMAL, 1)
        for session in behind:
            if session.user is not None:
                self.found += 1
                session.push(outbound)
