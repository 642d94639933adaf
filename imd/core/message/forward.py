"""Sends whose conversation another node owns: handed to it in batches, in order, and taken back if it fails.

Sends of one conversation never overtake each other: while some are on their way to one owner, the
next follow them there, or wait. An owner that does not answer is replaced by this node itself,
which looks up what may be stored before it writes: the unique indexes make that safe.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from google.protobuf.message import DecodeError
from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from imd.bus.port import Bus, BusFailure, BusRefused, NoResponder
from imd.bus.subjects import message_append, message_settled
from imd.core.message.append import Appender
from imd.core.message.forward_codec import encode_send, error_of_outcome
from imd.core.message.sends import PendingSend, trace_of
from imd.core.nodes.ports import LiveNodes
from imd.kernel.clocks import Clock
from imd.kernel.errors import ServerBusy
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import TimeoutError, sleep
from imd.kernel.trace_context import carrying
from imd.pb.bus_pb2 import ForwardedSends, ForwardedTaken, SendOutcome, SendOutcomes

#: Sends in one batch, as in one commit; and bytes, well below what the bus takes.
MAX_BATCH = 200
MAX_BATCH_BYTES = 512 * 1024
#: An owner that is alive takes a batch in a millisecond; one that is paused must not hold senders up.
TAKE_TIMEOUT_S = 2.0
#: From taken to settled. The owner's own four tries may take 5 s each and wait 9 s in between; then it says
#: DELAYED. One that is gone or paused is found out sooner, by its not taking any more.
SETTLE_TIMEOUT_S = 35.0
#: After DELAYED: the owner's store is down; asking again would not help for a while.
DELAYED_TIMEOUT_S = 60.0
#: An owner that failed is not asked for so long, doubled each time it fails again, up to the last.
AVOID_S = 2.0
MAX_AVOID_S = 30.0
#: What this node itself has under way is waited for so long before what came later goes to the next owner;
#: when the store hangs, it stays here instead.
LEAVE_TIMEOUT_S = 5.0
#: How often what waits is looked at.
_TICK_S = 0.5
_HELD_POLL_S = 0.02


class _Forward:
    """One send that is another node's."""

    __slots__ = ("accepted", "deadline_s", "forward_id", "send", "way")

    def __init__(self, forward_id: int, send: PendingSend, way: _Way) -> None:
        self.forward_id = forward_id
        self.send = send
        self.way = way
        self.deadline_s = 0.0
        self.accepted = False


class _Way:
    """Where the sends of one conversation go, for as long as some are under way."""

    __slots__ = ("conversation_id", "held", "lane", "leave_by_s", "under_way")

    def __init__(self, conversation_id: str) -> None:
        self.conversation_id = conversation_id
        #: None: this node.
        self.lane: _Lane | None = None
        self.under_way = 0
        #: For the next owner, once these are settled.
        self.held: deque[PendingSend] = deque()
        self.leave_by_s = 0.0


class _Lane:
    """What is under way to one owner; ``taken`` in the order of handing over."""

    __slots__ = ("avoid_until_s", "failures", "node_id", "queue", "running", "taken")

    def __init__(self, node_id: int) -> None:
        self.node_id = node_id
        self.queue: deque[_Forward] = deque()
        self.taken: dict[int, _Forward] = {}
        self.running = False
        self.avoid_until_s = 0.0
        #: In a row.
        self.failures = 0


