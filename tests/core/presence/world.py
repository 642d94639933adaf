"""Presence with everything around it played by the test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from imd.core.directory import Claims, ConversationEntry, Membership, Speaker
from imd.core.presence.model import PresenceState
from imd.core.presence.presence import Presence
from imd.kernel.errors import ServerBusy

WINDOW_S = 3.0
ANN, BO, CY, STRANGER = 1, 2, 3, 99


class Friends:
    """A directory in which everybody may see everybody but the stranger."""

    def __init__(self) -> None:
        self.gate: Deferred[None] | None = None
        self.busy = False
        self.hidden: set[int] = {STRANGER}
        self.asked: list[tuple[int, Sequence[int]]] = []

    async def visible(self, speaker: Speaker, target_ids: Sequence[int]) -> frozenset[int]:
        self.asked.append((speaker.user_id, target_ids))
        visible = frozenset(target_ids) - self.hidden
        if self.gate is not None:
            await self.gate
        if self.busy:
            raise ServerBusy("planted")
        return visible

    async def verify(self, token: str, device_id: str) -> Claims:
        raise NotImplementedError

    async def membership(self, conversation_id: str, *, sparing: bool = False) -> Membership | None:
        raise NotImplementedError

    async def open_direct(self, speaker: Speaker, peer_user_id: int) -> str:
        raise NotImplementedError

    async def conversations_of(self, speaker: Speaker) -> Sequence[ConversationEntry]:
        raise NotImplementedError


class Watch:
    """A watcher that keeps what it was told."""

    def __init__(self, user_id: int = ANN) -> None:
        self.speaker = Speaker(user_id, b"")
        self.notices: list[list[PresenceState]] = []

    def presence_changed(self, states: Sequence[PresenceState]) -> None:
        self.notices.append(list(states))

    def take(self) -> list[list[PresenceState]]:
        notices, self.notices = self.notices, []
        return notices


class Store:
    """Last seen in memory, with failures to order."""

    def __init__(self) -> None:
        self.seen: dict[int, int] = {}
        self.writes: list[Mapping[int, int]] = []
        self.asked: list[Sequence[int]] = []
        self.busy = False
        self.gate: Deferred[None] | None = None

    async def record(self, seen: Mapping[int, int]) -> None:
        if self.gate is not None:
            await self.gate
        if self.busy:
            raise ServerBusy("planted")
        self.writes.append(seen)
        self.seen.update(seen)

    async def of_users(self, user_ids: Sequence[int]) -> Mapping[int, int]:
        self.asked.append(user_ids)
        return {user_id: self.seen[user_id] for user_id in user_ids if user_id in self.seen}


class World:
    """Presence on a clock of its own, with plain verbs."""

    def __init__(self, store: Store | None = None, max_watched: int = 5) -> None:
        self.clock = Clock()
        self.clock.advance(1_000)
        self.directory = Friends()
        self.presence = Presence(
            clock=self.clock,
            wall_clock=self.now_ms,
            directory=self.directory,
            merge_window_s=WINDOW_S,
            max_watched=max_watched,
            last_seen=store,
        )

    def now_ms(self) -> int:
        return round(self.clock.seconds() * 1000)

    def ask(self, watch: Watch, *user_ids: int) -> Deferred[list[PresenceState]]:
        return Deferred.fromCoroutine(self.presence.subscribe(watch, user_ids))
