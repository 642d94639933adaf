"""The port through which core asks about people and conversations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

P2P = 1
GROUP = 2

MEMBER = 0
ADMIN = 1
OWNER = 2


class Claims(NamedTuple):
    """What a good token says."""

    user_id: int
    device_id: str
    expires_at_ms: int
    scopes: frozenset[str]
    login_id: str


class Membership(NamedTuple):
    """Who is in a conversation; ``roles`` maps user id to MEMBER, ADMIN or OWNER."""

    conversation_id: str
    kind: int
    version: int
    roles: dict[int, int]


class ConversationEntry(NamedTuple):
    """One of a user's conversations, as its list shows it."""

    conversation_id: str
    kind: int
    peer_user_id: int
    title: str
    member_count: int


class Directory(Protocol):
    """The business role, as core sees it.

    All methods raise ``ServerBusy`` when the authority does not answer in time; what that means
    for a message is the caller's policy. ``AuthFailed`` and ``Forbidden`` are its considered no.
    """

    async def verify(self, token: str, device_id: str) -> Claims:
        """The claims of a token that is good now, on this device; else AuthFailed."""
        ...

    async def membership(self, conversation_id: str) -> Membership | None:
        """Who is in it; None if it does not exist (any more)."""
        ...

    async def open_direct(self, user_id: int, peer_user_id: int) -> str:
        """The id of the 1:1 conversation, made if need be; Forbidden if there is no such peer."""
        ...

    async def conversations_of(self, user_id: int) -> Sequence[ConversationEntry]:
        """Every conversation the user is in."""
        ...

    async def visible(self, user_id: int, target_ids: Sequence[int]) -> frozenset[int]:
        """Those of the targets whose presence the user may see."""
        ...
