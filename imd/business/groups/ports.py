"""Where groups and 1:1 conversations are kept, and who hears of their changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from imd.business.groups.model import Change, Conversation, Group, Member, Membership, Standing


class Groups(Protocol):
    """Changes of groups. Each one checks the rules of ``model`` where it happens, in its transaction.

    All raise ``Forbidden`` when the actor may not, ``ServerBusy`` (nothing was done) and
    ``OutcomeUnknown``. What they return is durable, and raised the version by one; where nothing
    had to change the version is the old one.
    """

    async def create(self, group: Group, owner_id: int, member_ids: Sequence[int]) -> Change: ...

    async def rename(self, conversation_id: str, actor_id: int, title: str) -> Change: ...

    async def add(self, conversation_id: str, actor_id: int, user_ids: Sequence[int], now_ms: int) -> Change:
        """Whoever was in already is not among ``user_ids`` of the change."""
        ...

    async def remove(self, conversation_id: str, actor_id: int, user_ids: Sequence[int]) -> Change:
        """Whoever was not in is not among ``user_ids`` of the change."""
        ...

    async def leave(self, conversation_id: str, actor_id: int, now_ms: int) -> Change:
        """The last one to leave dissolves the group."""
        ...

    async def set_role(self, conversation_id: str, actor_id: int, user_id: int, role: int) -> Change: ...

    async def transfer(self, conversation_id: str, actor_id: int, user_id: int) -> Change:
        """The old owner becomes an admin."""
        ...

    async def dissolve(self, conversation_id: str, actor_id: int, now_ms: int) -> Change: ...


class Memberships(Protocol):
    """What is asked about conversations of both kinds. All raise ``ServerBusy``."""

    async def standing(self, conversation_id: str, user_id: int) -> Standing | None:
        """A group as this user sees it; None if they are not in it, or it is none (any more)."""
        ...

    async def members(self, conversation_id: str, *, after: int, limit: int) -> Sequence[Member]:
        """A page of a group's members, by user id."""
        ...

    async def membership(self, conversation_id: str) -> Membership | None:
        """Everybody in a conversation; None if it does not exist (any more)."""
        ...

    async def conversations_of(self, user_id: int, *, after: str = "", limit: int) -> Sequence[Conversation]:
        """A user's conversations, by id."""
        ...

    async def visible(self, user_id: int, target_ids: Sequence[int]) -> frozenset[int]:
        """Those of the targets that share a 1:1 conversation or a small group with the user."""
        ...


class Directs(Protocol):
    """1:1 conversations. All raise ``ServerBusy``, ``open`` also ``OutcomeUnknown``."""

    async def exists(self, conversation_id: str) -> bool: ...

    async def open(self, conversation_id: str, user_id: int, peer_id: int, now_ms: int) -> bool:
        """Make it; False if it was there. ``Forbidden`` if one of them is no active user."""
        ...


class Announcements(Protocol):
    """Tells the other roles. Neither method raises."""

    async def membership_changed(
        self, conversation_id: str, version: int, *, removed_ids: Sequence[int] = (), reason: str = ""
    ) -> None:
        """What was cached of this conversation is not true any more; tries until it is told.

        Those who were removed are told so on their live connections: kicked, left or dissolved.
        """
        ...

    async def notice(
        self,
        conversation_id: str,
        version: int,
        event: str,
        *,
        actor_id: int,
        subject_ids: Sequence[int] = (),
        text: str = "",
    ) -> None:
        """Ask for a system notice in the conversation; tried for a while, and lost if this process ends."""
        ...
