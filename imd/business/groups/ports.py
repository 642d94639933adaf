"""Where groups and 1:1 conversations are kept, and who hears of their changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from imd.business.groups.joining import Admission, ApplicationInput, InvitationInput
from imd.business.groups.model import (
    OPERATOR,
    Barred,
    Change,
    Conversation,
    Group,
    Member,
    Own,
    Standing,
    StandingAt,
    Wishes,
)

#: What a group is to be; no effect but through what it returns.
GroupChanges = Callable[[Group], Group]


class Groups(Protocol):
    """Changes of groups. Each one checks rights and the rules of ``model`` where it happens, in its transaction.

    All raise ``Forbidden`` when the actor may not, ``ServerBusy`` (nothing was done) and
    ``OutcomeUnknown``. What they return is durable, and raised the version by one; where nothing
    had to change the version is the old one. This holds for ``Restrictions``, ``Admissions`` and ``Details``, too.
    The actor ``OPERATOR`` stands in every group where its owner does.
    """

    async def create(
        self, group: Group, owner_id: int, member_ids: Sequence[int], *, by_id: int = OPERATOR
    ) -> Change:
        """Who is brought in is brought in by ``by_id``."""
        ...

    async def change(
        self, conversation_id: str, actor_id: int, changes: GroupChanges
    ) -> tuple[Change, Group]:
        """Title, kind, mark and rules; ``user_ids`` is empty if it was so already. And the group before."""
        ...

    async def add(
        self,
        conversation_id: str,
        actor_id: int,
        user_ids: Sequence[int],
        now_ms: int,
        *,
        visible_from: int = 0,
    ) -> Change:
        """Whoever was in already is not among ``user_ids`` of the change.

        :param visible_from: the first seq they are to see where the history begins with the joining, 0: not
            known, then ``ServerBusy`` for such a group.
        """
        ...

    async def remove(
        self, conversation_id: str, actor_id: int, user_ids: Sequence[int], now_ms: int
    ) -> Change:
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


class Restrictions(Protocol):
    """Who may not write in a group, and who may not come in. Failures as in ``Groups``."""

    async def mute(
        self, conversation_id: str, actor_id: int, user_ids: Sequence[int], until_ms: int, now_ms: int
    ) -> Change:
        """Members below the actor, all of them or none; an end that is not in the future lifts it."""
        ...

    async def mute_all(self, conversation_id: str, actor_id: int, until_ms: int, now_ms: int) -> Change:
        """All members but admins and owner; ``user_ids`` is empty if it was so already."""
        ...

    async def bar(
        self, conversation_id: str, actor_id: int, user_ids: Sequence[int], reason: str, now_ms: int
    ) -> tuple[Change, Sequence[int]]:
        """Keep people out; who of them was in goes, as ``user_ids`` of the change. And who was not kept out before."""
        ...

    async def unbar(self, conversation_id: str, actor_id: int, user_id: int) -> bool:
        """Whether they were kept out."""
        ...

    async def barred(
        self, conversation_id: str, actor_id: int, *, after: int, limit: int
    ) -> Sequence[Barred]:
        """A page of those who are kept out, by user id."""
        ...


class Admissions(Protocol):
    """How people get in who are not simply added. Failures as in ``Groups``; states as in ``joining``.

    Where there is a ``Change`` its ``user_ids`` came in. ``visible_from`` as in ``Groups.add``.
    """

    async def door(self, conversation_id: str, user_id: int) -> Group | None:
        """A living group, for whoever stands outside and is not kept out."""
        ...

    async def join(
        self,
        conversation_id: str,
        user_id: int,
        *,
        sealed_answer: str,
        message: str,
        now_ms: int,
        visible_from: int,
    ) -> Change | None:
        """In, if the group's policy lets them; None: it waits for an approval."""
        ...

    async def decide(
        self,
        conversation_id: str,
        actor_id: int,
        user_id: int,
        happens: ApplicationInput,
        *,
        now_ms: int,
        visible_from: int,
    ) -> Change: ...

    async def cancel(self, conversation_id: str, user_id: int, now_ms: int) -> None:
        """The user's own application."""
        ...

    async def invite(
        self, conversation_id: str, actor_id: int, user_ids: Sequence[int], message: str, now_ms: int
    ) -> tuple[Group, Sequence[int]]:
        """Who was not invited, and not in, already."""
        ...

    async def answer(
        self, conversation_id: str, user_id: int, happens: InvitationInput, *, now_ms: int, visible_from: int
    ) -> Change | None:
        """What the invited says; None: they would come, and it waits for an approval."""
        ...

    async def applications(
        self, conversation_id: str, actor_id: int, *, now_ms: int, after: int, limit: int
    ) -> Sequence[Admission]:
        """A page of the open ones, by user id."""
        ...

    async def of_user(self, user_id: int, kind: int, *, after: str, limit: int) -> Sequence[Admission]:
        """A page of the user's own, by group, settled ones too for a while."""
        ...


