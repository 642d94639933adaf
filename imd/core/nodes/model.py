"""Nodes as the others see them, and who should own what."""

from __future__ import annotations

from collections.abc import Collection
from hashlib import blake2b
from typing import NamedTuple

from imd.kernel.ids import SHARD_COUNT


class Node(NamedTuple):
    """A core node that is alive. A node that starts anew is another incarnation of it."""

    node_id: int
    incarnation: str
    #: Takes shards and connections; not while it starts or drains.
    ready: bool
    #: Hears the others, and is heard.
    on_bus: bool = True


def fair_owners(node_ids: Collection[int]) -> dict[int, int]:
    """For each shard the node that should own it: the highest hash wins (rendezvous hashing).

    All nodes come to the same answer, and one that comes or goes moves only its own share.
    """
    if not node_ids:
        return {}
    return {
        shard: max(node_ids, key=lambda node_id: _weight(f"{shard}/{node_id}"))
        for shard in range(SHARD_COUNT)
    }


def homes(user_id: int, node_ids: Collection[int], count: int = 2) -> list[int]:
    """The nodes that know where a user is connected when the route table does not (spec 24.3)."""
    ranked = sorted(node_ids, key=lambda node_id: _weight(f"user/{user_id}/{node_id}"), reverse=True)
    return ranked[:count]


def _weight(key: str) -> bytes:
    return blake2b(key.encode(), digest_size=8).digest()
