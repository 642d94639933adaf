"""The message pipeline on a real store in a temporary folder, with everything around it played by the test."""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.core.directory import Speaker
from imd.core.explain.ports import NO_RECORD
from imd.core.message.append import Appender
from imd.core.message.catch_up import CatchUp
from imd.core.message.content import Origin, content_hash, sent_body
from imd.core.message.fanout import Fanout, HintThresholds
from imd.core.message.first_words import FirstWords
from imd.core.message.live import LiveConversations
from imd.core.message.neighbours import NoNeighbours
from imd.core.message.recall import Recaller
from imd.core.message.receipts import Receipts
from imd.core.message.refuse import Refusals
from imd.core.message.sends import PendingSend, SendKey, Submitter
from imd.core.message.sqlite import SqliteCursors, SqliteMessageLog, message_database
from imd.core.message.sweep import TailSweep
from imd.core.permission.snapshots import MembershipCache
from imd.kernel.ids import Snowflake
from imd.kernel.tasks import Tasks
from imd.pb.message_pb2 import TEXT, Message, SendMessageReq
from tests.contract.driving import drive
from tests.core.message.faulty import FaultyCursors, FaultyLog
from tests.core.message.players import (
    ANN,
    BOB,
    CY,
    DAN,
    GROUP_ID,
    Answers,
    Device,
    People,
    Sessions,
    Told,
)
from tests.core.permission.standing import Standing
from tests.core.screening.checks import Reviews

__all__ = [
    "ANN",
    "BOB",
    "CY",
    "DAN",
    "GROUP_ID",
    "LONG_S",
    "Answers",
    "Device",
    "PipelineCase",
    "Told",
]

T = TypeVar("T")

SWEEP_S = 20.0
LONG_S = 60.0


class Pipeline:
    """One life of the process; ``options`` go to the appender."""

    def __init__(self, case: PipelineCase, **options: Any) -> None:
        self.tasks = Tasks()
        self.members = MembershipCache(directory=case.people, clock=case.clock, random=lambda: 0.5)
        self.live = LiveConversations(
            members=self.members,
            log=case.log,
            sessions=case.sessions,
            max_live=options.pop("max_live", 1000),
        )
        self.fanout = Fanout(
            live=self.live,
            tasks=self.tasks,
            clock=case.clock,
            thresholds=options.pop("hint", case.thresholds),
            node_count=options.pop("node_count", lambda: 1),
            record=options.pop("record", NO_RECORD),
        )
        self.first_words = FirstWords(
            live=self.live, fanout=self.fanout, neighbours=NoNeighbours(), clock=case.clock, tasks=self.tasks
        )
        self.receipts = Receipts(
            live=self.live,
            log=case.log,
            cursors=case.cursors,
            sessions=case.sessions,
            neighbours=NoNeighbours(),
            tasks=self.tasks,
            clock=case.clock,
            max_members=5,
        )
        self.standing = Standing(
            members=self.members, directory=case.people, clock=case.clock, tasks=self.tasks
        )
        self.refusals = Refusals(
            logs=[case.log], partition_of=lambda _: 0, tasks=self.tasks, clock=case.clock
        )
        self.appender = Appender(
            live=self.live,
            fanout=self.fanout,
            neighbours=NoNeighbours(),
            receipts=self.receipts,
            refusals=self.refusals,
            stand_in=self.standing.stand_in,
            logs=[case.log],
            partition_of=lambda _: 0,
            new_id=case.ids.next,
            tasks=self.tasks,
            clock=case.clock,
            batch_size=options.pop("batch_size", 200),
            queue_size=options.pop("queue_size", 1000),
            conversation_per_s=options.pop("conversation_per_s", 0),
            **options,
        )
        self.catch_up = CatchUp(
            live=self.live, directory=case.people, log=case.log, cursors=case.cursors, held=case.reviews
        )
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
        self.reviews = Reviews()
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
        entries = self.wait(self.people.conversations_of(Speaker(user_id, b"")))
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
