"""What is judged, and how it may be judged."""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import NamedTuple

from imd.kernel.errors import Forbidden, ServerBusy

#: ``reason`` of whatever the content policy refuses or holds.
CONTENT = "content"
#: A person decides; whoever asks more often learns nothing.
HELD_RETRY_MS = 60_000


class Draft(NamedTuple):
    """A message that somebody wants to send, as far as content policy is concerned."""

    sender_id: int
    device_id: str
    conversation_id: str
    #: As in ``im.v1.ConversationKind``; 0 if it is not known here yet.
    kind: int
    client_msg_id: str
    #: As in ``im.v1.MessageType``.
    type: int
    text: str
    #: A serialised ``im.v1.MediaRef``; empty without.
    media: bytes


class Action(IntEnum):
    """From what changes nothing to what stops a message."""

    ALLOW = 0
    REPLACE = 1
    REVIEW = 2
    REFUSE = 3


class Verdict(NamedTuple):
    """What becomes of a draft. ``text`` goes in place of what was sent, unless it is empty; ``reason`` is a word for
    reviewers and records, with REVIEW and REFUSE."""

    action: Action
    text: str = ""
    reason: str = ""


ALLOWED = Verdict(Action.ALLOW)
#: Refused for lack of a verdict; the same message may be good in a moment.
UNAVAILABLE = Verdict(Action.REFUSE, reason="unavailable")


class Held(Enum):
    """How a message stands that was held for review."""

    UNDECIDED = "undecided"
    DELIVERED = "delivered"
    REFUSED = "refused"


class FailureMode(Enum):
    """What becomes of a message when its check gives no verdict in time."""

    #: It goes through.
    OPEN = "open"
    #: It is refused, to be sent again later.
    CLOSED = "closed"
    #: It is held for review.
    QUARANTINE = "quarantine"


class NoVerdict(Exception):
    """A check could not judge: too slow, not reachable, or it gave an answer that is none."""


def content_refused() -> Forbidden:
    """Against the rules, said by a check or by a person. Which word it was is not told: whoever knows the list walks
    around it."""
    return Forbidden("this message is against the rules for content here", reason=CONTENT)


def being_reviewed() -> ServerBusy:
    """Nothing is decided yet."""
    return ServerBusy("this message is being looked at", retry_after_ms=HELD_RETRY_MS, reason=CONTENT)
