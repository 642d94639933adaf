"""Senders that do not stop, each with one message on its way, and the count afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet import reactor  # noqa: TID251 -- a real server, on real time
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from imd.core.message.content import Origin, system_body
from imd.core.message.group_commit import GroupCommit
from imd.core.message.live import LiveConversation
from imd.core.message.model import AppendResult, NewMessage, StoredKey
from imd.core.message.mongo import MongoMessageLog
from imd.core.message.sends import PendingSend, SendKey
from imd.ctl.cluster.engines import Mongod
from imd.kernel.clocks import system_wall_clock
from imd.kernel.errors import ImError, OutcomeUnknown
from imd.kernel.ids import Snowflake
from imd.kernel.tasks import Tasks
from imd.pb.message_pb2 import SystemNotice

_POLL_S = 0.02
#: Of failed sends, as a client would.
_RESEND_S = 0.2


def pause(delay_s: float) -> Deferred[None]:
    """Let real time pass."""
    return deferLater(reactor, delay_s, lambda: None)


async def until(true: Callable[[], bool], *, timeout_s: float = 40.0) -> None:
    """Return as soon as it is so."""
    for _ in range(int(timeout_s / _POLL_S)):
        if true():
            return
        await pause(_POLL_S)
    raise AssertionError("it has not come to be in time")


class Load:
    """One node that writes: a ``GroupCommit`` for each partition, and ``senders`` in each conversation.

    :param node_id: tells the nodes apart that write at the same time.
    """

    def __init__(self, log: MongoMessageLog, *, conversations: int = 6, node_id: int = 1) -> None:
        self.names = [f"load-{number}" for number in range(conversations)]
        self.promised: dict[tuple[str, str], int] = {}
        #: Appends of which nobody could say whether they took effect, and sends that stayed in doubt for long.
        self.unknown = 0
        self.delayed = 0
        self.failures = 0
        self.running = False
        self._log = log
        self._node_id = node_id
        self._ids = Snowflake(node_id=node_id, wall_clock=system_wall_clock)
        self._live = {name: LiveConversation(name) for name in self.names}
        self.tasks = Tasks()
        self._commits = [
            GroupCommit(
                log=_Noted(log, self),
                new_id=self._ids.next,
                clock=reactor,
                tasks=self.tasks,
                batch_size=200,
                settlement=self,
            )
            for _ in range(log.partitions)
        ]
        self._sent = 0
        self._unsettled = 0

    def start(self, *, senders: int = 5) -> None:
        """Begin to send."""
        self.running = True
        for name in self.names:
            for sender in range(1, senders + 1):
                self._next(name, sender)

    async def stop(self) -> None:
        """Send no more, and wait until every send has its final answer."""
        self.running = False
        await until(lambda: not self._unsettled)
        await self.tasks.stop()

    async def more(self, count: int) -> None:
        """Wait for so many promises more."""
        wanted = len(self.promised) + count
        await until(lambda: len(self.promised) >= wanted)

    def _next(self, name: str, sender: int) -> None:
        if self.running:
            self._sent += 1
            self._unsettled += 1
            self._send(SendKey(name, sender, f"{self._node_id}-{self._sent}"))

    def _send(self, key: SendKey) -> None:
        now_ms = system_wall_clock()
        origin = Origin(key.conversation_id, key.sender_id, "d1", key.client_msg_id, self._ids.next(), now_ms)
        send = PendingSend(
            key=key,
            body=system_body(SystemNotice(), origin),
            content_hash=b"h" * 16,
            server_msg_id=origin.server_msg_id,
            server_time_ms=now_ms,
            submitter=None,  # type: ignore[arg-type]
            recipient=None,
        )
        send.live = self._live[key.conversation_id]
        self._commits[self._log.partition_of(key.conversation_id)].submit(send)

    def _promise(self, key: SendKey, seq: int) -> None:
        known = self.promised.setdefault((key.conversation_id, key.client_msg_id), seq)
        if known != seq:
            raise AssertionError(f"{key} was promised {known} and {seq}")
        self._unsettled -= 1
        self._next(key.conversation_id, key.sender_id)

    def committed(self, sends: Sequence[PendingSend]) -> None:
        for send in sends:
            self._promise(send.key, send.seq)

    def found(self, send: PendingSend, stored: StoredKey) -> None:
        self._promise(send.key, stored.seq)

    def failed(self, send: PendingSend, error: ImError) -> None:
        """Sent again with the same key, as its client would."""
        self.failures += 1
        reactor.callLater(_RESEND_S, self._send, send.key)

    def refused(self, send: PendingSend, error: ImError) -> None:
        raise AssertionError(f"{send.key} was refused: {error}")

    async def outrun(self, sends: Sequence[PendingSend]) -> Mapping[PendingSend, ImError]:
        """See ``Settlement``: everybody may write here."""
        return {}

    def in_doubt(self, send: PendingSend) -> None:
        self.delayed += 1


class _Noted:
    """The log, with a count of the appends that were not answered."""

    def __init__(self, log: MongoMessageLog, load: Load) -> None:
        self._log = log
        self._load = load

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append(self, rows: Sequence[NewMessage]) -> AppendResult:
        try:
            return await self._log.append(rows)
        except OutcomeUnknown:
            self._load.unknown += 1
            raise


def stored_in(mongod: Mongod, names: Sequence[str]) -> dict[str, list[tuple[int, str]]]:
    """(seq, client_msg_id) of each conversation, by seq. Blocks."""
    found: dict[str, list[tuple[int, str]]] = {name: [] for name in names}
    with mongod.client() as client:
        for collection in client[mongod.database].list_collection_names():
            if collection.startswith("message_"):
                for document in client[mongod.database][collection].find({"c": {"$in": list(names)}}):
                    found[document["c"]].append((document["s"], document["k"]))
    return {name: sorted(rows) for name, rows in found.items()}


async def check(mongod: Mongod, *loads: Load) -> int:
    """Nothing that was promised is lost, doubled or elsewhere, and no seq is missing; how many there are."""
    found = await deferToThread(stored_in, mongod, loads[0].names)
    count = 0
    for name, rows in found.items():
        seqs = [seq for seq, _ in rows]
        if seqs != list(range(1, len(rows) + 1)):
            raise AssertionError(f"{name} has holes or doubles: {seqs}")
        places = {key: seq for seq, key in rows}
        if len(places) != len(rows):
            raise AssertionError(f"{name} has a message twice")
        for load in loads:
            for (conversation, key), seq in load.promised.items():
                if conversation == name and places.get(key) != seq:
                    raise AssertionError(f"{key} was promised {seq} in {name} and is at {places.get(key)}")
        count += len(rows)
    return count
