"""How two people stand to each other: plain records and pure rules.

Nobody is told why they may not write to somebody: not blocked, not a stranger's wish for peace, not a
frozen account. All have the reason ``NOT_ACCEPTED``, and the words that a user who never was gets.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from imd.business.accounts.model import ACTIVE
from imd.business.text import check_line
from imd.kernel.errors import Forbidden, PayloadInvalid

#: The one reason for programs.
NOT_ACCEPTED = "not_accepted"
#: The one sentence for people.
NOBODY_THERE = "there is no such user, or they do not accept this"

FRIENDS_MAX = 5_000
#: Requests of one user that wait for an answer, and requests that wait for one user's answer.
OPEN_REQUESTS_MAX = 1_000
BLOCKS_MAX = 5_000
FRIEND_GROUPS_MAX = 100
REQUEST_TTL_MS = 7 * 24 * 3600 * 1000
#: Whoever was refused asks the same person again after so long.
REFUSAL_LASTS_MS = 24 * 3600 * 1000
#: Ended friendships are remembered for devices that were away, so many a user; who is further behind reads all.
TOMBSTONES_MAX = 500

MESSAGE_MAX_LENGTH = 200
REMARK_MAX_LENGTH = 64
GROUP_NAME_MAX_LENGTH = 64

PER_PAGE = 500


class Audience(IntEnum):
    """For whom a user is there."""

    EVERYONE = 0
    FRIENDS = 1
    NOBODY = 2


class Privacy(NamedTuple):
    """What a user lets others do. ``presence_to`` everyone: all who share a conversation with them."""

    message_from: Audience = Audience.EVERYONE
    #: Everyone or nobody: whoever asks is no friend yet.
    add_from: Audience = Audience.EVERYONE
    presence_to: Audience = Audience.EVERYONE
    findable: bool = True


class Stance(NamedTuple):
    """One of two people, and how they stand to the other."""

    user_id: int
    status: int
    message_from: int
    blocks: bool
    is_friend: bool


def may_write(sender: Stance, receiver: Stance) -> bool:
    """Whether a message of one reaches the other. Blocking silences both: it is no way to have the last word."""
    if sender.status != ACTIVE or receiver.status != ACTIVE:
        return False
    if sender.blocks or receiver.blocks:
        return False
    return is_admitted(receiver.message_from, is_friend=receiver.is_friend)


def is_admitted(audience: int, *, is_friend: bool) -> bool:
    """Whether somebody belongs to an audience; an unknown one is nobody."""
    return audience == Audience.EVERYONE or (audience == Audience.FRIENDS and is_friend)


def refused(one: Stance, other: Stance) -> dict[int, str]:
    """Which of the two may not write to the other, and the reason to tell."""
    pairs = ((one, other), (other, one))
    return {sender.user_id: NOT_ACCEPTED for sender, receiver in pairs if not may_write(sender, receiver)}


def not_accepted(field: str = "userId") -> Forbidden:
    """What whoever is refused hears, and whoever asks for a user that never was."""
    return Forbidden(NOBODY_THERE, field=field, reason=NOT_ACCEPTED)


class Asking(IntEnum):
    """How a request for friendship stands. ``NONE`` has no row."""

    NONE = 0
    PENDING = 1
    ACCEPTED = 2
    REFUSED = 3
    CANCELLED = 4
    EXPIRED = 5


class Word(IntEnum):
    """What is said about a request."""

    #: By the one who asks.
    ASK = 1
    CANCEL = 2
    #: By the one who was asked.
    ACCEPT = 3
    REFUSE = 4
    #: By the clock.
    EXPIRE = 5
    #: By either, once they are friends.
    PART = 6


#: What becomes of a request; what is not here is refused and changes nothing. Saying again what was said
#: is no mistake: the answer to the first time may have been lost.
STEPS: dict[tuple[Asking, Word], Asking] = {
    (Asking.NONE, Word.ASK): Asking.PENDING,
    (Asking.PENDING, Word.ASK): Asking.PENDING,
    (Asking.PENDING, Word.CANCEL): Asking.CANCELLED,
    (Asking.PENDING, Word.ACCEPT): Asking.ACCEPTED,
    (Asking.PENDING, Word.REFUSE): Asking.REFUSED,
    (Asking.PENDING, Word.EXPIRE): Asking.EXPIRED,
    (Asking.ACCEPTED, Word.ASK): Asking.ACCEPTED,
    (Asking.ACCEPTED, Word.ACCEPT): Asking.ACCEPTED,
    (Asking.ACCEPTED, Word.PART): Asking.NONE,
    (Asking.REFUSED, Word.ASK): Asking.PENDING,
    (Asking.REFUSED, Word.REFUSE): Asking.REFUSED,
    (Asking.CANCELLED, Word.ASK): Asking.PENDING,
    (Asking.CANCELLED, Word.CANCEL): Asking.CANCELLED,
    (Asking.EXPIRED, Word.ASK): Asking.PENDING,
}


class Request(NamedTuple):
    """A request for friendship, as it is kept: one for each (from, to), the last one."""

    from_user: int
    to_user: int
    state: Asking
    message: str
    created_at_ms: int
    decided_at_ms: int

    def as_of(self, now_ms: int) -> Request:
        """The same, expired if its time is over; nobody has to be awake for that."""
        if self.state is Asking.PENDING and self.created_at_ms + REQUEST_TTL_MS <= now_ms:
            return self._replace(
                state=STEPS[self.state, Word.EXPIRE], decided_at_ms=self.created_at_ms + REQUEST_TTL_MS
            )
        return self


def no_request() -> Forbidden:
    """There is nothing to be said to; alike whether nobody asked, or whoever asked is gone, or never was."""
    return Forbidden("there is no open request of this kind", field="userId", reason="no_request")


def step(state: Asking, word: Word) -> Asking:
    """The state after a word; Forbidden where it is not open to that."""
    after = STEPS.get((state, word))
    if after is None:
        raise no_request()
    return after


def check_message(text: str) -> str:
    """The words beside a request, trimmed, maybe none."""
    return check_line(text, max_length=MESSAGE_MAX_LENGTH, field="message")


def check_remark(text: str) -> str:
    """A private name for a friend, trimmed, maybe none."""
    return check_line(text, max_length=REMARK_MAX_LENGTH, field="remark")


def check_group_name(text: str) -> str:
    """The name of a friend group, trimmed."""
    text = check_line(text, max_length=GROUP_NAME_MAX_LENGTH, field="name")
    if not text:
        raise PayloadInvalid("name must not be empty", field="name")
    return text
