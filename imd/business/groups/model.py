"""Conversations and who is in them: plain records and pure rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from imd.business.text import check_line
from imd.kernel.errors import Forbidden, PayloadInvalid

DIRECT = 1
GROUP = 2

MEMBER = 0
ADMIN = 1
OWNER = 2

TITLE_MAX_LENGTH = 128
#: People to add in one request; the bus and the notice carry so many with ease.
MEMBERS_PER_REQUEST = 500
MEMBERS_PER_PAGE = 500
CONVERSATIONS_PER_PAGE = 500
#: Being in a crowd together does not let people watch each other.
VISIBLE_GROUP_MEMBERS = 500

#: Said alike for what is foreign, dissolved and never was.
UNKNOWN = "you are not in this conversation, or it does not exist"


class Group(NamedTuple):
    """A group; ``version`` rises with every change of it or its members."""

    conversation_id: str
    title: str
    version: int
    member_count: int
    created_at_ms: int


class Standing(NamedTuple):
    """A group, as one of its members sees it."""

    group: Group
    role: int


class Member(NamedTuple):
    """Somebody in a group."""

    user_id: int
    handle: str
    display_name: str
    role: int
    joined_at_ms: int


class Change(NamedTuple):
    """A committed change: the group after it, and whom it touched."""

    group: Group
    user_ids: Sequence[int] = ()


class Conversation(NamedTuple):
    """One of a user's conversations, as its list shows it."""

    conversation_id: str
    kind: int
    title: str
    member_count: int
    peer_user_id: int


class Membership(NamedTuple):
    """Who is in a conversation; pairs of user id and role."""

    kind: int
    version: int
    title: str
    roles: Sequence[tuple[int, int]]


def group_id(number: int) -> str:
    """The id of a new group."""
    return f"g_{number:016x}"


def check_title(title: str) -> str:
    """The title, trimmed."""
    title = check_line(title, max_length=TITLE_MAX_LENGTH, field="title")
    if not title:
        raise PayloadInvalid("title must not be empty", field="title")
    return title


def may_manage(role: int) -> None:
    """Rename, and add people: owner and admins."""
    if role < ADMIN:
        raise Forbidden("only the owner and admins may do this")


def may_own(role: int) -> None:
    """Roles, transfer, dissolve: the owner."""
    if role != OWNER:
        raise Forbidden("only the owner may do this")


def may_remove(role: int, targets: Sequence[int]) -> None:
    """Remove people who stand below oneself."""
    may_manage(role)
    if any(target >= role for target in targets):
        raise Forbidden("only people with a lower role can be removed")


def may_leave(role: int, member_count: int) -> None:
    """Leave; a group never loses its owner."""
    if role == OWNER and member_count > 1:
        raise Forbidden("transfer the ownership first, or dissolve the group")
