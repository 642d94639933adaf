"""Conversations and who is in them: plain records and pure rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from imd.business.groups.joining import JoinPolicy
from imd.business.text import check_line
from imd.kernel.errors import Forbidden, PayloadInvalid

DIRECT = 1
GROUP = 2

MEMBER = 0
ADMIN = 1
OWNER = 2

NORMAL = 1
MANAGED = 2
PUBLIC = 3
OFFICIAL = 4

#: Who acts for the operator: no user has this id, and in every group it stands where the owner does.
OPERATOR = 0

TITLE_MAX_LENGTH = 128
NICKNAME_MAX_LENGTH = 64
MEMBER_TITLE_MAX_LENGTH = 32
ANNOUNCEMENT_MAX_LENGTH = 2_000
BLACKLIST_REASON_MAX_LENGTH = 200
#: Spec 25.5: people are added and removed in chunks of so many, and read in pages of so many.
MEMBERS_PER_REQUEST = 1_000
MEMBERS_PER_PAGE = 500
#: Of a whole group that an operator makes at one stroke.
MEMBERS_PER_OPERATOR_REQUEST = 10_000
BLACKLIST_PER_PAGE = 500
#: Whoever is kept out costs a row for good; more of them are a case for another join policy.
MAX_BLACKLIST = 10_000
#: More of them and nobody knows any more whom to ask.
MAX_ADMINS = 50
#: A mute without an end, as a time: the last millisecond of the year 9999.
FOR_GOOD_MS = 253_402_300_799_999
CONVERSATIONS_PER_PAGE = 500
#: Being in a crowd together does not let people watch each other.
VISIBLE_GROUP_MEMBERS = 500

#: Said alike for what is foreign, dissolved and never was.
UNKNOWN = "you are not in this conversation, or it does not exist"


class Rules(NamedTuple):
    """How one gets into a group, and what one sees there."""

    join_policy: int = JoinPolicy.INVITATION
    question: str = ""
    #: See ``joining.Answers``.
    sealed_answer: str = ""
    members_invite: bool = False
    #: Whoever is brought in must say yes first.
    consent: bool = False
    #: Who comes in sees what is said from then on, and nothing from before.
    history_from_join: bool = False


class Announcement(NamedTuple):
    """What everybody in a group should know; without a text: there is none."""

    text: str = ""
    by_user_id: int = 0
    at_ms: int = 0


class Group(NamedTuple):
    """A group; ``version`` rises with every change of it or its members."""

    conversation_id: str
    title: str
    version: int
    member_count: int
    created_at_ms: int
    kind: int = NORMAL
    #: Marked so by an operator; see ``permission.rights.is_sensitive``.
    sensitive: bool = False
    rules: Rules = Rules()
    announcement: Announcement = Announcement()
    #: Members below ADMIN are silent until then, since then.
    all_muted_until_ms: int = 0
    all_muted_at_ms: int = 0


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
    nickname: str = ""
    title: str = ""
    muted_until_ms: int = 0


class Wishes(NamedTuple):
    """What a member wants for themselves; nobody's rights depend on it. None: as it is."""

    nickname: str | None = None
    do_not_disturb: bool | None = None
    pinned: bool | None = None


class Own(NamedTuple):
    """A group as one of its members stands in it."""

    standing: Standing
    nickname: str
    title: str
    muted_until_ms: int
    do_not_disturb: bool
    pinned: bool
    visible_from_seq: int


class StandingAt(NamedTuple):
    """How somebody stood in a conversation at some time; the role is the last one they had."""

    is_member: bool
    role: int
    is_muted: bool
    is_barred: bool
    #: Whether their account was.
    is_active: bool = True


class Barred(NamedTuple):
    """Somebody who is kept out of a group."""

    user_id: int
    by_user_id: int
    reason: str
    at_ms: int


class Change(NamedTuple):
    """A committed change: the group after it, and whom it touched."""

    group: Group
    user_ids: Sequence[int] = ()
    #: Of these, or of those who came in: who may do less than an ordinary member.
    restricted_ids: Sequence[int] = ()


class Conversation(NamedTuple):
    """One of a user's conversations, as its list shows it."""

    conversation_id: str
    kind: int
    title: str
    member_count: int
    peer_user_id: int
    #: The first seq that the user sees; 0: all.
    visible_from: int
    #: The user's own wishes, in groups.
    do_not_disturb: int
    pinned: int


def group_id(number: int) -> str:
    """The id of a new group."""
    return f"g_{number:016x}"


def check_title(title: str) -> str:
    """The title of a group, trimmed."""
    title = check_line(title, max_length=TITLE_MAX_LENGTH, field="title")
    if not title:
        raise PayloadInvalid("title must not be empty", field="title")
    return title


def may_leave(role: int, member_count: int) -> None:
    """Leave; a group never loses its owner."""
    if role == OWNER and member_count > 1:
        raise Forbidden("transfer the ownership first, or dissolve the group", reason="owner")
