"""Which node owns a conversation's shard. For speed and batching only: the unique index guards the order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from imd.bus.subjects import shard_of
from imd.core.nodes.heartbeat import Heartbeats
from imd.core.nodes.model import fair_owners
from imd.core.nodes.ports import ShardLeases
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError
from imd.kernel.histogram import Histogram
from imd.kernel.ids import SHARD_COUNT
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep, with_timeout
from imd.ops.metrics.buckets import FAILOVER

#: Shards that were given back; a store that works settles what is in flight in less.
HAND_OVER_TIMEOUT_S = 2.0
#: After its start a node gets its share within moments, from whoever has looked after it meanwhile.
YOUNG_S = 10.0


class Ownership:
    """A stage that claims this node's fair share of the shards, and knows who has the others.

    With the leases lost, what was known last goes on; a shard of which nothing is known, or whose holder
    is gone, is its fair owner's, so that one node writes it. Before the first look it is written where
    its message arrived.
    """

    _logger = Logger()

    def __init__(
        self, *, nodes: Heartbeats, leases: ShardLeases, clock: Clock, tasks: Tasks, interval_s: float
    ) -> None:
        self._nodes = nodes
        self._leases = leases
        self._clock = clock
        self._tasks = tasks
        self._interval_s = interval_s
        self._owners: list[int] = [nodes.me.node_id] * SHARD_COUNT
        #: Of each shard the node that leased it when that was last learned.
        self._holders: Mapping[int, int] = {}
        self._mine: frozenset[int] = frozenset()
        self._young_until_s = 0.0
        self._listeners: list[Callable[[frozenset[int]], None]] = []
        self._takers: list[Callable[[frozenset[int]], None]] = []
        self._claiming = False
        self._again = False
        self._stopped = False
        self._claimed: list[Deferred[None]] = []
        #: Shards, ever.
        self.taken = 0
        self.given = 0
        #: From the last word of a node that is gone until its shards are this one's.
        self.failover_seconds = Histogram(FAILOVER.bounds)
        self._others = nodes.others
        self._lost_s: float | None = None

    @property
    def mine(self) -> frozenset[int]:
        """The shards that are this node's."""
        return self._mine

    @property
    def owners(self) -> Sequence[int]:
        """The node of each shard, as far as is known here."""
        return self._owners

    def owner_of(self, conversation_id: str) -> int:
        """The node to which its messages go."""
        return self._owners[shard_of(conversation_id)]

    def on_inherited(self, listener: Callable[[frozenset[int]], None]) -> None:
        """Have the listener told which shards this node took over from nodes that are gone, among them
        an earlier life of its own: what it takes soon after its start counts as that."""
        self._listeners.append(listener)

    def on_taken(self, listener: Callable[[frozenset[int]], None]) -> None:
        """Have the listener told of every shard that this node takes, from whomever, before it writes there."""
        self._takers.append(listener)

    async def start(self) -> None:
        self._young_until_s = self._clock.seconds() + YOUNG_S
        self._nodes.on_change(self.look)
        await self._claim()
        self._tasks.spawn("shard leases", self._run())

    async def stop(self) -> None:
        """What is still held runs out, or was given back when the node stopped being ready."""
        self._stopped = True

    def look(self) -> None:
        """Somebody came or went, or another node writes what should be ours: claim now."""
        others, self._others = self._others, self._nodes.others
        if lost := others - self._others:
            now_s = self._clock.seconds()
            self._lost_s = min(self._nodes.last_word_s.get(node_id, now_s) for node_id in lost)
        if self._claiming:
            self._again = True
        elif not self._stopped:
            self._tasks.spawn("claim shards", self._claim())

    def handed_over(self) -> Deferred[None]:
        """Fires after the next claim, which gives back what this node should not have."""
        done: Deferred[None] = Deferred()
        self._claimed.append(done)
        self.look()

        return with_timeout(done, timeout_s=HAND_OVER_TIMEOUT_S, clock=self._clock).addErrback(self._late)

    def _late(self, _failure: Failure) -> None:
        self._logger.warn("the shards were not given back in time; their leases run out")

    async def _run(self) -> None:
        while True:
            await sleep(self._interval_s, clock=self._clock)
            if self._stopped:
                return
            try:
                await self._claim()
            except CancelledError:
                raise
            except Exception:
                self._logger.failure("claiming shards failed; it is tried again")

    async def _claim(self) -> None:
        if self._claiming:
            return
        self._claiming = True
        try:
            self._again = True
            while self._again:
                self._again = False
                waiting, self._claimed = self._claimed, []
                await self._claim_once()
                for done in waiting:
                    if not done.called:
                        done.callback(None)
        finally:
            self._claiming = False

    async def _claim_once(self) -> None:
        me = self._nodes.me
        fair = fair_owners(self._nodes.ready)
        wanted = [shard for shard, owner in fair.items() if owner == me.node_id]
        try:
            holders = await self._leases.claim(me, wanted)
        except ImError as error:
            self._logger.debug("shard leases: {error}", error=error)
            self._do_without(fair)
        else:
            self._holders = holders
            self._take(holders, fair)

    def _do_without(self, fair: Mapping[int, int]) -> None:
        """The leases cannot be asked: shards whose holder is not known, or is gone, are dealt out without them."""
        me = self._nodes.me.node_id
        alive = self._nodes.others | {me}
        holders = {shard: holder for shard, holder in self._holders.items() if holder in alive}
        owners = self._assigned(holders, fair)
        taken = frozenset(
            shard for shard in range(SHARD_COUNT) if owners[shard] == me and self._owners[shard] != me
        )
        self._tell_takers(taken)
        self._owners = owners

    def _assigned(self, holders: Mapping[int, int], fair: Mapping[int, int]) -> list[int]:
        me = self._nodes.me.node_id
        return [holders.get(shard, fair.get(shard, me)) for shard in range(SHARD_COUNT)]

    def _tell_takers(self, taken: frozenset[int]) -> None:
        if taken:
            for listener in self._takers:
                listener(taken)

    def _take(self, holders: Mapping[int, int], fair: Mapping[int, int]) -> None:
        me = self._nodes.me.node_id
        before, owners = self._owners, self._assigned(holders, fair)
        alive = self._nodes.others | {me}
        mine = frozenset(shard for shard, holder in holders.items() if holder == me)
        taken, given = mine - self._mine, self._mine - mine
        self._tell_takers(taken)
        self._owners = owners
        self._mine = mine
        self.taken += len(taken)
        self.given += len(given)
        if taken or given:
            self._logger.info(
                "this node owns {count} shards: {taken} taken, {given} given",
                count=len(mine),
                taken=len(taken),
                given=len(given),
            )
            self._nodes.say_shards_changed()
        young = self._clock.seconds() < self._young_until_s
        inherited = frozenset(shard for shard in taken if young or before[shard] not in alive)
        if inherited and not young and self._lost_s is not None:
            self.failover_seconds.observe(self._clock.seconds() - self._lost_s)
            self._lost_s = None
        if inherited:
            for listener in self._listeners:
                listener(inherited)
