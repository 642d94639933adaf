"""Several nodes in one process: one log, one bus, one registry, each node with its own pipeline and people."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from imd.bus.local import LocalBus
from imd.bus.port import Bus, BusRefused, NoResponder, Responder, Subscriber
from imd.core.directory import Speaker
from imd.core.message.append import Appender
from imd.core.message.content import Origin, content_hash, sent_body
from imd.core.message.fanout import Fanout
from imd.core.message.forward import Forwarding
from imd.core.message.forwarded import ForwardedHere
from imd.core.message.live import LiveConversations
from imd.core.message.neighbours import NodeNeighbours
from imd.core.message.receipts import Receipts
from imd.core.message.refuse import Refusals
from imd.core.message.sends import PendingSend, SendKey
from imd.core.message.still_held import StillHeld
from imd.core.message.told import ToldHere
from imd.core.nodes.heartbeat import Heartbeats, Readiness
from imd.core.nodes.memory import MemoryNodeRegistry, MemoryShardLeases
from imd.core.nodes.ownership import Ownership
from imd.core.permission.snapshots import MembershipCache
from imd.kernel.clocks import Clock
from imd.kernel.ids import Snowflake
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep
from imd.ops.tracing import NO_TRACER, Tracer
from tests.core.message.harness import GROUP_ID, Answers, Device, PipelineCase
from tests.core.message.players import Sessions
from tests.core.permission.standing import Standing

INTERVAL_S = 5.0


class Cable:
    """A node's way to the bus: ``cut`` is a node that is gone, ``frozen`` one that hears but does nothing.

    :ivar delay_s: how long what it hears is on its way.
    """

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self.delay_s = 0.0
        self.cut = False
        self.frozen = False
        self._backlog: list[Deferred[None]] = []
        self.asked: list[str] = []
        #: Subjects whose publications get lost on the way out, and those that are refused.
        self.losing: set[str] = set()
        self.refusing: set[str] = set()

    def thaw(self) -> None:
        self.frozen = False
        backlog, self._backlog = self._backlog, []
        for waiting in backlog:
            waiting.callback(None)

    async def _pass(self) -> bool:
        if self.delay_s:
            await sleep(self.delay_s, clock=self._clock)
        if self.frozen:
            waiting: Deferred[None] = Deferred()
            self._backlog.append(waiting)
            await waiting
        return not self.cut

    def publish(self, subject: str, payload: bytes) -> None:
        if subject in self.refusing:
            raise BusRefused("planted")
        if not self.cut and subject not in self.losing:
            self._bus.publish(subject, payload)

    def subscribe(self, subject: str, subscriber: Subscriber) -> None:
        async def heard(subject: str, payload: bytes) -> None:
            if await self._pass():
                await subscriber(subject, payload)

        self._bus.subscribe(subject, heard)

    def respond(self, subject: str, responder: Responder) -> None:
        async def asked(payload: bytes) -> bytes:
            if not await self._pass():
                return b"gone"
            return await responder(payload)

        self._bus.respond(subject, asked)

    async def request(self, subject: str, payload: bytes, *, timeout_s: float) -> bytes:
        self.asked.append(subject)
        answer = await self._bus.request(subject, payload, timeout_s=timeout_s)
        if answer == b"gone" or self.cut:
            # As NATS says it, when the connection of the only responder is closed.
            raise NoResponder(subject)
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)


class TownRoutes:
    """Who is connected where, as the test knows it."""

    def __init__(self, nodes: dict[int, ClusterNode], me: int) -> None:
        self._nodes = nodes
        self._me = me
        self.forgetful = False
        self.asks = 0

    @property
    def version(self) -> int:
        return sum(len(node.sessions.devices) for node in self._nodes.values())

    def nodes_of(self, user_ids: Collection[int]) -> frozenset[int] | None:
        return None if self.forgetful else self._find(user_ids)

    async def ask(self, user_ids: Sequence[int]) -> frozenset[int]:
        self.asks += 1
        return self._find(user_ids)

    def _find(self, user_ids: Collection[int]) -> frozenset[int]:
        return frozenset(
            node_id
            for node_id, node in self._nodes.items()
            if node_id != self._me and any(each.user_id in user_ids for each in node.sessions.devices)
        )


class ClusterNode:
    """One core node without its gateway."""

    def __init__(self, case: ClusterCase, node_id: int) -> None:
        self._case = case
        self.node_id = node_id
        clock = case.clock
        self.cable = Cable(case.bus, clock)
        bus: Any = self.cable
        self.tasks = Tasks()
        self.sessions = Sessions()
        self.answers = Answers()
        self.ids = Snowflake(node_id=node_id, wall_clock=case.wall_clock)
        self.heartbeats = Heartbeats(
            node_id=node_id,
            incarnation=f"life-{node_id}-{len(case.nodes)}",
            registry=case.registry,
            bus=bus,
            clock=clock,
            tasks=self.tasks,
            interval_s=INTERVAL_S,
            missed=3,
            is_on_bus=lambda: not self.cable.cut,
        )
        self.ownership = Ownership(
            nodes=self.heartbeats, leases=case.leases, clock=clock, tasks=self.tasks, interval_s=INTERVAL_S
        )
        self.readiness = Readiness(heartbeats=self.heartbeats, handed_over=self.ownership.handed_over)
        self.members = MembershipCache(directory=case.people, clock=clock, random=lambda: 0.5)
        self.live = LiveConversations(members=self.members, log=case.log, sessions=self.sessions)
        self.routes = TownRoutes(case.nodes, node_id)
        self.neighbours = NodeNeighbours(
            nodes=self.heartbeats, routes=self.routes, live=self.live, bus=bus, clock=clock, tasks=self.tasks
        )
        tracer = case.tracer(node_id)
        self.fanout = Fanout(
            live=self.live,
            tasks=self.tasks,
            clock=clock,
            thresholds=case.thresholds,
            tracer=tracer,
        )
        self.receipts = Receipts(
            live=self.live,
            log=case.log,
            cursors=case.cursors,
            sessions=self.sessions,
            neighbours=self.neighbours,
            tasks=self.tasks,
            clock=clock,
            max_members=50,
        )
        self.standing = Standing(members=self.members, directory=case.people, clock=clock, tasks=self.tasks)
        self.refusals = Refusals(
            logs=[case.log],
            partition_of=lambda _: 0,
            tasks=self.tasks,
            clock=clock,
            is_held=StillHeld(nodes=self.heartbeats, bus=bus).is_held,
        )
        self.appender = Appender(
            live=self.live,
            fanout=self.fanout,
            neighbours=self.neighbours,
            receipts=self.receipts,
            refusals=self.refusals,
            stand_in=self.standing.stand_in,
            logs=[case.log],
            partition_of=lambda _: 0,
            new_id=self.ids.next,
            tasks=self.tasks,
            clock=clock,
            batch_size=200,
            queue_size=1000,
            conversation_per_s=0,
        )
        self.forwarding = Forwarding(
            nodes=self.heartbeats,
            owner_of=self.ownership.owner_of,
            appender=self.appender,
            bus=bus,
            clock=clock,
            tasks=self.tasks,
            first_id=node_id * 1_000_000,
            max_forwarded=1000,
        )
        self.stages: list[Any] = [
            self.heartbeats,
            self.ownership,
            ForwardedHere(
                node_id=node_id,
                appender=self.appender,
                bus=bus,
                clock=clock,
                overslept=lambda: self.heartbeats.overslept,
                tracer=tracer,
            ),
            self.forwarding,
            ToldHere(
                node_id=node_id,
                live=self.live,
                fanout=self.fanout,
                receipts=self.receipts,
                sessions=self.sessions,
                bus=bus,
                tasks=self.tasks,
                tracer=tracer,
            ),
            self.readiness,
        ]

    async def start(self) -> None:
        for stage in self.stages:
            await stage.start()

    async def leave(self) -> None:
        """As a node stops that drains."""
        for stage in reversed(self.stages):
            await stage.stop()
        await self.tasks.stop()

    async def die(self) -> None:
        """kill -9."""
        self.cable.cut = True
        await self.tasks.stop()

    def connect(self, user_id: int, device_id: str = "phone") -> Device:
        device = Device(user_id, device_id)
        self.sessions.devices.append(device)
        entries = self._case.wait(self._case.people.conversations_of(Speaker(user_id, b"")))
        self.live.arrived(device, [entry.conversation_id for entry in entries])
        return device

    def say(self, device: Device, client_msg_id: str, conversation_id: str = GROUP_ID) -> None:
        """Hand a text in, the way the gateway does."""
        self.forwarding.submit(self.write(device, client_msg_id, conversation_id))

    def write(self, device: Device, client_msg_id: str, conversation_id: str = GROUP_ID) -> PendingSend:
        """A text, not handed in yet."""
        case = self._case
        request = case.request(client_msg_id, conversation_id, client_msg_id)
        key = SendKey(conversation_id, device.user_id, client_msg_id)
        server_msg_id, now_ms = self.ids.next(), case.wall_clock()
        origin = Origin(*key[:2], device.device_id, client_msg_id, server_msg_id, now_ms)
        return PendingSend(
            key=key,
            body=sent_body(request, origin),
            content_hash=content_hash(request),
            server_msg_id=server_msg_id,
            server_time_ms=now_ms,
            submitter=self.answers,
            recipient=device,
        )


class ClusterCase(PipelineCase):
    """``self.nodes[1]`` and ``self.nodes[2]``, both up and settled."""

    def setUp(self) -> None:
        super().setUp()
        self.bus = LocalBus(clock=self.clock)
        self.wait(self.bus.start())
        self.registry = MemoryNodeRegistry(clock=self.clock, interval_s=INTERVAL_S)
        self.leases = MemoryShardLeases(clock=self.clock, interval_s=INTERVAL_S)
        self.nodes: dict[int, ClusterNode] = {}
        self.add(1)
        self.add(2)
        self.pass_time(1)

    def tracer(self, node_id: int) -> Tracer:
        """Where a node's spans go."""
        return NO_TRACER

    def add(self, node_id: int) -> ClusterNode:
        node = ClusterNode(self, node_id)
        self.nodes[node_id] = node
        self.wait(node.start())
        self.addCleanup(lambda: self.wait(node.tasks.stop()))
        return node

    def owner(self, conversation_id: str = GROUP_ID) -> ClusterNode:
        owners = {
            node.ownership.owner_of(conversation_id) for node in self.nodes.values() if not node.cable.cut
        }
        self.assertEqual(len(owners), 1, "the nodes do not agree")
        return self.nodes[owners.pop()]

    def other(self, conversation_id: str = GROUP_ID) -> ClusterNode:
        owner = self.owner(conversation_id)
        return next(node for node in self.nodes.values() if node is not owner)
