"""How people are told: names, times, and what each reason means."""

from __future__ import annotations

from datetime import UTC, datetime

from imd.bus.audit import DEGRADED
from imd.business.accounts.model import FROZEN
from imd.business.explain.model import Facts, Person
from imd.kernel.errors import Code
from imd.pb.explain_pb2 import ExplainEvent

#: Reason -> what it means of the sender, and what to do about it.
_REASONS = {
    "muted": ("{sender} was muted in this conversation", "lift the mute, or wait until it is over"),
    "all_muted": ("only admins may write in this group now", "an admin lifts it: DELETE .../groups/ID/mute"),
    "not_member": (
        "{sender} is not in this conversation, or was not then",
        "bring them in, if they belong there",
    ),
    "no_right": ("the role of {sender} may not write in this group", "only its admins write here"),
    "no_scope": (
        "the token of {sender} is not for sending messages",
        "their application asks for another scope",
    ),
    "content": ("the content check does not let it pass", "see docs/content.rst: word lists, hook, reviews"),
    DEGRADED: (
        "nobody could check whether {sender} may write here: im-business did not answer in time",
        "look at im-business, its database and the bus at that time; the client sends it again",
    ),
}
_CODES = {
    Code.RATE_LIMITED: (
        "{sender} sent too much too fast ({said})",
        "the client waits and sends it again; limits: section [limits] and [quotas]",
    ),
    Code.IDEMPOTENT_CONFLICT: (
        "its clientMsgId had been used for another message",
        "the client must make a new clientMsgId for each message",
    ),
    Code.SERVER_BUSY: ("the server was busy ({said})", "the client sends it again; look at load and stores"),
    Code.PAYLOAD_INVALID: ("the request was malformed ({said})", "the client is to be mended"),
    Code.MEDIA_REQUIRED: ("a media message came without its medium ({said})", "the client uploads it first"),
    Code.INTERNAL_ERROR: ("the server made a mistake ({said})", "its log at that time tells more"),
}


def at(time_ms: int) -> str:
    """A time in UTC, to the millisecond."""
    if not time_ms:
        return "an unknown time"
    moment = datetime.fromtimestamp(time_ms / 1000, tz=UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{time_ms % 1000:03}Z"


def name_of(person: Person | None) -> str:
    """As operators know them."""
    return "the server" if person is None else person.account.handle


def told(facts: Facts, reason: str, *, code: int = 0, said: str = "") -> tuple[str, str]:
    """What a reason means, and what to do."""
    if reason == "not_accepted":
        return _not_accepted(facts)
    found = _REASONS.get(reason) or _CODES.get(code) or (said or reason, "")  # type: ignore[call-overload]
    text, advice = found
    return text.format(sender=name_of(facts.sender), said=said), advice


def summed(event: ExplainEvent, facts: Facts) -> str:
    """What stands for many."""
    when = f"from {at(event.since)} to {at(event.at)}"
    if event.what == "sessions_summed":
        who = name_of(facts.receiver)
        return f"{who} came and went so often that {event.count} records of that {when} are not kept singly"
    text = told(facts, event.reason, code=event.code, said=event.reason)[0] if event.code else "sent again"
    return f"{event.count} sends of {name_of(facts.sender)} {when} are not kept singly; of the last: {text}"


def _not_accepted(facts: Facts) -> tuple[str, str]:
    """Clients are never told which of them it is; operators are."""
    receiver, sender, standing = facts.receiver, facts.sender, facts.standing
    for block in standing.blocks:
        both = (receiver, sender) if block.by_user_id == receiver.account.user_id else (sender, receiver)
        text = f"{name_of(both[0])} blocks {name_of(both[1])} since {at(block.since_ms)}"
        return text, "blocks are people's own; nothing to do"
    for person in (receiver, sender):
        if person is not None and person.account.status == FROZEN:
            return f"the account of {name_of(person)} is frozen since {at(person.since_ms)}", "thaw it"
    if standing.is_choosy:
        return (
            f"{name_of(receiver)} does not take messages from everybody, and {name_of(sender)} is no friend",
            "they make friends first; nothing to do",
        )
    return (
        f"{name_of(receiver)} did not accept messages of {name_of(sender)} then; now they would",
        "what it was has been taken back since: a block, a freeze, or a wish for peace",
    )
