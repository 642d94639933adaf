"""Which nodes are alive: every node says so to the registry, and to the others over the bus."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from google.protobuf.message import DecodeError
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from imd.bus.port import Bus
from imd.bus.subjects import NODE_CHANGED
from imd.core.nodes.model import Node
from imd.core.nodes.ports import NodeRegistry
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep
from imd.pb.bus_pb2 import NodeChanged

#: What a node says comes back to it sooner, or the bus is slow: a question over it would have failed.
SLOW_ECHO_S = 0.3


class Heartbeats:
    """A stage that is ``LiveNodes``.

    A node is alive while the registry says so, or while it was heard on the bus within as long:
    either may be lost. Only what a node itself says (it leaves, it is not ready) counts at once.
    """

    _logger = Logger()

    def __init__(
        self,
        *,
        node_id: int,
        incarnation: str,
        registry: NodeRegistry,
        bus: Bus,
        clock: Clock,
        tasks: Tasks,
        interval_s: float,
        missed: int,
        is_on_bus: Callable[[], bool] = lambda: True,
    ) -> None:
        self._me = Node(node_id, incarnation, ready=False)
        self._registry = registry
        self._bus = bus
        self._clock = clock
        self._tasks = tasks
        self._interval_s = interval_s
        self._lifetime_s = interval_s * missed
        self._is_on_bus = is_on_bus
        self._registered: dict[int, Node] = {}
        #: What each said last on the bus, and when.
        self._heard: dict[int, tuple[float, Node]] = {}
        self._alive: dict[int, Node] = {node_id: self._me}
        self._listeners: list[Callable[[], None]] = []
        self._successors: list[Callable[[], None]] = []
        self._returns: list[Callable[[], None]] = []
        self._registry_works = True
        self._stopped = False
        #: When it last heard itself on the bus.
        self._echo_at_s = clock.seconds()
        #: And since when only late, if so.
        self._late_since_s: float | None = None
        self._late_for_s = 0.0
        #: Or tried to.
        self._said_at_s = clock.seconds()
        #: Nodes that were missed; who says goodbye is not.
        self.failures = 0
        self._leaving: set[int] = set()
        #: When each node was last heard on the bus, the gone ones, too.
        self.last_word_s: dict[int, float] = {}
        #: Another process has this node's id, or had: this one takes nobody in until it is started again.
        self.replaced = False

    @property
    def me(self) -> Node:
        return self._me

    @property
    def others(self) -> frozenset[int]:
        return frozenset(self._alive).difference((self._me.node_id,))

    @property
    def ready(self) -> list[int]:
        """The nodes that take shards, in order."""
        return sorted(node_id for node_id, node in self._alive.items() if node.ready)

    @property
    def overslept(self) -> bool:
        """Whether this node has said nothing for so long that it counts as gone: it was paused until just now."""
        return self._clock.seconds() - self._said_at_s > self._lifetime_s

    @property
    def others_on_bus(self) -> bool:
        """Whether others are ready and hear each other, as far as is known: a node that does not is cut off."""
        return any(
            node.ready and node.on_bus for node_id, node in self._alive.items() if node_id != self._me.node_id
        )

    def on_change(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    def on_replaced(self, listener: Callable[[], None]) -> None:
        """Have the listener called once, when another process has taken this node's id."""
        self._successors.append(listener)

    def on_bus_back(self, listener: Callable[[], None]) -> None:
        """Have the listener called when the bus carries again, after it did not or took its time, whether it was
        noticed or not."""
        self._returns.append(listener)

    async def start(self) -> None:
        """Known to the others from here on, but not ready."""
        self._said_at_s = self._clock.seconds()
        self._bus.subscribe(NODE_CHANGED, self._changed)
        await self._beat()
        self._tasks.spawn("heartbeat", self._run())

    async def stop(self) -> None:
        """Nobody has to wait until this node is missed."""
        self._stopped = True
        self._say(left=True)
        try:
            await self._registry.leave(self._me)
        except ImError:
            self._logger.warn("this node leaves without the registry; it will be missed")

    async def announce(self, *, ready: bool) -> None:
        """Take shards from now on, or give them back."""
        self._me = self._me._replace(ready=ready and not self.replaced)
        await self._beat()
        self._say()

    def say_shards_changed(self) -> None:
        """The others look at the leases anew."""
        self._say(shards=True)

    def _say(self, *, left: bool = False, shards: bool = False) -> None:
        node_id, incarnation, ready, _ = self._me
        said = NodeChanged(nodeId=node_id, incarnation=incarnation, ready=ready, left=left, shards=shards)
        self._said_at_s = self._clock.seconds()
        said.saidAt = round(self._said_at_s * 1000)
        try:
            self._bus.publish(NODE_CHANGED, said.SerializeToString())
        except ImError as error:
            self._logger.debug("the other nodes are not told: {error}", error=error)

    async def _run(self) -> None:
        while True:
            await sleep(self._interval_s, clock=self._clock)
            if self._stopped:
                return
            try:
                await self._beat()
                self._say()
            except CancelledError:
                raise
            except Exception:
                self._logger.failure("a heartbeat failed; it goes on with the next")

    async def _beat(self) -> None:
        try:
            found = await self._registry.beat(self._me._replace(on_bus=self._is_on_bus()))
        except ImError as error:
            if self._registry_works:
                self._registry_works = False
                self._logger.error("the node registry does not answer ({error}); "
                                   "the nodes heard on the bus count", error=error)  # fmt: skip
        else:
            if not self._registry_works:
                self._registry_works = True
                self._logger.info("the node registry answers again")
            self._registered = {node.node_id: node for node in found}
            self._look_for_namesake()
        self._look()

    def _look_for_namesake(self) -> None:
        """A process that was started later with this node's id takes its place."""
        node_id, incarnation = self._me.node_id, self._me.incarnation
        known = self._registered.get(node_id)
        if self.replaced or known is None or known.incarnation == incarnation:
            return
        self.replaced = True
        self._me = self._me._replace(ready=False)
        self._logger.critical(
            "another process has node_id {id} and takes this one's place; give each node an id of its own, "
            "and start this one again",
            id=node_id,
        )
        self._call(self._successors)

    async def _changed(self, _subject: str, payload: bytes) -> None:
        try:
            said = NodeChanged.FromString(payload)
        except DecodeError:
            self._logger.error("not a NodeChanged on {subject}", subject=NODE_CHANGED)
            return
        if said.nodeId == self._me.node_id:
            if said.incarnation == self._me.incarnation:
                self._heard_itself(said.saidAt / 1000)
            if said.incarnation != self._me.incarnation and not said.left:
                self._logger.error(
                    "another process calls itself node {id}: every node needs its own node_id", id=said.nodeId
                )
            return
        self.last_word_s[said.nodeId] = self._clock.seconds()
        if said.left:
            known = self._alive.get(said.nodeId)
            if known is None or known.incarnation == said.incarnation:
                self._heard.pop(said.nodeId, None)
                self._registered.pop(said.nodeId, None)
                self._leaving.add(said.nodeId)
        else:
            node = Node(said.nodeId, said.incarnation, said.ready)
            self._heard[said.nodeId] = (self._clock.seconds(), node)
        if not self._look() and said.shards:
            self._tell()

    def _heard_itself(self, said_at_s: float) -> None:
        now_s = self._clock.seconds()
        silent_s, self._echo_at_s = now_s - self._echo_at_s, now_s
        is_back = silent_s > 2 * self._interval_s
        if now_s - said_at_s > SLOW_ECHO_S:
            if self._late_since_s is None:
                self._late_since_s = now_s
            self._late_for_s = now_s - self._late_since_s
        elif self._late_since_s is not None:
            # A single one says more of this node than of the bus, and so do several that come at once.
            is_back |= self._late_for_s > self._interval_s / 2
            self._late_since_s, self._late_for_s = None, 0.0
        if is_back:
            self._call(self._returns)

    def _look(self) -> bool:
        """Who is alive now; whether that is news."""
        oldest_s = self._clock.seconds() - self._lifetime_s
        for node_id, (heard_s, _) in list(self._heard.items()):
            if heard_s < oldest_s:
                del self._heard[node_id]
        alive = dict(self._registered)
        # What a node says itself is newer than what the registry has of it.
        alive.update({node_id: node for node_id, (_, node) in self._heard.items()})
        alive[self._me.node_id] = self._me
        if alive == self._alive:
            return False
        for node_id in sorted(self._alive.keys() - alive.keys()):
            self.failures += node_id not in self._leaving
            self._logger.warn("node {id} is gone", id=node_id)
        for node_id in sorted(alive.keys() - self._alive.keys()):
            self._logger.info("node {id} is here", id=node_id)
        self._leaving &= alive.keys()
        self._alive = alive
        self._tell()
        return True

    def _tell(self) -> None:
        self._call(self._listeners)

    def _call(self, listeners: Iterable[Callable[[], None]]) -> None:
        for listener in listeners:
            try:
                listener()
            except Exception:
                self._logger.failure("who wants to know of the nodes failed")


class Readiness:
    """The last stage of a node: it takes shards only while everything else is up."""

    def __init__(self, *, heartbeats: Heartbeats, handed_over: Callable[[], Deferred[None]]) -> None:
        self._heartbeats = heartbeats
        self._handed_over = handed_over

    async def start(self) -> None:
        await self._heartbeats.announce(ready=True)

    async def stop(self) -> None:
        """The shards are given back first, so that nobody waits for this node while it drains."""
        await self._heartbeats.announce(ready=False)
        await self._handed_over()