class Forwarding:
    """``Submit`` for conversations of any owner, and a stage."""

    _logger = Logger()

    def __init__(
        self,
        *,
        nodes: LiveNodes,
        owner_of: Callable[[str], int],
        appender: Appender,
        bus: Bus,
        clock: Clock,
        tasks: Tasks,
        first_id: int,
        max_forwarded: int,
    ) -> None:
        self._nodes = nodes
        self._node_id = nodes.me.node_id
        self._owner_of = owner_of
        self._appender = appender
        self._bus = bus
        self._clock = clock
        self._tasks = tasks
        self._next_id = first_id
        self._max_forwarded = max_forwarded
        self._forwards: dict[int, _Forward] = {}
        self._ways: dict[str, _Way] = {}
        self._lanes: dict[int, _Lane] = {}
        #: Ways that change from this node to another one, and are looked at until they can.
        self._leaving: dict[str, _Way] = {}
        self._held = 0
        self._seeing_off = False
        self._watching = False
        #: Sends handed over, and hand-overs that failed, ever.
        self.handed_over = 0
        self.failures = 0

    @property
    def unsettled(self) -> int:
        """Sends without a final answer, here or at their owners."""
        return self._appender.unsettled + len(self._forwards) + self._held

    async def start(self) -> None:
        """Outcomes are heard from here on."""
        self._bus.subscribe(message_settled(self._node_id), self._settled)
        self._nodes.on_change(self._nodes_changed)

    async def stop(self) -> None:
        """What is under way was waited for before; the bus forgets its subscribers when it stops."""

    def submit(self, send: PendingSend) -> None:
        conversation_id = send.key.conversation_id
        way = self._ways.get(conversation_id)
        if way is None:
            lane = self._lane_of(conversation_id)
            if lane is None:
                self._appender.submit(send)
                return
            way = _Way(conversation_id)
            self._ways[conversation_id] = way
            if self._appender.is_busy_with(conversation_id):
                # They were this node's until now: first those, then the next owner's.
                self._leave(way)
            else:
                way.lane = lane
        if len(self._forwards) + self._held >= self._max_forwarded:
            self._drop_idle(way)
            send.submitter.failed(send, ServerBusy("the server is busy", retry_after_ms=1000))
        elif (
            way.lane is None or way.held or (way.under_way and self._lane_of(conversation_id) is not way.lane)
        ):
            way.held.append(send)
            self._held += 1
        else:
            self._hand_over(way, way.lane, send)

    def _lane_of(self, conversation_id: str) -> _Lane | None:
        """Of the owner; None: this node, also in place of one that fails."""
        owner = self._owner_of(conversation_id)
        if owner == self._node_id:
            return None
        lane = self._lanes.get(owner)
        if lane is None:
            lane = self._lanes[owner] = _Lane(owner)
        return None if lane.avoid_until_s > self._clock.seconds() else lane

    def _hand_over(self, way: _Way, lane: _Lane, send: PendingSend) -> None:
        self._next_id += 1
        self.handed_over += 1
        forward = _Forward(self._next_id, send, way)
        forward.deadline_s = self._clock.seconds() + SETTLE_TIMEOUT_S
        self._forwards[forward.forward_id] = forward
        way.under_way += 1
        lane.queue.append(forward)
        if not lane.running:
            lane.running = True
            self._tasks.spawn("forward", self._run(lane))
        if not self._watching:
            self._watching = True
            self._tasks.spawn("watch forwards", self._watch())

    async def _run(self, lane: _Lane) -> None:
        try:
            while lane.queue:
                batch = self._next_batch(lane)
                try:
                    await self._ask(lane, batch)
                except (NoResponder, BusRefused) as error:
                    # Not even sent: these were surely not stored.
                    for forward in reversed(batch):
                        lane.taken.pop(forward.forward_id, None)
                        if forward.forward_id in self._forwards:
                            lane.queue.appendleft(forward)
                    self._take_back(lane, repr(error))
                except (TimeoutError, BusFailure, DecodeError) as error:
                    self._take_back(lane, repr(error))
                except CancelledError:
                    raise
                except Exception:
                    self._logger.failure("handing sends over failed")
                    self._take_back(lane, "a fault of this node")
        finally:
            lane.running = False

    def _next_batch(self, lane: _Lane) -> list[_Forward]:
        batch: list[_Forward] = []
        size_bytes = 0
        while lane.queue and len(batch) < MAX_BATCH and size_bytes < MAX_BATCH_BYTES:
            forward = lane.queue.popleft()
            size_bytes += len(forward.send.body)
            batch.append(forward)
        return batch

    async def _ask(self, lane: _Lane, batch: list[_Forward]) -> None:
        request = ForwardedSends(nodeId=self._node_id)
        for forward in batch:
            encode_send(request.sends.add(), forward.forward_id, forward.send, owner=lane.node_id)
            lane.taken[forward.forward_id] = forward
        # Each send brings its own trace; the first is for the bus itself.
        with carrying(trace_of(forward.send for forward in batch)):
            payload = await self._bus.request(
                message_append(lane.node_id), request.SerializeToString(), timeout_s=TAKE_TIMEOUT_S
            )
        answer = ForwardedTaken.FromString(payload)
        lane.failures = 0
        if answer.failure.code:
            raise BusFailure(answer.failure.message)
        waiting = set(answer.waitingIds)
        settled = {outcome.forwardId for outcome in answer.outcomes}
        for forward in batch:
            forward_id = forward.forward_id
            if forward_id in self._forwards and forward_id not in settled and forward_id not in waiting:
                _accept(forward)
        for outcome in answer.outcomes:
            self._take_outcome(outcome)

    # How they ended

    async def _settled(self, _subject: str, payload: bytes) -> None:
        try:
            outcomes = SendOutcomes.FromString(payload).outcomes
        except DecodeError:
            self._logger.error("not a SendOutcomes; its sends are settled by their time-out")
            return
        for outcome in outcomes:
            self._take_outcome(outcome)

    def _take_outcome(self, outcome: SendOutcome) -> None:
        forward = self._forwards.get(outcome.forwardId)
        if forward is None:
            # Taken back meanwhile; whoever has it now says how it ended.
            return
        send = forward.send
        if outcome.kind == SendOutcome.ACCEPTED:
            _accept(forward)
            return
        if outcome.kind == SendOutcome.DELAYED:
            forward.deadline_s = self._clock.seconds() + DELAYED_TIMEOUT_S
            if not send.told_delayed:
                send.told_delayed = True
                send.submitter.delayed(send)
            return
        if outcome.kind == SendOutcome.STORED and outcome.seq <= 0:
            self._logger.error("an outcome says STORED, but not where; its send is settled by its time-out")
            return
        self._forget(forward)
        try:
            if outcome.kind == SendOutcome.STORED:
                if not outcome.duplicate:
                    _accept(forward)
                send.seq = outcome.seq
                send.server_msg_id = outcome.serverMsgId
                send.server_time_ms = outcome.serverTime
                send.submitter.stored(send, duplicate=outcome.duplicate)
            else:
                send.submitter.failed(send, error_of_outcome(outcome))
        finally:
            self._let_go(forward.way)

    def _forget(self, forward: _Forward) -> None:
        del self._forwards[forward.forward_id]
        way = forward.way
        way.under_way -= 1
        if way.lane is not None:
            way.lane.taken.pop(forward.forward_id, None)

    def _let_go(self, way: _Way) -> None:
        """Nothing is under way any more: the way ends, or what was held goes to the owner of now."""
        if way.under_way or way.conversation_id in self._leaving:
            return
        self._end(way, self.submit)

    def _end(self, way: _Way, submit: Callable[[PendingSend], None]) -> None:
        """The way is no more; what was held on it goes on."""
        if self._ways.get(way.conversation_id) is way:
            del self._ways[way.conversation_id]
        held, way.held = way.held, deque()
        self._held -= len(held)
        for send in held:
            submit(send)

    def _drop_idle(self, way: _Way) -> None:
        if not way.under_way and not way.held and way.conversation_id not in self._leaving:
            self._ways.pop(way.conversation_id, None)

    # An owner that fails

    def _take_back(self, lane: _Lane, why: str) -> None:
        """This node does what the owner should have: first what it may have stored, then the rest."""
        lane.avoid_until_s = self._clock.seconds() + min(AVOID_S * 2 ** min(lane.failures, 10), MAX_AVOID_S)
        lane.failures += 1
        self.failures += 1
        taken, lane.taken = list(lane.taken.values()), {}
        queued, lane.queue = list(lane.queue), deque()
        self._logger.warn(
            "node {node} does not take messages ({why}); {count} are written here",
            node=lane.node_id,
            why=why,
            count=len(taken) + len(queued),
        )
        ways: dict[_Way, None] = {}
        for forward in taken:
            forward.send.outcome_unknown, forward.send.taken_by = True, lane.node_id
            _accept(forward)
        for forward in taken + queued:
            if self._forwards.pop(forward.forward_id, None) is None:
                continue
            forward.way.under_way -= 1
            ways[forward.way] = None
            self._appender.submit(forward.send)
        for way in ways:
            self._end(way, self._appender.submit)

    def _nodes_changed(self) -> None:
        alive = self._nodes.others
        for lane in list(self._lanes.values()):
            if lane.node_id not in alive:
                if lane.taken or lane.queue:
                    self._take_back(lane, "it is gone")
                if not lane.running:
                    del self._lanes[lane.node_id]

    async def _watch(self) -> None:
        """Sends that were taken and of which nothing was heard for too long."""
        try:
            while self._forwards:
                await sleep(_TICK_S, clock=self._clock)
                now_s = self._clock.seconds()
                for lane in list(self._lanes.values()):
                    if any(forward.deadline_s < now_s for forward in lane.taken.values()):
                        self._take_back(lane, "it did not say how they ended")
        finally:
            self._watching = False

    # From this node to another

    def _leave(self, way: _Way) -> None:
        way.leave_by_s = self._clock.seconds() + LEAVE_TIMEOUT_S
        self._leaving[way.conversation_id] = way
        if not self._seeing_off:
            self._seeing_off = True
            self._tasks.spawn("hand conversations over", self._see_off())

    async def _see_off(self) -> None:
        try:
            while self._leaving:
                await sleep(_HELD_POLL_S, clock=self._clock)
                for conversation_id, way in list(self._leaving.items()):
                    if not self._appender.is_busy_with(conversation_id):
                        del self._leaving[conversation_id]
                        self._let_go(way)
                    elif self._clock.seconds() > way.leave_by_s:
                        del self._leaving[conversation_id]
                        # Waited for long enough: what came later follows here, where the order is kept.
                        self._end(way, self._appender.submit)
        finally:
            self._seeing_off = False


def _accept(forward: _Forward) -> None:
    """Once; that it is stored may be heard before that it was taken."""
    if not forward.accepted:
        forward.accepted = True
        forward.send.submitter.accepted(forward.send)
