"""The message pipeline on a real store in a temporary folder, with everything around it played by the test."""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.core.directory import GROUP, MEMBER, OWNER, P2P, Claims, ConversationEntry, Membership
from imd.core.directory_bus import MembershipCache
from imd.core.message.append import Appender
from imd.core.message.catch_up import CatchUp
from imd.core.message.content import Origin, content_hash, sent_body
from imd.core.message.fanout import Fanout, HintThresholds
from imd.core.message.live import LiveConversations
from imd.core.message.model import AppendResult, CursorRow, NewMessage, Page, StoredKey
from imd.core.message.recall import Recaller
from imd.core.message.receipts import Receipts
from imd.core.message.sends import PendingSend, SendKey, Submitter
from imd.core.message.sqlite import SqliteCursors, SqliteMessageLog, message_database
from imd.core.message.sweep import TailSweep
from imd.kernel.errors import Forbidden, ImError, OutcomeUnknown, ServerBusy
from imd.kernel.ids import Snowflake, direct_conversation_id
from imd.kernel.tasks import Tasks
from imd.pb.envelope_pb2 import Envelope
from imd.pb.message_pb2 import TEXT, Message, SendMessageReq
from imd.wire.framing import FrameDecoder
from imd.wire.outbound import Outbound
from tests.contract.driving import drive

T = TypeVar("T")

ANN, BOB, CY, DAN = 1, 2, 3, 4
GROUP_ID = "g_1"
SWEEP_S = 20.0
LONG_S = 60.0


class People:
    """The directory, as plain dicts; ``gate`` holds look-ups up, ``busy`` fails them."""

    def __init__(self) -> None:
        self.known: dict[str, Membership] = {}
        self.gate: Deferred[None] | None = None
        self.busy = False
        self.blocked: set[int] = set()

    def put(self, conversation_id: str, *user_ids: int, kind: int = GROUP) -> None:
        old = self.known.get(conversation_id)
        version = old.version + 1 if old is not None else 1
        roles = dict.fromkeys(user_ids, MEMBER)
        if kind == GROUP:
            roles[user_ids[0]] = OWNER
        self.known[conversation_id] = Membership(conversation_id, kind, version, roles)

    async def _wait(self) -> None:
        if self.gate is not None:
            waiting: Deferred[None] = Deferred()
            self.gate.addCallback(lambda _: waiting.callback(None))
            await waiting
        if self.busy:
            raise ServerBusy("planted")

    async def membership(self, conversation_id: str) -> Membership | None:
        await self._wait()
        return self.known.get(conversation_id)

    async def open_direct(self, user_id: int, peer_user_id: int) -> str:
        await self._wait()
        if user_id in self.blocked:
            raise Forbidden("planted")
        conversation_id = direct_conversation_id(user_id, peer_user_id)
        if conversation_id not in self.known:
            self.put(conversation_id, user_id, peer_user_id, kind=P2P)
        return conversation_id

    async def conversations_of(self, user_id: int) -> Sequence[ConversationEntry]:
        return [
            ConversationEntry(each.conversation_id, each.kind, 0, "", len(each.roles))
            for each in self.known.values()
            if user_id in each.roles
        ]

    async def visible(self, user_id: int, target_ids: Sequence[int]) -> frozenset[int]:
        return frozenset(target_ids)

    async def verify(self, token: str, device_id: str) -> Claims:
        raise NotImplementedError


class Device:
    """A recipient that keeps what it is pushed."""

    def __init__(self, user_id: int, device_id: str) -> None:
        self.user_id = user_id
        self.device_id = device_id
        self.outbounds: list[Outbound] = []
        self.breaks = False

    def push(self, outbound: Outbound) -> None:
        if self.breaks:
            raise RuntimeError("planted")
        self.outbounds.append(outbound)

    @property
    def envelopes(self) -> list[Envelope]:
        found: list[Envelope] = []
        for outbound in self.outbounds:
            found += map(Envelope.FromString, FrameDecoder(limit_bytes=1 << 22).feed(outbound.frames))
        return found

    def messages(self, conversation_id: str = GROUP_ID) -> list[Message]:
        return [
            each.deliver.message
            for each in self.envelopes
            if each.deliver.message.conversationId == conversation_id
        ]

    def seqs(self, conversation_id: str = GROUP_ID) -> list[int]:
        return [message.seq for message in self.messages(conversation_id)]

    @property
    def hints(self) -> list[int]:
        return [each.hint.lastSeq for each in self.envelopes if each.WhichOneof("payload") == "hint"]

    @property
    def receipts(self) -> list[tuple[int, int, int]]:
        return [
            (cursor.userId, cursor.deliveredSeq, cursor.readSeq)
            for each in self.envelopes
            for cursor in each.receiptNotice.cursors
        ]


