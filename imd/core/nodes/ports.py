"""Where nodes tell that they are alive, and where shards are leased. Neither guards the order of
messages: the unique index does. Losing either costs speed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from imd.core.nodes.model import Node


class NodeRegistry(Protocol):
    """Who is alive. A node that has not beaten for ``missed_heartbeats`` intervals is not.

    Ages are judged by the registry's own clock, so that nodes need not agree on the time. Every
    method raises ``ServerBusy`` when the registry cannot be asked in time.
    """

    async def beat(self, me: Node) -> Sequence[Node]:
        """I am alive, like this; all who are, me included, by node id.

        Of two processes with my id the one that came last is me: whoever finds another incarnation
        under its own id in the answer has been replaced, and is not counted any more.
        """
        ...

    async def leave(self, me: Node) -> None:
        """I am going; nobody has to wait until I am missed. Another incarnation is left alone."""
        ...


class ShardLeases(Protocol):
    """Which node owns which shard; a lease that is not renewed runs out. Failures as in ``NodeRegistry``."""

    async def claim(self, me: Node, wanted: Collection[int]) -> Mapping[int, int]:
        """Renew and take what is wanted, if it is mine, free, run out or an older incarnation's of mine;
        give back what is mine and not wanted. Returns the holder (node id) of every shard that has one.

        One atomic step: two nodes never come away with the same shard. Who was replaced by a newer
        incarnation gets nothing, and is not told of what that one holds.
        """
        ...


class LiveNodes(Protocol):
    """The core nodes that are alive, as this one knows it; with the registry lost, as it was known last."""

    @property
    def me(self) -> Node: ...

    @property
    def others(self) -> frozenset[int]:
        """The ids of all but this one."""
        ...

    def on_change(self, listener: Callable[[], None]) -> None:
        """Have the listener called after nodes came or went."""
        ...
