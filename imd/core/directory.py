"""The port through which core asks about people and conversations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

P2P = 1
GROUP = 2

MEMBER = 0
ADMIN = 1
OWNER = 2

#: Kinds of groups, as in ``GroupKind`` of bus.proto.
NORMAL = 1
MANAGED = 2
PUBLIC = 3
OFFICIAL = 4

#: Rights, a bit each, as in ``Right`` of bus.proto.
MESSAGE = 1
MEDIA = 2
CONTROL = 4
INVITE = 8
MUTE = 16
RECALL_OTHERS = 32
MANAGE = 64

#: Of MEMBER, ADMIN and OWNER, where business says nothing else.
USUAL_RIGHTS = (
    MESSAGE | MEDIA | CONTROL,
    MESSAGE | MEDIA | CONTROL | INVITE | MUTE | RECALL_OTHERS,
    MESSAGE | MEDIA | CONTROL | INVITE | MUTE | RECALL_OTHERS | MANAGE,
)
_NOBODY: Mapping[int, Any] = MappingProxyType({})


class Claims(NamedTuple):
    """What a good token says."""

    user_id: int
    device_id: str
    expires_at_ms: int
    scopes: frozenset[str]
    login_id: str
    #: Proves to the authority that whoever shows it asks for this user.
    ticket: bytes = b""
    #: Of the user, for policies that are let loose by it.
    level: int = 0


class Speaker(NamedTuple):
    """On whose behalf something is asked, and the ticket of theirs that proves it."""

    user_id: int
    ticket: bytes


class Membership(NamedTuple):
    """Who is in a conversation, and what holds there: all that business has to say about it.

    ``roles`` maps user id to MEMBER, ADMIN or OWNER. The other mappings name only those whom they concern:
    a group of 10,000 costs about 1.3 MB when each has a ``visible_from`` of its own, else 0.7 MB.
    """

    conversation_id: str
    kind: int
    version: int
    roles: Mapping[int, int]
    group_kind: int = 0
    #: Released to nobody while business cannot be asked.
    sensitive: bool = False
    #: Of each role, by its number.
    rights: tuple[int, ...] = USUAL_RIGHTS
    #: Milliseconds since 1970, as all times of mutes.
    all_muted_until_ms: int = 0
    muted_until_ms: Mapping[int, int] = _NOBODY
    #: 1:1: whose messages the other side does not take.
    refused: Mapping[int, str] = _NOBODY
    #: The first seq that a member sees; who is not named sees all.
    visible_from: Mapping[int, int] = _NOBODY
    #: Of the policy by which business judged, for the record.
    policy_version: int = 0


class ConversationEntry(NamedTuple):
    """One of a user's conversations, as its list shows it."""

    conversation_id: str
    kind: int
    peer_user_id: int
    title: str
    member_count: int
    #: The first seq that the user sees; 0 or 1: all.
    visible_from: int = 0


class Directory(Protocol):
    """The business role, as core sees it.

    All methods raise ``ServerBusy`` when the authority does not answer in time; what that means
    for a message is the caller's policy. ``AuthFailed`` and ``Forbidden`` are its considered no. A ``Speaker``
    whose ticket is not good for them is ``AuthFailed``, too.
    """

    async def verify(self, token: str, device_id: str) -> Claims:
        """The claims of a token that is good now, on this device; else AuthFailed."""
        ...

    async def membership(self, conversation_id: str, *, sparing: bool = False) -> Membership | None:
        """Who is in it; None if it does not exist (any more).

        :param sparing: ``ServerBusy`` at once where the authority had better be left alone: there is another way.
        """
        ...

    async def open_direct(self, speaker: Speaker, peer_user_id: int) -> str:
        """The id of the 1:1 conversation, made if need be; Forbidden if there is no such peer."""
        ...

    async def conversations_of(self, speaker: Speaker) -> Sequence[ConversationEntry]:
        """Every conversation the speaker is in."""
        ...

    async def visible(self, speaker: Speaker, target_ids: Sequence[int]) -> frozenset[int]:
        """Those of the targets whose presence the speaker may see."""
        ...
