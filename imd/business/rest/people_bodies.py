"""Bodies of requests and answers about people: profiles, privacy, devices, friends, blocks, and for operators."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from imd.business.accounts.model import (
    ABOUT_MAX_LENGTH,
    AVATAR_URL_MAX_LENGTH,
    DISPLAY_NAME_MAX_LENGTH,
    LEVEL_MAX,
)
from imd.business.accounts.states import REASON_MAX_LENGTH
from imd.business.relations.model import (
    FRIEND_GROUPS_MAX,
    GROUP_NAME_MAX_LENGTH,
    MESSAGE_MAX_LENGTH,
    REMARK_MAX_LENGTH,
)
from imd.business.rest.bodies import Milliseconds, Password, Request, UserAnswer, UserId

GroupId = Annotated[str, Meta(pattern="^(0|[1-9][0-9]{0,18})$", description="A friend group's id; 0: none.")]
GroupName = Annotated[str, Meta(min_length=1, max_length=GROUP_NAME_MAX_LENGTH)]
Audience = Literal["everyone", "friends", "nobody"]
RequestState = Literal["pending", "accepted", "refused", "cancelled", "expired"]
Place = Annotated[
    str, Meta(description="How far the list is read; goes into ``since``, and is not to be understood.")
]


class ProfileBody(Request):
    """What is to be different. An empty name is the handle again."""

    displayName: Annotated[str, Meta(max_length=DISPLAY_NAME_MAX_LENGTH)] | UnsetType = UNSET
    about: Annotated[str, Meta(max_length=ABOUT_MAX_LENGTH)] | UnsetType = UNSET
    avatarUrl: Annotated[str, Meta(max_length=AVATAR_URL_MAX_LENGTH)] | UnsetType = UNSET


class CloseBody(Request):
    """The password proves that it is not just a stolen token."""

    password: Password


class PrivacyBody(Request):
    """What is to be different."""

    messageFrom: Audience | UnsetType = UNSET
    addFrom: Literal["everyone", "nobody"] | UnsetType = UNSET
    presenceTo: Literal["contacts", "friends", "nobody"] | UnsetType = UNSET
    findable: bool | UnsetType = UNSET


class PrivacyAnswer(Struct):
    """What others may do. Contacts are friends and all who share a conversation of two or a small group."""

    messageFrom: Annotated[
        Audience, Meta(description="Who may write to the user, add them to groups and ask them into some.")
    ]
    addFrom: Literal["everyone", "nobody"]
    presenceTo: Literal["contacts", "friends", "nobody"]
    findable: bool


class UsersAnswer(Struct):
    """Those who are there, in no order that means anything."""

    users: list[UserAnswer]


class FoundAnswer(Struct):
    """By handle; ``more``: there are others, who are found by a longer beginning."""

    users: list[UserAnswer]
    more: bool


class FriendRequestBody(Request):
    """Whom to ask, and what to say."""

    userId: UserId
    message: Annotated[str, Meta(max_length=MESSAGE_MAX_LENGTH)] = ""


class FriendRequestAnswer(Struct):
    """How a request stands now."""

    state: RequestState


class FriendRequest(Struct):
    """A request; ``user`` is the other one."""

    user: UserAnswer
    state: RequestState
    message: str
    createdAt: Milliseconds
    decidedAt: Milliseconds


class FriendRequestsAnswer(Struct):
    """A page, by the other's id; ``next`` goes into ``after``, empty: that was all."""

    requests: list[FriendRequest]
    next: str


class FriendAnswer(Struct):
    """Somebody in the caller's friend list. Name and picture are those of now; they change without a new version."""

    userId: UserId
    handle: str
    displayName: str
    avatarUrl: str
    remark: str
    friendGroupId: str
    since: Milliseconds


class FriendGroupAnswer(Struct):
    """A named part of the list."""

    friendGroupId: str
    name: str


class FriendsAnswer(Struct):
    """What changed since then. ``full``: forget the list that is there. ``more``: ask again with this ``version``.

    ``groups``, if there: all of them, in order.
    """

    version: Place
    full: bool
    friends: list[FriendAnswer]
    removed: list[UserId]
    more: bool
    groups: list[FriendGroupAnswer] | None = None


class FriendBody(Request):
    """What is to be different."""

    remark: Annotated[str, Meta(max_length=REMARK_MAX_LENGTH)] | UnsetType = UNSET
    friendGroupId: GroupId | UnsetType = UNSET


class FriendGroupBody(Request):
    """A new one."""

    name: GroupName


class FriendGroupChangeBody(Request):
    """What is to be different."""

    name: GroupName | UnsetType = UNSET
    position: Annotated[int, Meta(ge=0, lt=FRIEND_GROUPS_MAX, description="From 0.")] | UnsetType = UNSET


class BlockedAnswer(Struct):
    """Somebody who is blocked."""

    userId: UserId
    handle: str
    displayName: str
    since: Milliseconds


class BlocksAnswer(Struct):
    """A page, by id; ``next`` goes into ``after``, empty: that was all."""

    blocks: list[BlockedAnswer]
    next: str


class AccountStateBody(Request):
    """A reason is needed to freeze."""

    state: Literal["active", "frozen"]
    reason: Annotated[str, Meta(max_length=REASON_MAX_LENGTH)] = ""


class AccountLevelBody(Request):
    """0 is what everybody has at first."""

    level: Annotated[int, Meta(ge=0, le=LEVEL_MAX)]


class AccountLevelAnswer(Struct):
    """What level an account has now."""

    userId: UserId
    level: int


class AccountStateAnswer(Struct):
    """How an account stands, since when (0: always) and why."""

    userId: UserId
    handle: str
    displayName: str
    state: Literal["active", "frozen", "deleted"]
    since: Milliseconds
    reason: str


class DeviceBanAnswer(Struct):
    """A device that is kept out at an address."""

    deviceId: str
    address: str
    failures: int
    until: Milliseconds


class DeviceBansAnswer(Struct):
    """A page, by device and address; ``next`` goes into ``after``, empty: that was all."""

    bans: list[DeviceBanAnswer]
    next: str


class LiftedAnswer(Struct):
    """How many bans there were."""

    lifted: int