class Details(Protocol):
    """What is said of a group and its members. Failures as in ``Groups``."""

    async def set_title(self, conversation_id: str, actor_id: int, user_id: int, title: str) -> Change:
        """What a member below the actor, or the actor, is called in the group; empty: nothing."""
        ...

    async def announce(self, conversation_id: str, actor_id: int, text: str, now_ms: int) -> Change:
        """An empty text takes the announcement away; ``user_ids`` is empty if it was so already."""
        ...

    async def own(self, conversation_id: str, user_id: int) -> Own: ...

    async def wish(self, conversation_id: str, user_id: int, wishes: Wishes) -> Own:
        """Costs no version: it concerns nobody else."""
        ...


class StandingsAt(Protocol):
    """What was true of people in conversations. Raises ``ServerBusy``."""

    async def standing_at(self, conversation_id: str, user_id: int, at_ms: int) -> StandingAt:
        """At a time of the last seven days; of a 1:1 conversation only whether it is theirs."""
        ...


class Past(Protocol):
    """What is kept for a while only."""

    async def forget(self, now_ms: int) -> int:
        """Drop what is too old by now; how much. Failures as in ``Groups``."""
        ...


class History(Protocol):
    """How far conversations have come, as core knows."""

    async def last_seq(self, conversation_id: str) -> int:
        """The last durable seq, 0 if there is none; ServerBusy if core does not answer."""
        ...


class Memberships(Protocol):
    """What is asked about conversations of both kinds. All raise ``ServerBusy``."""

    async def standing(self, conversation_id: str, user_id: int) -> Standing | None:
        """A group as this user sees it; None if they are not in it, or it is none (any more)."""
        ...

    async def members(self, conversation_id: str, *, after: int, limit: int) -> Sequence[Member]:
        """A page of a group's members, by user id."""
        ...

    async def pair(self, conversation_id: str) -> Sequence[Member]:
        """The two of a 1:1 conversation; nobody if it is none."""
        ...

    async def group(self, conversation_id: str) -> Group | None:
        """A living group, whoever asks; None if it is none (any more)."""
        ...

    async def conversations_of(self, user_id: int, *, after: str = "", limit: int) -> Sequence[Conversation]:
        """A user's conversations, by id."""
        ...

    async def visible(self, user_id: int, target_ids: Sequence[int]) -> frozenset[int]:
        """Those of the targets that are friends of the user or share a 1:1 conversation or a small group with
        them, unless one of the two blocks the other, or the target does not want to be seen."""
        ...


class Directs(Protocol):
    """1:1 conversations. All raise ``ServerBusy``, ``open`` also ``OutcomeUnknown``."""

    async def exists(self, conversation_id: str) -> bool: ...

    async def open(self, conversation_id: str, user_id: int, peer_id: int, now_ms: int) -> bool:
        """Make it; False if it was there. ``Forbidden``, always in the same words, if the user may not write to
        the peer, or one of them is no active user."""
        ...


class Announcements(Protocol):
    """Tells the other roles. Neither method raises."""

    async def membership_changed(
        self,
        conversation_id: str,
        version: int,
        *,
        removed_ids: Sequence[int] = (),
        reason: str = "",
        restricted_ids: Sequence[int] = (),
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
        until_ms: int = 0,
    ) -> None:
        """Ask for a system notice in the conversation; tried for a while, and lost if this process ends."""
        ...
