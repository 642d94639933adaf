"""A whole gateway, with a directory that answers when the test says so and a pipeline that only takes notes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from imd.bus.audit import AuditEntry
from imd.core.directory import Claims, ConversationEntry, Membership, Speaker
from imd.core.gateway.acks import Acks
from imd.core.gateway.authenticate import Authenticator, Greeting
from imd.core.gateway.drain import Drain
from imd.core.gateway.flush import FlushTick
from imd.core.gateway.gateway import Gateway, GatewayLimits
from imd.core.gateway.idle import IdleScan, IdleTimeouts
from imd.core.gateway.limits import Rates
from imd.core.gateway.quick import QuickRefusal
from imd.core.gateway.quotas import DailyLimits, DayCounts, Quotas
from imd.core.gateway.registry import Registry
from imd.core.gateway.replies import Replies
from imd.core.gateway.requests import Requests
from imd.core.gateway.second_look import SecondLook
from imd.core.gateway.session import QueueLimits, Session
from imd.core.gateway.traces import Traces
from imd.core.gateway.trail import RefusalTrail
from imd.core.message.content import ContentLimits
from imd.core.message.live import LiveConversation
from imd.core.message.ports import MessageLog
from imd.core.message.sends import PendingSend
from imd.core.screening.chain import Chain
from imd.core.screening.gate import Gate
from imd.kernel.errors import AuthFailed, ImError
from imd.kernel.ids import Snowflake
from imd.kernel.tasks import Tasks
from imd.pb.connection_pb2 import Connect, Limits
from imd.pb.envelope_pb2 import Envelope
from imd.pb.message_pb2 import TEXT, SendMessageReq
from imd.pb.sync_pb2 import SyncResp
from imd.wire.codec import encode
from imd.wire.framing import FrameDecoder
from imd.wire.outbound import Outbound
from tests.core.screening.checks import Reviews

NOW_MS = 1_750_000_000_000
HOUR_MS = 3_600_000
SPEC_QUEUE = QueueLimits(messages=100, bytes=1 << 20)
NO_RATES = Rates(0, 0, 0, 0, 0, 0)


class TurnClock(Clock):
    """Time that also passes in turns: what is due at the beginning of a turn, and nothing it asks for."""

    def turn(self) -> None:
        for call in [call for call in self.calls if call.getTime() <= self.seconds()]:
            if call.active():
                self.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)


class FakeLink:
    """A transport that the test looks into, and that is as slow as the test wants."""

    def __init__(self, world: World, address: str = "192.0.2.1") -> None:
        self._world = world
        self.address = address
        self.sent: list[Envelope] = []
        self.batches = 0
        self.paused = False
        self.closed = False
        self.aborted = False
        self.session: Session | None = world.gateway.open(self)

    # Link

    def send(self, batch: list[Outbound]) -> None:
        assert not self.closed, "something was sent after the close"
        self.batches += 1
        decoder = FrameDecoder(limit_bytes=1 << 22)
        for outbound in batch:
            self.sent += [Envelope.FromString(body) for body in decoder.feed(outbound.frames)]

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    # The client

    def says(self, *envelopes: Envelope) -> None:
        """All in one segment."""
        self.feed(b"".join(encode(envelope) for envelope in envelopes))

    def feed(self, data: bytes) -> None:
        session = self.live
        session.connection.feed_stream(data)
        self._world.gateway.received(session)

    def leaves(self) -> None:
        self._world.gateway.lost(self.live)

    @property
    def live(self) -> Session:
        assert self.session is not None
        return self.session

    def heard(self) -> list[str]:
        """The payloads that came, by name; the rest of the turn happens first."""
        self._world.turn()
        return [envelope.WhichOneof("payload") or "" for envelope in self.sent]

    def last(self) -> Envelope:
        self._world.turn()
        return self.sent[-1]


class FakeDirectory:
    """Tokens are ``user:device``; the rest is refused. While ``slow``, answers wait for ``answer``."""

    def __init__(self) -> None:
        self.slow = False
        self.refused: set[str] = set()
        self.expires_at_ms = NOW_MS + HOUR_MS
        self.scopes = frozenset({"message:send", "presence:update"})
        self.login_id = "login"
        self.ticket = b"ticket"
        self.speakers: list[Speaker] = []
        self.asked = 0
        self.conversations: list[ConversationEntry] = []
        self._waiting: list[Deferred[None]] = []

    async def verify(self, token: str, device_id: str) -> Claims:
        self.asked += 1
        if self.slow:
            turn: Deferred[None] = Deferred()
            self._waiting.append(turn)
            await turn
        user, _, device = token.partition(":")
        if token in self.refused or device != device_id or not user.isdigit():
            raise AuthFailed("not you")
        return Claims(int(user), device_id, self.expires_at_ms, self.scopes, self.login_id, self.ticket)

    def answer(self) -> None:
        waiting, self._waiting = self._waiting, []
        for turn in waiting:
            turn.callback(None)

    async def conversations_of(self, speaker: Speaker) -> Sequence[ConversationEntry]:
        self.speakers.append(speaker)
        return self.conversations


class Pipeline:
    """Everything behind the gateway, as far as it is asked."""

    def __init__(self) -> None:
        self.submitted: list[PendingSend] = []
        self.refused: list[ImError] = []
        self.departed_: list[Session] = []
        self.online: list[Session] = []
        self.sync_fails: Exception | None = None
        self.synced = SyncResp()
        self.held: Deferred[None] | None = None
        self.announcing: Deferred[None] | None = None
        self.conversation = LiveConversation("c")
        self.broadcasts = 0

    async def of_member(
        self, conversation_id: str, user_id: int, *, sparing: bool = False
    ) -> LiveConversation:
        return self.conversation

    def broadcast(self, live: LiveConversation, outbound: Outbound, besides: Session) -> None:
        self.broadcasts += 1

    def typing(self, live: LiveConversation, frames: bytes, sender: Session) -> None:
        """No other node is there."""

    def submit(self, send: PendingSend) -> None:
        self.submitted.append(send)

    async def find(
        self, conversation_id: str, sender_id: int, client_msg_ids: Sequence[str]
    ) -> dict[str, object]:
        """Nothing was stored before."""
        return {}

    def refuse(self, send: PendingSend, error: ImError) -> None:
        self.refused.append(error)
        send.submitter.failed(send, error)

    def arrived(self, session: Session, conversation_ids: Sequence[str]) -> None:
        """Live conversations hear of a session."""

    def left(self, session: Session, conversation_id: str) -> None:
        """Nor that one is out of a conversation."""

    def last_known(self, conversation_id: str) -> Membership | None:
        return self.conversation.membership

    def departed(self, session: Session) -> None:
        self.departed_.append(session)

    def came(self, session: Session) -> None:
        self.online.append(session)

    def gone(self, session: Session, why: str) -> None:
        self.online.remove(session)

    async def announced(self, session: Session) -> None:
        """The other nodes hear of a session."""
        if self.announcing is not None:
            await self.announcing

    async def sync(
        self, speaker: Speaker, request: object, *, entries: object = None, session: object = None
    ) -> SyncResp:
        if self.sync_fails is not None:
            raise self.sync_fails
        return self.synced

    async def history(self, user_id: int, request: object, *, session: object = None) -> bytes:
        if self.held is not None:
            await self.held
        return b""


NO_QUOTAS = DailyLimits()


class Recorded:
    """``Audit`` that keeps what it is told."""

    def __init__(self, entries: list[AuditEntry]) -> None:
        self._entries = entries

    def record(self, entry: AuditEntry) -> None:
        self._entries.append(entry)


class World:
    """A gateway and everything that its constructor wants."""

    def __init__(
        self,
        *,
        rates: Rates = NO_RATES,
        max_connections: int = 100,
        max_strangers: int = 50,
        max_devices: int = 3,
        queue: QueueLimits = SPEC_QUEUE,
        log: MessageLog | None = None,
        daily: DailyLimits = NO_QUOTAS,
        day_counts: DayCounts | None = None,
        traces: Traces | None = None,
    ) -> None:
        self.clock = TurnClock()
        self.now_ms = NOW_MS
        self.directory = FakeDirectory()
        self.pipeline = pipeline = Pipeline()
        behind: Any = pipeline
        directory: Any = self.directory
        clock: Any = self.clock
        self.tasks = Tasks()
        self.registry = Registry(rates=rates, clock=clock)
        self.replies = replies = Replies(registry=self.registry, live=behind, watching=behind, clock=clock)
        ids = Snowflake(node_id=0, wall_clock=self.wall_clock)
        authenticator = Authenticator(
            greeting=Greeting("core-0", lambda: "epoch", 30, 90, Limits(textBytes=1)),
            max_devices_per_user=max_devices,
            registry=self.registry,
            replies=replies,
            directory=directory,
            live=behind,
            catch_up=behind,
            watching=behind,
            ids=ids,
            clock=clock,
            wall_clock=self.wall_clock,
            second_look=None if log is None else SecondLook(log=log, clock=clock, tasks=self.tasks),
        )
        self.quotas = Quotas(
            limits=daily, clock=clock, wall_clock=self.wall_clock, tasks=self.tasks, shared=day_counts
        )
        #: What was refused, as it is written down.
        self.refused: list[AuditEntry] = []
        self.trail = RefusalTrail(audit=Recorded(self.refused), members=behind)
        self.acks = acks = Acks(quotas=self.quotas, trail=self.trail, clock=clock)
        self.reviews = Reviews()
        #: Empty: nothing that is said is judged.
        self.chain = Chain(steps=(), clock=clock)
        requests = Requests(
            submit=behind,
            gate=Gate(
                check=self.chain,
                submit=behind,
                log=behind,
                held=self.reviews,
                on_held=acks.held,
                record=lambda _: None,
                tasks=self.tasks,
            ),
            acks=acks,
            live=behind,
            fanout=behind,
            neighbours=behind,
            receipts=behind,
            catch_up=behind,
            recaller=behind,
            others={"refreshToken": authenticator.refresh_token},
            replies=replies,
            ids=ids,
            clock=clock,
            wall_clock=self.wall_clock,
            tasks=self.tasks,
            content_limits=ContentLimits(32 * 1024, 256 * 1024),
            trail=self.trail,
            quick=QuickRefusal(members=None, quotas=self.quotas, refusals=behind),
            traces=traces,
        )
        self.gateway = Gateway(
            limits=GatewayLimits(max_connections, max_strangers, 260 * 1024, queue),
            rates=rates,
            registry=self.registry,
            flush=FlushTick(clock=clock, interval_s=0.002),
            replies=replies,
            requests=requests,
            authenticator=authenticator,
            clock=clock,
            tasks=self.tasks,
        )
        self.idle = IdleScan(
            gateway=self.gateway,
            registry=self.registry,
            clock=clock,
            wall_clock=self.wall_clock,
            tasks=self.tasks,
            timeouts=IdleTimeouts(auth_s=10, idle_s=90, frame_s=10, token_grace_s=60),
        )

    def wall_clock(self) -> int:
        return self.now_ms

    def turn(self) -> None:
        """Let the flush tick and whatever else is due happen."""
        self.clock.advance(0)
        self.clock.advance(0.002)

    def link(self, address: str = "192.0.2.1") -> FakeLink:
        return FakeLink(self, address)

    def live(self, user_id: int = 1, device: str = "phone", address: str = "192.0.2.1") -> FakeLink:
        """A device that is logged in and has read its greeting."""
        link = self.link(address)
        link.says(connect(user_id, device))
        link.heard()
        link.sent.clear()
        return link

    def scan(self, seconds: float) -> None:
        """So many seconds of the idle scan."""
        for _ in range(int(seconds)):
            self.clock.advance(1)
            self.now_ms += 1000
            self.idle.scan()

    def drain(self, *, timeout_s: float = 120, remaining_share: float = 0.1) -> Deferred[None]:
        clock: Any = self.clock
        drain = Drain(
            gateway=self.gateway,
            registry=self.registry,
            clock=clock,
            timeout_s=timeout_s,
            remaining_share=remaining_share,
        )
        return Deferred.fromCoroutine(drain.stop())


def connect(user_id: int = 1, device: str = "phone", *, token: str = "") -> Envelope:
    return Envelope(connect=Connect(token=token or f"{user_id}:{device}", deviceId=device, platform="bot"))


def text(client_msg_id: str = "m1", *, said: str = "hello") -> Envelope:
    return Envelope(
        send=SendMessageReq(conversationId="c", clientMsgId=client_msg_id, type=TEXT, textContent=said)
    )
