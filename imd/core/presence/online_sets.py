"""Which members of a large conversation are online, over all nodes (spec 24.2)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

#: No part holds more than about a thousand users at 30,000 members, three times what a group may have.
BUCKETS = 32


def bucket_of(user_id: int) -> int:
    """The part of each set that a user belongs to; by multiplication, since ids are made from the time."""
    return (user_id * 0x9E3779B97F4A7C15 & 0xFFFF_FFFF_FFFF_FFFF) * BUCKETS >> 64


class OnlineSets(Protocol):
    """For each conversation the users who are online, as each node says of its own.

    What a node says is forgotten ``ttl_s`` after it was last heard, so that a node that died leaves nobody
    behind; each adds all of its users again before. A user at two nodes is online until neither says so.

    Every method raises ``ServerBusy`` when the sets cannot be asked in time; what was told may then have
    been heard or not, which telling it again repairs.
    """

    async def add(self, conversation_id: str, user_ids: Collection[int], node_id: int) -> None:
        """These members are online at this node."""
        ...

    async def remove(self, conversation_id: str, user_ids: Collection[int], node_id: int) -> None:
        """They are not any more, at this node."""
        ...

    async def count(self, conversation_id: str) -> int:
        """How many users are online, each counted once."""
        ...

    async def members(self, conversation_id: str, bucket: int) -> frozenset[int]:
        """Who of one of the ``BUCKETS`` parts is."""
        ...
