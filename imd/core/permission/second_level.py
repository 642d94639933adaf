"""Snapshots that nodes share, so that a node need not ask business for what another one knows (spec 5.3)."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from imd.core.directory import Membership
from imd.kernel.clocks import Clock
from imd.kernel.eviction import forget_oldest

MAX_KEPT = 10_000
#: How long nothing is kept of a conversation that changed to a version nobody knows: longer than anybody
#: who was answered before takes to put it here.
CLOSED_S = 5.0
#: How long it is remembered that a version is outdated: no snapshot lives longer.
OUTDATED_S = 700.0


class Kept(NamedTuple):
    """What another node was told."""

    membership: Membership
    #: Of the time for which it may be believed.
    left_s: float


class SecondLevel(Protocol):
    """The newest known snapshot of conversations that exist; losing it, whole or in part, costs speed.

    Only ``get`` waits, and not long. A put of something older than what was put or outdated before has no
    effect, in whichever order they arrive.
    """

    async def get(self, conversation_id: str) -> Kept | None:
        """What is kept; None if that is nothing, or cannot be learned quickly. Never raises."""
        ...

    def put(self, membership: Membership, life_s: float) -> None:
        """Keep it for so long."""
        ...

    def outdate(self, conversation_id: str, version: int) -> None:
        """What is older than this is not true any more; with version 0, whatever is there."""
        ...


class MemorySecondLevel:
    """``SecondLevel`` within one process; several nodes in it share one object."""

    def __init__(self, *, clock: Clock) -> None:
        self._seconds = clock.seconds
        #: (version, until when, snapshot or None for what is only known to be outdated)
        self._kept: dict[str, tuple[float, float, Membership | None]] = {}

    async def get(self, conversation_id: str) -> Kept | None:
        _, until_s, membership = self._held(conversation_id)
        return None if membership is None else Kept(membership, until_s - self._seconds())

    def put(self, membership: Membership, life_s: float) -> None:
        if self._held(membership.conversation_id)[0] <= membership.version:
            self._keep(membership.conversation_id, membership.version, life_s, membership)

    def outdate(self, conversation_id: str, version: int) -> None:
        if not version:
            self._keep(conversation_id, float("inf"), CLOSED_S, None)
        elif self._held(conversation_id)[0] < version:
            self._keep(conversation_id, version, OUTDATED_S, None)

    def lose(self) -> None:
        """Nothing is kept any more, as when Redis is started anew."""
        self._kept.clear()

    def _held(self, conversation_id: str) -> tuple[float, float, Membership | None]:
        held = self._kept.get(conversation_id)
        return held if held is not None and held[1] > self._seconds() else (0, 0.0, None)

    def _keep(
        self, conversation_id: str, version: float, life_s: float, membership: Membership | None
    ) -> None:
        self._kept.pop(conversation_id, None)
        self._kept[conversation_id] = (version, self._seconds() + life_s, membership)
        forget_oldest(self._kept, MAX_KEPT)
