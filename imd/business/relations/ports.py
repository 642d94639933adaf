"""Where friends, blocks and privacy are kept, and who hears of their changes.

Every method raises ``ServerBusy`` (nothing was done), the writing ones also ``OutcomeUnknown``, and ``Forbidden``
where the rules of ``model`` say so. A user that never was, one who is frozen or gone and one who does not
accept are refused alike. What a write returns is durable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from imd.business.relations.model import Asking, Privacy, Request
from imd.business.relations.synced import Place


class Changed(NamedTuple):
    """A 1:1 conversation whose two may do something else to each other since this version of it.

    Version 0: something may have changed; it is newer than whatever is known.
    """

    conversation_id: str
    version: int
    user_ids: tuple[int, int]


class Outcome(NamedTuple):
    """How a request stands, and the conversation whose rules changed by it, if one did."""

    state: Asking
    changed: Sequence[Changed] = ()


class Friend(NamedTuple):
    """An entry of a friend list; ``ended``: it is none any more."""

    user_id: int
    handle: str
    display_name: str
    avatar_url: str
    remark: str
    friend_group_id: int
    since_ms: int
    ended: bool


class FriendGroup(NamedTuple):
    """A named part of a friend list."""

    group_id: int
    name: str


class FriendPage(NamedTuple):
    """What a device does not know yet of a friend list.

    ``full``: what it had counts no more. ``groups`` None: they are what they were. ``more``: there is another page.
    """

    full: bool
    friends: Sequence[Friend]
    groups: Sequence[FriendGroup] | None
    place: Place
    more: bool


class OpenRequest(NamedTuple):
    """A request as one of the two sees it; the rest is about the other."""

    request: Request
    handle: str
    display_name: str
    avatar_url: str


class Blocked(NamedTuple):
    """Somebody who is blocked."""

    user_id: int
    handle: str
    display_name: str
    since_ms: int


class Requests(Protocol):
    """Requests for friendship."""

    async def ask(self, user_id: int, to_user: int, message: str, now_ms: int) -> Outcome:
        """Asking somebody who has asked already makes friends; friends stay what they are."""
        ...

    async def accept(self, user_id: int, from_user: int, now_ms: int) -> Outcome: ...

    async def refuse(self, user_id: int, from_user: int, now_ms: int) -> Outcome: ...

    async def cancel(self, user_id: int, to_user: int, now_ms: int) -> Outcome: ...

    async def incoming(self, user_id: int, *, after: int, limit: int, now_ms: int) -> Sequence[OpenRequest]:
        """Those that wait for this user's answer, by the id of who asks; not of people who are blocked."""
        ...

    async def outgoing(self, user_id: int, *, after: int, limit: int, now_ms: int) -> Sequence[OpenRequest]:
        """What this user asked, and what became of it, by the id of who was asked."""
        ...


class Friends(Protocol):
    """Friend lists and the groups in them."""

    async def page(self, user_id: int, place: Place, *, limit: int) -> FriendPage: ...

    async def part(self, user_id: int, friend_id: int, now_ms: int) -> Sequence[Changed]:
        """No friends any more; who is none stays none."""
        ...

    async def part_all(self, user_id: int, now_ms: int, *, limit: int) -> int:
        """End at most ``limit`` friendships of somebody who goes; how many there were."""
        ...

    async def describe(
        self, user_id: int, friend_id: int, *, remark: str | None, friend_group_id: int | None
    ) -> None:
        """The user's own words for a friend, and their place; None leaves it. Group 0 is none."""
        ...

    async def add_group(self, user_id: int, group_id: int, name: str) -> None:
        """At the end."""
        ...

    async def change_group(
        self, user_id: int, group_id: int, *, name: str | None, position: int | None
    ) -> None:
        """``position`` counts from 0; beyond the last it is the last."""
        ...

    async def remove_group(self, user_id: int, group_id: int) -> None:
        """Whoever was in it is in none."""
        ...


class Blocks(Protocol):
    """Whom users do not want to hear of."""

    async def block(self, user_id: int, blocked_id: int, now_ms: int) -> Sequence[Changed] | None:
        """None: it was so already."""
        ...

    async def lift(self, user_id: int, blocked_id: int) -> Sequence[Changed] | None:
        """None: there was nothing to lift."""
        ...

    async def page(self, user_id: int, *, after: int, limit: int) -> Sequence[Blocked]:
        """By user id."""
        ...


class Privacies(Protocol):
    """What users let others do."""

    async def privacy(self, user_id: int) -> Privacy: ...

    async def set_privacy(
        self, user_id: int, changes: Mapping[str, Any]
    ) -> tuple[Privacy, Privacy, Sequence[Changed]]:
        """Set these fields of ``Privacy``; what it was and is, and the conversations whose rules changed."""
        ...


class Relations(Protocol):
    """What is asked about pairs."""

    async def refused(self, user_id: int, other_id: int) -> Mapping[int, str]:
        """Who of the two may not write to the other, and the reason to tell; a user who is not known, and both
        where one is gone."""
        ...

    async def maybe_changed(self, user_id: int) -> Sequence[Changed]:
        """All conversations of a user of whom nobody knows whether something was changed, without a version."""
        ...


class Announcements(Protocol):
    """Tells the other roles. Never raises; tries until it is told."""

    async def relations_changed(self, changed: Sequence[Changed], *, restricted: bool) -> None:
        """What these conversations' members may do is not what it was; ``restricted``: maybe less."""
        ...

    async def sight_changed(self, user_id: int, peer_ids: Sequence[int] = ()) -> None:
        """Who sees the presence of whom may be different between the user and these, or all if there are none."""
        ...
