"""Bodies of requests and answers about groups."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from imd.business.groups.invite import INVITED_PER_REQUEST
from imd.business.groups.joining import ANSWER_MAX_LENGTH, MESSAGE_MAX_LENGTH, QUESTION_MAX_LENGTH
from imd.business.groups.model import (
    ANNOUNCEMENT_MAX_LENGTH,
    BLACKLIST_REASON_MAX_LENGTH,
    MEMBER_TITLE_MAX_LENGTH,
    MEMBERS_PER_OPERATOR_REQUEST,
    MEMBERS_PER_REQUEST,
    NICKNAME_MAX_LENGTH,
)
from imd.business.groups.restrict import RESTRICTED_PER_REQUEST
from imd.business.rest.bodies import ConversationId, Milliseconds, Request, UserId

#: Ten years; whoever means longer means for good.
MAX_MUTE_S = 10 * 365 * 24 * 3600

Title = Annotated[str, Meta(min_length=1, max_length=128)]
Role = Literal["member", "admin", "owner"]
Kind = Literal["normal", "managed", "public", "official"]
RightName = Literal["message", "media", "control", "invite", "mute", "recall_others", "manage"]
Policy = Literal["invitation", "approval", "question", "open"]
History = Annotated[
    Literal["all", "from_join"],
    Meta(description="What those see who come in from then on: all, or what is said after they joined."),
]
Question = Annotated[str, Meta(min_length=1, max_length=QUESTION_MAX_LENGTH)]
Answer = Annotated[
    str, Meta(min_length=1, max_length=ANSWER_MAX_LENGTH, description="Case and spaces do not count.")
]
Message = Annotated[str, Meta(max_length=MESSAGE_MAX_LENGTH)]
Until = Annotated[int, Meta(description="Milliseconds since 1970; 0: not mute, in the year 9999: for good.")]
Seconds = Annotated[
    int, Meta(ge=0, le=MAX_MUTE_S, description="How long; 0 lifts it, left out: until it is lifted.")
]
ApplicationStateName = Literal["pending", "approved", "refused", "cancelled", "expired"]
InvitationStateName = Literal["pending", "accepted", "refused", "expired"]


class NewGroupBody(Request):
    """A group of the caller and these. A public one begins with an open door; managed and official groups are
    made by operators."""

    title: Title
    memberIds: Annotated[list[UserId], Meta(max_length=MEMBERS_PER_REQUEST)] = field(default_factory=list)
    kind: Literal["normal", "public"] = "normal"


class NewOperatorGroupBody(Request):
    """A group of any kind, with everybody in it at once."""

    title: Title
    ownerId: UserId
    memberIds: Annotated[list[UserId], Meta(max_length=MEMBERS_PER_OPERATOR_REQUEST)] = field(
        default_factory=list
    )
    kind: Kind = "normal"
    sensitive: bool = False
    history: History = "all"


class GroupChangeBody(Request):
    """What is to be different; what is left out stays. A question comes together with its answer."""

    title: Title | None = None
    joinPolicy: Policy | None = None
    question: Question | None = None
    answer: Answer | None = None
    membersInvite: bool | None = None
    consent: bool | None = None
    history: History | None = None


class OperatorGroupChangeBody(Request):
    """What is to be different; what is left out stays."""

    kind: Kind | None = None
    sensitive: bool | None = None


class MemberIdsBody(Request):
    """Whom to add or remove."""

    userIds: Annotated[list[UserId], Meta(min_length=1, max_length=MEMBERS_PER_REQUEST)]


class RoleBody(Request):
    """Ownership is given away by transfer only."""

    role: Literal["member", "admin"]


class MemberTitleBody(Request):
    """What somebody is called in the group; empty: nothing."""

    title: Annotated[str, Meta(max_length=MEMBER_TITLE_MAX_LENGTH)]


class TransferBody(Request):
    """The next owner."""

    userId: UserId


class AnnouncementBody(Request):
    """What everybody should know."""

    text: Annotated[str, Meta(min_length=1, max_length=ANNOUNCEMENT_MAX_LENGTH)]


class WishesBody(Request):
    """What the caller wants for themselves; what is left out stays."""

    nickname: Annotated[str, Meta(max_length=NICKNAME_MAX_LENGTH)] | None = None
    doNotDisturb: bool | None = None
    pinned: bool | None = None


class JoinBody(Request):
    """The answer to the question at the door, or a word to those who decide."""

    answer: Annotated[str, Meta(max_length=ANSWER_MAX_LENGTH)] = ""
    message: Message = ""


class InvitationsBody(Request):
    """Whom to ask, and with what words."""

    userIds: Annotated[list[UserId], Meta(min_length=1, max_length=INVITED_PER_REQUEST)]
    message: Message = ""


class MuteBody(Request):
    """Members, or everybody below admin; one of the two."""

    userIds: Annotated[list[UserId], Meta(max_length=RESTRICTED_PER_REQUEST)] = field(default_factory=list)
    everybody: bool = False
    seconds: Seconds | None = None


class BlacklistBody(Request):
    """Who is to be kept out, and why."""

    userIds: Annotated[list[UserId], Meta(min_length=1, max_length=RESTRICTED_PER_REQUEST)]
    reason: Annotated[str, Meta(max_length=BLACKLIST_REASON_MAX_LENGTH)] = ""


class AnnouncementAnswer(Struct):
    """What everybody should know, by whom, since when; an empty text: nothing."""

    text: str
    byUserId: str
    at: Milliseconds


class GroupAnswer(Struct):
    """A group the caller is in. ``version`` rises with every change."""

    conversationId: ConversationId
    title: str
    memberCount: int
    version: int
    role: Role
    createdAt: Milliseconds
    kind: Kind
    joinPolicy: Policy
    question: str
    membersInvite: bool
    consent: bool
    history: History
    allMutedUntil: Until
    announcement: AnnouncementAnswer


class OperatorGroupAnswer(Struct):
    """A group, as operators see it. ``sensitive`` is their mark, ``treatedAsSensitive`` what follows from all."""

    conversationId: ConversationId
    title: str
    memberCount: int
    version: int
    createdAt: Milliseconds
    kind: Kind
    sensitive: bool
    treatedAsSensitive: bool
    joinPolicy: Policy
    history: History
    allMutedUntil: Until


class DoorAnswer(Struct):
    """A group that one can join by oneself, from outside."""

    conversationId: ConversationId
    title: str
    memberCount: int
    kind: Kind
    joinPolicy: Policy
    question: str


class JoinedAnswer(Struct):
    """``pending``: an admin has to say yes."""

    state: Literal["joined", "pending"]


class MemberAnswer(Struct):
    """Somebody in a conversation."""

    userId: UserId
    handle: str
    displayName: str
    role: Role
    joinedAt: Milliseconds
    nickname: str
    title: str
    mutedUntil: Until


class MembersAnswer(Struct):
    """A page, by id; ``next`` goes into ``after``, empty: that was all."""

    members: list[MemberAnswer]
    next: str


class MembersChangedAnswer(Struct):
    """Whom the change really touched; with whom it was so already are not among them."""

    userIds: list[UserId]
    memberCount: int
    version: int


class UserIdsAnswer(Struct):
    """With whom it was not so before."""

    userIds: list[UserId]


class OwnRoleAnswer(Struct):
    """The caller in a conversation: ``rights`` of the role, and what stands in their way until when."""

    conversationId: ConversationId
    role: Role
    rights: list[RightName]
    mutedUntil: Until
    allMutedUntil: Until


class OwnAnswer(Struct):
    """The caller in a group."""

    conversationId: ConversationId
    role: Role
    nickname: str
    title: str
    mutedUntil: Until
    doNotDisturb: bool
    pinned: bool
    visibleFrom: Annotated[int, Meta(description="The first seq that the caller sees; 0: all.")]


class BarredAnswer(Struct):
    """Somebody who is kept out."""

    userId: UserId
    byUserId: str
    reason: str
    at: Milliseconds


class BlacklistAnswer(Struct):
    """A page, by id; ``next`` goes into ``after``, empty: that was all."""

    blacklist: list[BarredAnswer]
    next: str


class ApplicationAnswer(Struct):
    """Somebody who wants in."""

    conversationId: ConversationId
    groupTitle: str
    userId: UserId
    handle: str
    displayName: str
    message: str
    state: ApplicationStateName
    createdAt: Milliseconds


class ApplicationsAnswer(Struct):
    """A page; ``next`` goes into ``after``, empty: that was all."""

    applications: list[ApplicationAnswer]
    next: str


class InvitationAnswer(Struct):
    """A group that the caller is asked into; by the empty id: an operator."""

    conversationId: ConversationId
    groupTitle: str
    byUserId: str
    message: str
    state: InvitationStateName
    createdAt: Milliseconds


class InvitationsAnswer(Struct):
    """A page, by group; ``next`` goes into ``after``, empty: that was all."""

    invitations: list[InvitationAnswer]
    next: str