class Sessions:
    """Who is connected."""

    def __init__(self) -> None:
        self.devices: list[Device] = []

    def of_user(self, user_id: int) -> Sequence[Device]:
        return [device for device in self.devices if device.user_id == user_id]


class Told(NamedTuple):
    """One answer to a submitter."""

    what: str
    client_msg_id: str
    seq: int = 0
    code: int = 0


class Answers:
    """A submitter that keeps what it is told; ``breaks`` makes it fail at STORED."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.breaks = False

    def accepted(self, send: PendingSend) -> None:
        self.told.append(Told("accepted", send.key.client_msg_id))

    def stored(self, send: PendingSend, *, duplicate: bool) -> None:
        if self.breaks:
            raise RuntimeError("planted")
        self.told.append(Told("duplicate" if duplicate else "stored", send.key.client_msg_id, send.seq))

    def failed(self, send: PendingSend, error: ImError) -> None:
        self.told.append(Told("failed", send.key.client_msg_id, code=int(error.code)))

    def delayed(self, send: PendingSend) -> None:
        self.told.append(Told("delayed", send.key.client_msg_id))

    def of(self, client_msg_id: str) -> list[str]:
        return [told.what for told in self.told if told.client_msg_id == client_msg_id]

    def seqs(self) -> list[int]:
        return [told.seq for told in self.told if told.what == "stored"]


class FaultyLog:
    """The real log, with trouble: see the attributes. ``faults`` are used up, one an append."""

    def __init__(self, log: SqliteMessageLog) -> None:
        self.real = log
        #: busy, unknown_before, unknown_after, unknown_half, broken, foreign, or "" for none.
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


class Pipeline:
    """One life of the process; ``options`` go to the appender."""

    def __init__(self, case: PipelineCase, **options: Any) -> None:
        self.tasks = Tasks()
        self.members = MembershipCache(directory=case.people, clock=case.clock, random=lambda: 0.5)
        self.live = LiveConversations(
            members=self.members,
            directory=case.people,
            log=case.log,
            sessions=case.sessions,
            max_live=options.pop("max_live", 1000),
        )
        self.fanout = Fanout(
            live=self.live,
            tasks=self.tasks,
            clock=case.clock,
            thresholds=options.pop("hint", case.thresholds),
        )
        self.receipts = Receipts(
            live=self.live,
            cursors=case.cursors,
            sessions=case.sessions,
            tasks=self.tasks,
            clock=case.clock,
            max_members=5,
        )
        self.appender = Appender(
            live=self.live,
            fanout=self.fanout,
            receipts=self.receipts,
            logs=[case.log],
            partition_of=lambda _: 0,
            tasks=self.tasks,
            clock=case.clock,
            batch_size=options.pop("batch_size", 200),
            queue_size=options.pop("queue_size", 1000),
            conversation_per_s=options.pop("conversation_per_s", 0),
            **options,
        )
        self.catch_up = CatchUp(live=self.live, directory=case.people, log=case.log, cursors=case.cursors)
        self.recaller = Recaller(
            live=self.live, log=case.log, ids=case.ids, wall_clock=case.wall_clock, window_s=120.0
        )
        self.sweep = TailSweep(
            live=self.live,
            log=case.log,
            fanout=self.fanout,
            tasks=self.tasks,
            clock=case.clock,
            interval_s=SWEEP_S,
        )


class PipelineCase(SynchronousTestCase):
    """A pipeline, a group of Ann, Bob and Cy, and whoever a test connects."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.people = People()
        self.people.put(GROUP_ID, ANN, BOB, CY)
        self.sessions = Sessions()
        self.answers = Answers()
        self.ids = Snowflake(node_id=1, wall_clock=self.wall_clock)
        self.thresholds = HintThresholds(
            members_online=50, body_bytes=1000, fanout_s=0.2, small_group_members=3
        )
        folder = Path(self.mktemp())
        folder.mkdir()
        database = message_database(folder=folder, threads=None)
        self.wait(database.start())
        self.addCleanup(lambda: self.wait(database.stop()))
        self.log = FaultyLog(SqliteMessageLog(database=database))
        self.cursors = FaultyCursors(SqliteCursors(database=database))
        self.start()
        self.addCleanup(lambda: self.wait(self.now.tasks.stop()))

    def wall_clock(self) -> int:
        return 1_800_000_000_000 + int(self.clock.seconds() * 1000)

    def start(self, **options: Any) -> None:
        """A new life on the same store: everything in memory is gone."""
        self.now = Pipeline(self, **options)

    def restart(self) -> None:
        self.wait(self.now.tasks.stop())
        self.start()

    def wait(self, work: Coroutine[Deferred[Any], Any, T]) -> T:
        return drive(self.clock, work)

    def pass_time(self, seconds: float, step_s: float = 0.05) -> None:
        self.clock.pump([step_s] * round(seconds / step_s))

    def connect(self, user_id: int, device_id: str = "phone") -> Device:
        device = Device(user_id, device_id)
        self.sessions.devices.append(device)
        entries = self.wait(self.people.conversations_of(user_id))
        self.now.live.arrived(device, [entry.conversation_id for entry in entries])
        return device

    def disconnect(self, device: Device) -> None:
        self.sessions.devices.remove(device)
        self.now.live.departed(device)

    def change(self, conversation_id: str, *user_ids: int) -> None:
        """The members become these, and this node is told."""
        self.people.put(conversation_id, *user_ids)
        self.now.members.invalidate(conversation_id, self.people.known[conversation_id].version)

    def request(self, text: str, conversation_id: str, client_msg_id: str) -> SendMessageReq:
        return SendMessageReq(
            conversationId=conversation_id, clientMsgId=client_msg_id, type=TEXT, textContent=text
        )

    def send(
        self,
        client_msg_id: str,
        *,
        sender: int = ANN,
        device: Device | None = None,
        conversation_id: str = GROUP_ID,
        text: str = "",
        submitter: Submitter | None = None,
        **more: Any,
    ) -> PendingSend:
        """Hand a text in, the way the gateway does."""
        request = self.request(text or client_msg_id, conversation_id, client_msg_id)
        sender_id = device.user_id if device is not None else sender
        key = SendKey(conversation_id, sender_id, client_msg_id)
        server_msg_id = self.ids.next()
        now_ms = self.wall_clock()
        send = PendingSend(
            key=key,
            body=sent_body(request, Origin(*key[:2], "phone", client_msg_id, server_msg_id, now_ms)),
            content_hash=content_hash(request),
            server_msg_id=server_msg_id,
            server_time_ms=now_ms,
            submitter=submitter or self.answers,
            recipient=device,
            **more,
        )
        self.now.appender.submit(send)
        return send

    def stored(self, conversation_id: str = GROUP_ID) -> list[tuple[int, str]]:
        """(seq, clientMsgId) of everything in the log."""
        page = self.wait(
            self.log.real.page(conversation_id, from_seq=1, limit=100_000, max_bytes=1 << 30, backward=False)
        )
        messages = [(each.seq, Message.FromString(each.body)) for each in page.messages]
        self.assertEqual([seq for seq, _ in messages], [message.seq for _, message in messages])
        return [(seq, message.clientMsgId) for seq, message in messages]

    def assert_contiguous(self, conversation_id: str = GROUP_ID) -> None:
        seqs = [seq for seq, _ in self.stored(conversation_id)]
        self.assertEqual(seqs, list(range(1, len(seqs) + 1)))
