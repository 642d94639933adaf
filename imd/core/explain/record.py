"""What this node remembers of the last day: fan-outs, sessions, and sends that ended otherwise than usual.

No message costs more than one record of 40 bytes a batch and conversation; the rest happens rarely, and of one user
only so much of it is kept singly. What is stored elsewhere (messages, receipts, memberships, refusals by permission)
is not here.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from imd.core.explain.budget import Budget, Sum
from imd.core.explain.model import (
    EVERYBODY,
    FANOUT,
    MAX_NAMED_NODES,
    SEND,
    SESSION,
    SUM,
    Ended,
    Fanned,
    Happened,
    Mode,
    OfSend,
    OfSession,
    key_of,
    key_of_send,
    key_of_sender,
)
from imd.core.explain.ports import RememberedConversation, Segments
from imd.core.explain.ring import Ring
from imd.core.explain.segments import FileSegments, MemorySegments, Threads
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.errors import Code, ImError
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep

#: What is younger is lost by a crash.
FLUSH_INTERVAL_S = 1.0
#: Of one kind in an answer; whoever has come and gone more often than that in a day has another problem.
MAX_FOUND = 200
#: One a minute, for two days.
MAX_SUMS = 2880

_pack_fanout = FANOUT.pack
#: Of one record: a hint may stand for more.
_MOST_MESSAGES = 0xFFFF


class Sizes(NamedTuple):
    """Bytes of each ring."""

    fanouts: int
    sessions: int
    sends: int


#: In files: 3.3 million fan-outs, which is 39 batches a second all day; 350,000 sessions a day; 290,000 refusals.
ON_DISK = Sizes(fanouts=128 << 20, sessions=64 << 20, sends=16 << 20)
#: In memory, where there is no folder: about a tenth of that.
IN_MEMORY = Sizes(fanouts=16 << 20, sessions=6 << 20, sends=2 << 20)


class Kept(NamedTuple):
    """Where each kind is kept."""

    fanouts: Segments
    sessions: Segments
    sends: Segments


#: The records of each kind, in the order of ``Kept``.
RECORDS: tuple[Struct, Struct, Struct] = (FANOUT, SESSION, SEND)


def in_memory(wall_clock: WallClock) -> Kept:
    """For a node without a folder: what it remembers ends with the process."""
    return Kept(
        *(
            MemorySegments(record=record, most_bytes=most, wall_clock=wall_clock)
            for record, most in zip(RECORDS, IN_MEMORY, strict=True)
        )
    )


def in_folder(folder: Path, *, threads: Threads, wall_clock: WallClock) -> Kept:
    """In ``folder``, which is made where it is missing."""
    return Kept(
        *(
            FileSegments(
                folder=folder,
                name=name,
                record=record,
                most_bytes=most,
                threads=threads,
                wall_clock=wall_clock,
            )
            for name, record, most in zip(Kept._fields, RECORDS, ON_DISK, strict=True)
        )
    )


class NodeRecord:
    """A stage; ``FanoutRecord``, ``SessionRecord`` and ``SendRecord`` at once."""

    def __init__(self, *, kept: Kept, clock: Clock, wall_clock: WallClock, tasks: Tasks) -> None:
        self._clock = clock
        self._wall_clock = wall_clock
        self._tasks = tasks
        self.fanouts, self.sessions, self.sends = (
            Ring(name=name, record=record, segments=segments, spare=spare, wall_clock=wall_clock)
            for name, record, segments, spare in zip(
                Kept._fields, RECORDS, kept, in_memory(wall_clock), strict=True
            )
        )
        self._add_fanout = self.fanouts.add
        self._sessions_budget = Budget(clock=clock, wall_clock=wall_clock)
        self._sends_budget = Budget(clock=clock, wall_clock=wall_clock)

    @property
    def lost(self) -> int:
        """Records that could not be kept."""
        return self.fanouts.lost + self.sessions.lost + self.sends.lost

    async def start(self) -> None:
        for ring in (self.fanouts, self.sessions, self.sends):
            await ring.start()
        self._happened(EVERYBODY, 0, Happened.STARTED, "")
        self._tasks.spawn("write what is remembered", self._run())

    async def stop(self) -> None:
        self._tell_sums(all_of_them=True)
        await self._flush()

    async def _run(self) -> None:
        while True:
            await sleep(FLUSH_INTERVAL_S, clock=self._clock)
            self._tell_sums()
            await self._flush()

    async def _flush(self) -> None:
        for ring in (self.fanouts, self.sessions, self.sends):
            await ring.flush()

    def _tell_sums(self, *, all_of_them: bool = False) -> None:
        for one in self._sessions_budget.take_due(all_of_them=all_of_them):
            self.sessions.add(SESSION.pack(*self._sum_of_sessions(one)))
        for one in self._sends_budget.take_due(all_of_them=all_of_them):
            self.sends.add(SEND.pack(*self._sum_of_sends(one)))

    def _sum_of_sessions(self, one: Sum) -> OfSession:
        at_ms = self._wall_clock()
        return OfSession(one.user_id, at_ms, 0, Happened.SUMMED, _counted(one, at_ms))

    def _sum_of_sends(self, one: Sum) -> OfSend:
        at_ms = self._wall_clock()
        text = _counted(one, at_ms) + one.text
        return OfSend(key_of_sender(one.user_id), at_ms, one.code, Ended.SUMMED, text)

    # FanoutRecord

    def fanned(
        self, live: RememberedConversation, first_seq: int, last_seq: int, mode: Mode, sessions: int
    ) -> None:
        # For every message, in the worst case: as little as can be.
        key = live.record_key or _key(live)
        count = last_seq - first_seq + 1
        if not 0 < count <= _MOST_MESSAGES:
            count = _fitting(count)
        self._add_fanout(_pack_fanout(key, self._wall_clock(), last_seq, 0, sessions, count, mode))

    def handed_on(
        self, live: RememberedConversation, first_seq: int, last_seq: int, node_ids: Collection[int]
    ) -> None:
        nodes = 0
        for place, node_id in enumerate(list(node_ids)[:MAX_NAMED_NODES]):
            nodes |= node_id << (16 * place)
        key = live.record_key or _key(live)
        count = _fitting(last_seq - first_seq + 1)
        at_ms = self._wall_clock()
        self.fanouts.add(_pack_fanout(key, at_ms, last_seq, nodes, len(node_ids), count, Mode.HANDED_ON))

    # SessionRecord

    def came(self, user_id: int, session_id: int, device_id: str) -> None:
        self._happened_to(user_id, session_id, Happened.CAME, device_id)

    def gone(self, user_id: int, session_id: int, why: str) -> None:
        self._happened_to(user_id, session_id, Happened.GONE, why)

    def shed(self, user_id: int, session_id: int) -> None:
        self._happened_to(user_id, session_id, Happened.SHED, "")

    def _happened_to(self, user_id: int, session_id: int, what: Happened, text: str) -> None:
        if self._sessions_budget.keeps(user_id):
            self._happened(user_id, session_id, what, text)

    def _happened(self, user_id: int, session_id: int, what: Happened, text: str) -> None:
        self.sessions.add(SESSION.pack(user_id, self._wall_clock(), session_id, what, text.encode()))

    # SendRecord

    def refused(self, conversation_id: str, sender_id: int, client_msg_id: str, error: ImError) -> None:
        reason = (error.reason or error.message).encode()
        # Who sends too fast makes as many of these as their line carries.
        seldom = error.code == Code.RATE_LIMITED
        if not self._sends_budget.keeps(sender_id, code=error.code, text=reason, seldom=seldom):
            return
        key = key_of_send(conversation_id, sender_id, client_msg_id)
        self.sends.add(SEND.pack(key, self._wall_clock(), error.code, Ended.REFUSED, reason))

    def repeated(self, conversation_id: str, sender_id: int, client_msg_id: str) -> None:
        if not self._sends_budget.keeps(sender_id):
            return
        key = key_of_send(conversation_id, sender_id, client_msg_id)
        self.sends.add(SEND.pack(key, self._wall_clock(), 0, Ended.REPEATED, b""))

    # For whoever asks. All raise ``OSError``.

    async def fanouts_of(self, conversation_id: str, seq: int) -> list[Fanned]:
        """What was done with the batch that held this message."""

        def holds(record: object) -> bool:
            fanned = Fanned._make(record)  # type: ignore[arg-type]
            return fanned.last_seq - fanned.messages < seq <= fanned.last_seq

        found = await self.fanouts.find(key_of(conversation_id), keep=holds, limit=MAX_FOUND)
        return [Fanned._make(each) for each in found]

    async def sessions_of(self, user_id: int) -> list[OfSession]:
        """What happened to a user's sessions, and to all; by time."""
        own = await self.sessions.find(user_id, limit=MAX_FOUND)
        all_of = await self.sessions.find(EVERYBODY, limit=MAX_FOUND)
        found = [OfSession._make(each) for each in own + all_of]
        if (counted := self._sessions_budget.of_user(user_id)) is not None:
            found.append(self._sum_of_sessions(counted))
        return sorted(found, key=lambda each: each.at_ms)

    async def ends_of(self, conversation_id: str, sender_id: int, client_msg_id: str) -> list[OfSend]:
        """How often a send was refused, or answered again."""
        key = key_of_send(conversation_id, sender_id, client_msg_id)
        return [OfSend._make(each) for each in await self.sends.find(key, limit=MAX_FOUND)]

    async def sums_of_sender(self, sender_id: int) -> list[OfSend]:
        """What is remembered of a sender's sends that are not kept singly."""
        found = await self.sends.find(key_of_sender(sender_id), limit=MAX_SUMS)
        told = [OfSend._make(each) for each in found]
        if (counted := self._sends_budget.of_user(sender_id)) is not None:
            told.append(self._sum_of_sends(counted))
        return told


def _counted(one: Sum, at_ms: int) -> bytes:
    # The clock may have been set back meanwhile.
    return SUM.pack(one.count, min(max(0, at_ms - one.since_ms), 0xFFFFFFFF))


def _fitting(count: int) -> int:
    """What another node tells again may come in any order; then the record is of the last one."""
    return min(max(count, 1), _MOST_MESSAGES)


def _key(live: RememberedConversation) -> int:
    live.record_key = key_of(live.conversation_id)
    return live.record_key
