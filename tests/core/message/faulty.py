"""The real stores, with trouble."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from twisted.internet.defer import Deferred

from imd.core.message.model import AppendResult, CursorRow, IdTaken, NewMessage, Page, StoredKey
from imd.core.message.sqlite import SqliteCursors, SqliteMessageLog
from imd.kernel.errors import OutcomeUnknown, ServerBusy
from imd.pb.message_pb2 import Message


class FaultyLog:
    """The real log, with trouble: see the attributes. ``faults`` are used up, one an append."""

    def __init__(self, log: SqliteMessageLog) -> None:
        self.real = log
        #: busy, unknown_before, unknown_after, unknown_half, broken, foreign, id_taken, or "" for none.
        self.faults: deque[str] = deque()
        self.read_faults: deque[str] = deque()
        self.down = ""
        self.batches: list[int] = []
        self._gate: Deferred[None] | None = None
        self._foreign = 0

    def hold(self) -> None:
        """Appends wait until ``release``, so that batches form."""
        self._gate = Deferred()

    def release(self) -> None:
        gate, self._gate = self._gate, None
        assert gate is not None
        gate.callback(None)

    async def append(self, rows: Sequence[NewMessage]) -> AppendResult:
        self.batches.append(len(rows))
        if self._gate is not None:
            waiting: Deferred[None] = Deferred()
            self._gate.addCallback(lambda _: None if waiting.called else waiting.callback(None))
            await waiting
        fault = self.faults.popleft() if self.faults else self.down
        if fault == "busy":
            raise ServerBusy("planted")
        if fault == "unknown_before":
            raise OutcomeUnknown("planted")
        if fault == "broken":
            raise RuntimeError("planted")
        if fault == "foreign":
            await self.plant(rows[len(rows) // 2].conversation_id)
        if fault == "unknown_half":
            await self.real.append(rows[: len(rows) // 2])
            raise OutcomeUnknown("planted")
        if fault == "id_taken":
            half = await self.real.append(rows[: len(rows) // 2])
            return AppendResult(half.stored, IdTaken())
        result = await self.real.append(rows)
        if fault == "unknown_after":
            raise OutcomeUnknown("planted")
        return result

    async def plant(self, conversation_id: str) -> int:
        """Another owner stores a message at the end of a conversation."""
        self._foreign += 1
        seq = (await self.real.last_seqs([conversation_id])).get(conversation_id, 0) + 1
        name = f"foreign-{self._foreign}"
        body = Message(conversationId=conversation_id, seq=seq, senderId=77, clientMsgId=name)
        row = NewMessage(conversation_id, seq, 77, name, self._foreign, 0, b"f", body.SerializeToString())
        await self.real.append([row])
        return seq

    def _read(self) -> None:
        fault = self.read_faults.popleft() if self.read_faults else ""
        if fault:
            raise ServerBusy("planted")

    async def last_seqs(self, conversation_ids: Sequence[str]) -> Mapping[str, int]:
        self._read()
        return await self.real.last_seqs(conversation_ids)

    async def find(
        self, conversation_id: str, sender_id: int, client_msg_ids: Sequence[str]
    ) -> Mapping[str, StoredKey]:
        self._read()
        return await self.real.find(conversation_id, sender_id, client_msg_ids)

    async def page(
        self, conversation_id: str, *, from_seq: int, limit: int, max_bytes: int, backward: bool
    ) -> Page:
        return await self.real.page(
            conversation_id, from_seq=from_seq, limit=limit, max_bytes=max_bytes, backward=backward
        )

    async def read_one(self, conversation_id: str, seq: int) -> bytes | None:
        return await self.real.read_one(conversation_id, seq)

    async def newest(self, conversation_ids: Sequence[str]) -> Mapping[str, int]:
        return await self.real.newest(conversation_ids)

    async def last_bodies(self, conversation_ids: Sequence[str]) -> Mapping[str, bytes]:
        return await self.real.last_bodies(conversation_ids)


class FaultyCursors:
    """The real cursors; ``busy`` so many writes fail."""

    def __init__(self, cursors: SqliteCursors) -> None:
        self.real = cursors
        self.busy = 0
        self.writes: list[list[CursorRow]] = []

    async def advance(self, rows: Sequence[CursorRow]) -> None:
        if self.busy:
            self.busy -= 1
            raise ServerBusy("planted")
        self.writes.append(list(rows))
        await self.real.advance(rows)

    async def of_user(self, user_id: int, conversation_ids: Sequence[str]) -> Mapping[str, CursorRow]:
        return await self.real.of_user(user_id, conversation_ids)

    async def of_conversation(self, conversation_id: str, limit: int) -> Sequence[CursorRow]:
        return await self.real.of_conversation(conversation_id, limit)
