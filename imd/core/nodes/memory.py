"""Nodes and leases within one process; several nodes in it share one object of each."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from imd.core.nodes.model import Node
from imd.kernel.clocks import Clock

#: A process that was replaced by a newer one of the same node id is known as such for so many more.
MAX_REPLACED = 4


class _Succession:
    """Which process speaks for a node id: the one that came last, however often the others come back."""

    def __init__(self) -> None:
        #: The incarnations of each node id, the present one first.
        self._lines: dict[int, list[str]] = {}

    def admit(self, me: Node) -> bool:
        """Whether this one speaks for its id now; a new one does from here on."""
        line = self._lines.setdefault(me.node_id, [])
        if me.incarnation not in line:
            line.insert(0, me.incarnation)
            del line[1 + MAX_REPLACED :]
        return self.is_present(me)

    def is_present(self, me: Node) -> bool:
        return self._lines.get(me.node_id, [""])[0] == me.incarnation

    def forget(self, node_id: int) -> None:
        self._lines.pop(node_id, None)


class MemoryNodeRegistry:
    """``NodeRegistry`` on an injected clock."""

    def __init__(self, *, clock: Clock, interval_s: float = 5.0, missed: int = 3) -> None:
        self._clock = clock
        self._ttl_s = interval_s * missed
        self._succession = _Succession()
        self._nodes: dict[int, tuple[Node, float]] = {}

    async def beat(self, me: Node) -> Sequence[Node]:
        now_s = self._clock.seconds()
        for node_id, (_, dead_s) in list(self._nodes.items()):
            if dead_s <= now_s:
                self._drop(node_id)
        if self._succession.admit(me):
            self._nodes[me.node_id] = me, now_s + self._ttl_s
        return [self._nodes[node_id][0] for node_id in sorted(self._nodes)]

    async def leave(self, me: Node) -> None:
        if self._succession.is_present(me):
            self._drop(me.node_id)

    def _drop(self, node_id: int) -> None:
        del self._nodes[node_id]
        self._succession.forget(node_id)


class MemoryShardLeases:
    """``ShardLeases`` on an injected clock. All leases of a node run out together, as they are renewed."""

    def __init__(self, *, clock: Clock, interval_s: float = 5.0, missed: int = 3) -> None:
        self._clock = clock
        self._ttl_s = interval_s * missed
        self._succession = _Succession()
        self._owners: dict[int, int] = {}
        self._end_s: dict[int, float] = {}

    async def claim(self, me: Node, wanted: Collection[int]) -> Mapping[int, int]:
        now_s = self._clock.seconds()
        for node_id, end_s in list(self._end_s.items()):
            if end_s <= now_s:
                self._release(node_id)
        if not self._succession.admit(me):
            return {shard: owner for shard, owner in self._owners.items() if owner != me.node_id}
        for shard in [shard for shard, owner in self._owners.items() if owner == me.node_id]:
            del self._owners[shard]
        for shard in wanted:
            self._owners.setdefault(shard, me.node_id)
        self._end_s[me.node_id] = now_s + self._ttl_s
        return dict(self._owners)

    def _release(self, node_id: int) -> None:
        del self._end_s[node_id]
        self._succession.forget(node_id)
        self._owners = {shard: owner for shard, owner in self._owners.items() if owner != node_id}
