"""Where presence tells what it knows, and where it keeps what outlives the process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from imd.core.directory import Speaker
from imd.core.presence.model import PresenceState


class Watcher(Protocol):
    """Whoever wants to know. Compared by identity; never fails, never waits."""

    @property
    def speaker(self) -> Speaker:
        """On whose behalf; its ticket is that of now."""
        ...

    def presence_changed(self, states: Sequence[PresenceState]) -> None:
        """These are not what they were; several changes of one user come as the last of them."""
        ...


class LastSeen(Protocol):
    """When users were last seen, in milliseconds since 1970; never goes back.

    Both raise ``ServerBusy`` when nothing was done; an unknown outcome is harmless, since writing
    the same again changes nothing.
    """

    async def record(self, seen: Mapping[int, int]) -> None:
        """Raise the times of these users."""
        ...

    async def of_users(self, user_ids: Sequence[int]) -> Mapping[int, int]:
        """Their times; who was never seen is left out."""
        ...
