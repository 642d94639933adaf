"""The members at other nodes: what is stored, and what moves, is told to the nodes where they are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from twisted.logger import Logger

from imd.bus.port import Bus
from imd.bus.subjects import message_deliver
from imd.core.explain.ports import NO_RECORD, FanoutRecord
from imd.core.message.forward_codec import DistantDevice
from imd.core.message.live import LiveConversation, LiveConversations
from imd.core.message.model import CursorRow
from imd.core.message.recipients import Recipient
from imd.core.message.retelling import Retelling
from imd.core.message.sends import PendingSend
from imd.core.nodes.ports import LiveNodes
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError
from imd.kernel.tasks import Tasks
from imd.kernel.trace_context import TraceContext, carrying
from imd.ops.tracing import Span
from imd.pb.bus_pb2 import ToldConversation, ToldConversations, ToldMessage

#: Conversations with more members are told to every node: some member is connected to nearly each,
#: and looking the others up would cost more than telling them.
EVERYWHERE_MEMBERS = 200
#: Bytes in one message on the bus, well below what it takes; a longer message travels alone.
MAX_TOLD_BYTES = 512 * 1024
#: What waits for the routes of one conversation's members; above, the sweep finds the rest.
MAX_HELD = 1_000


class Neighbours(Protocol):
    """Tells other nodes. Never fails, never waits: what gets lost is told again, or found by their sweep."""

    @property
    def untold(self) -> int:
        """Conversations of which somebody is still to be told."""
        ...

    def deliver(self, sends: Sequence[PendingSend]) -> None:
        """These became durable, in this order."""
        ...

    def hint(self, live: LiveConversation, last_seq: int) -> None:
        """There is something up to here."""
        ...

    def typing(self, live: LiveConversation, frames: bytes, sender: Recipient) -> None:
        """Somebody types: the frame that says so."""
        ...

    def cursors(self, live: LiveConversation, rows: Iterable[CursorRow]) -> None:
        """Somebody has come further."""
        ...


class NoNeighbours:
    """One node alone."""

    @property
    def untold(self) -> int:
        return 0

    def deliver(self, sends: Sequence[PendingSend]) -> None:
        """Nobody else is there."""

    def hint(self, live: LiveConversation, last_seq: int) -> None:
        """Nobody else is there."""

    def typing(self, live: LiveConversation, frames: bytes, sender: Recipient) -> None:
        """Nobody else is there."""

    def cursors(self, live: LiveConversation, rows: Iterable[CursorRow]) -> None:
        """Nobody else is there."""


class KnownRoutes(Protocol):
    """Where users are connected; other nodes only."""

    @property
    def version(self) -> int:
        """Rises with every change after which ``nodes_of`` may answer differently."""
        ...

    def nodes_of(self, user_ids: Collection[int]) -> frozenset[int] | None:
        """From memory; None: somebody is not remembered."""
        ...

    async def ask(self, user_ids: Sequence[int]) -> frozenset[int]:
        """Never fails: where nothing can be learned, every node that is alive."""
        ...


class NodeNeighbours:
    """``Neighbours`` over the bus: one message a node and batch (spec 7.4)."""

    _logger = Logger()

    def __init__(
        self,
        *,
        nodes: LiveNodes,
        routes: KnownRoutes,
        live: LiveConversations,
        bus: Bus,
        clock: Clock,
        tasks: Tasks,
        record: FanoutRecord = NO_RECORD,
    ) -> None:
        self._record = record
        self._nodes = nodes
        self._routes = routes
        self._live = live
        self._bus = bus
        self._tasks = tasks
        self._held: dict[str, list[ToldConversation]] = {}
        self._retelling = Retelling(bus=bus, clock=clock, tasks=tasks)

    @property
    def untold(self) -> int:
        return len(self._held) + len(self._retelling)

    def missed(self) -> None:
        """The bus has had a gap: what was sent before it may be lost."""
        self._retelling.missed()

    def deliver(self, sends: Sequence[PendingSend]) -> None:
        if not self._nodes.others:
            return
        by_conversation: dict[LiveConversation, list[PendingSend]] = {}
        for send in sends:
            by_conversation.setdefault(send.live, []).append(send)
        outbox: dict[int, list[ToldConversation]] = {}
        spans: list[Span] = []
        for live, batch in by_conversation.items():
            publishing = [send.traced.publishing() for send in batch if send.traced is not None]
            is_told = [self._put(live, told, outbox) for told in _told_messages(live.conversation_id, batch)]
            if any(is_told):
                spans += publishing
        self._send(outbox, spans[0].context if spans else None)
        for span in spans:
            span.end()

    def hint(self, live: LiveConversation, last_seq: int) -> None:
        self._tell(live, ToldConversation(conversationId=live.conversation_id, hintSeq=last_seq))

    def typing(self, live: LiveConversation, frames: bytes, sender: Recipient) -> None:
        self._tell(
            live,
            ToldConversation(
                conversationId=live.conversation_id,
                typing=frames,
                typingUserId=sender.user_id,
                typingDeviceId=sender.device_id,
            ),
        )

    def cursors(self, live: LiveConversation, rows: Iterable[CursorRow]) -> None:
        if not self._nodes.others:
            return
        told = ToldConversation(conversationId=live.conversation_id)
        for row in rows:
            told.cursors.add(userId=row.user_id, deliveredSeq=row.delivered_seq, readSeq=row.read_seq)
        self._tell(live, told)

    def _tell(self, live: LiveConversation, told: ToldConversation) -> None:
        if self._nodes.others:
            outbox: dict[int, list[ToldConversation]] = {}
            self._put(live, told, outbox)
            self._send(outbox)

    def _put(
        self, live: LiveConversation, told: ToldConversation, outbox: dict[int, list[ToldConversation]]
    ) -> bool:
        """Into the outboxes of the nodes concerned, or behind what waits until these are known; false: there are
        none."""
        held = self._held.get(live.conversation_id)
        if held is not None:
            if len(held) < MAX_HELD:
                held.append(told)
            return True
        nodes = self._nodes_of(live)
        if nodes is None:
            self._held[live.conversation_id] = [told]
            self._tasks.spawn("find the neighbours", self._put_held(live.conversation_id))
            return True
        for node_id in nodes:
            outbox.setdefault(node_id, []).append(told)
        if nodes and told.messages:
            self._record.handed_on(live, told.messages[0].seq, told.messages[-1].seq, nodes)
        return bool(nodes)

    def _nodes_of(self, live: LiveConversation) -> frozenset[int] | None:
        membership = live.membership
        if membership is None:
            return None
        if len(membership.roles) > EVERYWHERE_MEMBERS:
            return self._nodes.others
        if live.nodes is None or live.nodes_version != self._routes.version:
            live.nodes_version = self._routes.version
            live.nodes = self._routes.nodes_of(membership.roles.keys())
        return live.nodes

    async def _put_held(self, conversation_id: str) -> None:
        nodes = self._nodes.others
        live = self._live.known(conversation_id)
        try:
            live = await self._live.load_or_assume(conversation_id)
            if live is not None and live.membership is not None:
                known = self._nodes_of(live)
                nodes = known if known is not None else await self._routes.ask(list(live.membership.roles))
        except ImError as error:
            # Each node knows who of its own is concerned, or finds out later.
            self._logger.warn("who is in {id} is not known ({why}); every node is told",
                              id=conversation_id, why=error)  # fmt: skip
        finally:
            held = self._held.pop(conversation_id)
        for told in held:
            if live is not None and nodes and told.messages:
                self._record.handed_on(live, told.messages[0].seq, told.messages[-1].seq, nodes)
        self._send(dict.fromkeys(nodes, held))

    def _send(
        self, outbox: Mapping[int, Sequence[ToldConversation]], trace: TraceContext | None = None
    ) -> None:
        """:param trace: of the first that has one; each message brings its own, and this is for the bus itself."""
        for node_id, told in outbox.items():
            for part in _parts(told):
                payload = ToldConversations(conversations=part).SerializeToString()
                try:
                    with carrying(trace):
                        self._bus.publish(message_deliver(node_id), payload)
                except ImError as error:
                    self._logger.debug("node {id} is not told yet: {error}", id=node_id, error=error)
                    self._retelling.refused(node_id, part)
                else:
                    self._retelling.told(node_id, part)


def _told_messages(conversation_id: str, sends: Sequence[PendingSend]) -> list[ToldConversation]:
    """One conversation's part of a batch, cut where it would get too long."""
    told = [ToldConversation(conversationId=conversation_id)]
    size_bytes = 0
    for send in sends:
        if size_bytes > MAX_TOLD_BYTES:
            told.append(ToldConversation(conversationId=conversation_id))
            size_bytes = 0
        size_bytes += len(send.stored_body)
        _describe(told[-1].messages.add(), send)
    return told


def _describe(message: ToldMessage, send: PendingSend) -> None:
    message.seq = send.seq
    message.senderId = send.sender_id
    message.body = send.stored_body
    sender = send.recipient
    if isinstance(sender, DistantDevice):
        # Any node may have a device of that name only if it is this one.
        message.exceptDeviceId = sender.device_id
    if send.traced is not None:
        message.traceparent = send.traced.onward.traceparent()
    if send.revokes is not None:
        message.revokesSeq, message.revokedBody = send.revokes


def _parts(told: Sequence[ToldConversation]) -> Iterable[list[ToldConversation]]:
    part: list[ToldConversation] = []
    size_bytes = 0
    for each in told:
        size = each.ByteSize()
        if part and size_bytes + size > MAX_TOLD_BYTES:
            yield part
            part, size_bytes = [], 0
        part.append(each)
        size_bytes += size
    if part:
        yield part
