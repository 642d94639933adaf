"""What the operations about groups read and answer alike."""

from __future__ import annotations

from imd.business.groups.joining import JoinPolicy
from imd.business.groups.model import (
    ADMIN,
    CONVERSATIONS_PER_PAGE,
    MANAGED,
    MEMBER,
    MEMBERS_PER_PAGE,
    NORMAL,
    OFFICIAL,
    OWNER,
    PUBLIC,
    UNKNOWN,
    Change,
    Member,
    Standing,
)
from imd.business.rest.group_bodies import (
    AnnouncementAnswer,
    GroupAnswer,
    History,
    Kind,
    MemberAnswer,
    MembersChangedAnswer,
    Policy,
    Role,
)
from imd.business.rest.operation import Asked, Parameter
from imd.kernel.errors import Forbidden, PayloadInvalid
from imd.kernel.ids import is_id

_MAX_ID = (1 << 63) - 1
ROLE_NAMES: dict[int, Role] = {MEMBER: "member", ADMIN: "admin", OWNER: "owner"}
KIND_NAMES: dict[int, Kind] = {
    NORMAL: "normal",
    MANAGED: "managed",
    PUBLIC: "public",
    OFFICIAL: "official",
}
KINDS = {name: kind for kind, name in KIND_NAMES.items()}
POLICY_NAMES: dict[int, Policy] = {
    JoinPolicy.INVITATION: "invitation",
    JoinPolicy.APPROVAL: "approval",
    JoinPolicy.QUESTION: "question",
    JoinPolicy.OPEN: "open",
}
POLICIES = {name: JoinPolicy(policy) for policy, name in POLICY_NAMES.items()}

GROUP_ID = Parameter("id", {"type": "string"}, "A group's conversation id.")
CONVERSATION_ID = Parameter("id", {"type": "string"}, "A conversation's id.")
USER_ID = Parameter("userId", {"type": "string"}, "A user's id.")
AFTER = Parameter("after", {"type": "string"}, "The page's ``next`` of the page before.")
LIMIT = Parameter(
    "limit",
    {"type": "integer", "minimum": 1, "maximum": min(MEMBERS_PER_PAGE, CONVERSATIONS_PER_PAGE)},
    "At most so many.",
)


def conversation_id_of(asked: Asked) -> str:
    """The id in the path; what is none is told apart from a foreign one by nothing."""
    conversation_id = asked.path["id"]
    if not is_id(conversation_id):
        raise Forbidden(UNKNOWN)
    return conversation_id


def user_id_of(text: str, field: str) -> int:
    """A user's id, or PayloadInvalid naming the field."""
    # isdigit alone would take other scripts' digits, and int() far longer numbers than an id has.
    if not (text.isascii() and text.isdigit() and len(text) <= 19) or not 0 < int(text) <= _MAX_ID:
        raise PayloadInvalid(f"{field} is no user id", field=field)
    return int(text)


def user_ids_of(texts: list[str], field: str = "userIds") -> list[int]:
    """Users' ids, or PayloadInvalid naming the field."""
    return [user_id_of(text, field) for text in texts]


def after_user(asked: Asked) -> int:
    """Where a page of people begins."""
    after = asked.query.get("after", "")
    return user_id_of(after, "after") if after else 0


def after_conversation(asked: Asked) -> str:
    """Where a page of conversations begins."""
    after = asked.query.get("after", "")
    if after and not is_id(after):
        raise PayloadInvalid("after is no conversation id", field="after")
    return after


def limit_of(asked: Asked, most: int) -> int:
    """How many a page may have."""
    text = asked.query.get("limit", str(most))
    if not (text.isascii() and text.isdigit() and len(text) <= 4) or not 1 <= int(text) <= most:
        raise PayloadInvalid(f"limit must be 1 to {most}", field="limit")
    return int(text)


def history_name(from_join: bool) -> History:
    """As clients say it."""
    return "from_join" if from_join else "all"


def group_answer(standing: Standing) -> GroupAnswer:
    """The group as one of its members sees it."""
    group = standing.group
    rules, announcement = group.rules, group.announcement
    return GroupAnswer(
        group.conversation_id,
        group.title,
        group.member_count,
        group.version,
        ROLE_NAMES[standing.role],
        group.created_at_ms,
        KIND_NAMES[group.kind],
        POLICY_NAMES[rules.join_policy],
        rules.question,
        rules.members_invite,
        rules.consent,
        history_name(rules.history_from_join),
        group.all_muted_until_ms,
        AnnouncementAnswer(announcement.text, user_name(announcement.by_user_id), announcement.at_ms),
    )


def member_answer(member: Member) -> MemberAnswer:
    """Somebody in a conversation."""
    return MemberAnswer(
        str(member.user_id),
        member.handle,
        member.display_name,
        ROLE_NAMES[member.role],
        member.joined_at_ms,
        member.nickname,
        member.title,
        member.muted_until_ms,
    )


def changed_answer(change: Change) -> MembersChangedAnswer:
    """Whom it touched."""
    return MembersChangedAnswer(
        [str(user_id) for user_id in change.user_ids], change.group.member_count, change.group.version
    )


def user_name(user_id: int) -> str:
    """An id as JSON has it; the operator, and nobody, are empty."""
    return str(user_id) if user_id else ""
