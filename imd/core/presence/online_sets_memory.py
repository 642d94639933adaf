"""Online sets within one process; several nodes in it share one object."""

from __future__ import annotations

from collections.abc import Collection

from imd.core.presence.online_sets import bucket_of
from imd.kernel.clocks import Clock


class MemoryOnlineSets:
    """``OnlineSets`` on an injected clock."""

    def __init__(self, *, clock: Clock, ttl_s: float = 120.0) -> None:
        self._clock = clock
        self._ttl_s = ttl_s
        #: Conversation -> node -> its users, and until when that holds.
        self._nodes: dict[str, dict[int, tuple[set[int], float]]] = {}

    async def add(self, conversation_id: str, user_ids: Collection[int], node_id: int) -> None:
        users = self._of_node(conversation_id, node_id) | set(user_ids)
        end_s = self._clock.seconds() + self._ttl_s
        self._nodes.setdefault(conversation_id, {})[node_id] = users, end_s

    async def remove(self, conversation_id: str, user_ids: Collection[int], node_id: int) -> None:
        self._of_node(conversation_id, node_id).difference_update(user_ids)

    async def count(self, conversation_id: str) -> int:
        return len(self._users(conversation_id))

    async def members(self, conversation_id: str, bucket: int) -> frozenset[int]:
        return frozenset(user_id for user_id in self._users(conversation_id) if bucket_of(user_id) == bucket)

    def _users(self, conversation_id: str) -> set[int]:
        nodes = list(self._nodes.get(conversation_id, ()))
        return set().union(*(self._of_node(conversation_id, node_id) for node_id in nodes))

    def _of_node(self, conversation_id: str, node_id: int) -> set[int]:
        nodes = self._nodes.get(conversation_id, {})
        users, end_s = nodes.get(node_id, (set(), 0.0))
        if users and end_s > self._clock.seconds():
            return users
        nodes.pop(node_id, None)
        if not nodes:
            self._nodes.pop(conversation_id, None)
        return set()
