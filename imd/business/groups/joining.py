"""Ways into a group: policies, and what may become of an application and of an invitation, as tables."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from enum import IntEnum
from hashlib import blake2b
from hmac import compare_digest
from typing import NamedTuple, TypeVar

from imd.business.text import check_line
from imd.kernel.errors import Forbidden, PayloadInvalid

#: Nobody has to look at what was asked so long ago; whoever still wants it asks again.
PENDING_MS = 7 * 24 * 3600 * 1000
#: Open ones of one group, and of one person: more are refused, or a list of them could not be read any more.
MAX_PENDING_PER_GROUP = 1_000
MAX_PENDING_PER_USER = 100
PENDING_PER_PAGE = 100
QUESTION_MAX_LENGTH = 200
ANSWER_MAX_LENGTH = 64
MESSAGE_MAX_LENGTH = 200

#: Kinds of ``Admission``.
APPLICATION = 1
INVITATION = 2


class JoinPolicy(IntEnum):
    """Who comes in without having been brought by somebody who manages the group."""

    #: Nobody.
    INVITATION = 1
    #: Whoever one of them lets in.
    APPROVAL = 2
    #: Who knows the answer.
    QUESTION = 3
    #: Everybody.
    OPEN = 4


class ApplicationState(IntEnum):
    """Of somebody who asked to be let in; all but PENDING are final."""

    PENDING = 1
    APPROVED = 2
    REFUSED = 3
    CANCELLED = 4
    EXPIRED = 5


class ApplicationInput(IntEnum):
    """What may happen to it: by those who manage the group, by the one who asked, by time."""

    APPROVE = 1
    REFUSE = 2
    CANCEL = 3
    EXPIRE = 4


class InvitationState(IntEnum):
    """Of somebody who was asked to come; all but PENDING are final."""

    PENDING = 1
    ACCEPTED = 2
    REFUSED = 3
    EXPIRED = 4


class InvitationInput(IntEnum):
    """What may happen to it: by the one who was asked, by time."""

    ACCEPT = 1
    REFUSE = 2
    EXPIRE = 3


class Admission(NamedTuple):
    """An application or invitation, and who it is about; ``by_user_id`` invited, or decided."""

    conversation_id: str
    title: str
    user_id: int
    handle: str
    display_name: str
    kind: int
    state: int
    message: str
    by_user_id: int
    created_at_ms: int
    decided_at_ms: int


# What is not here is refused. A repeat of what was done is here: its answer may have been lost.
APPLICATIONS: Mapping[tuple[ApplicationState, ApplicationInput], ApplicationState] = {
    (ApplicationState.PENDING, ApplicationInput.APPROVE): ApplicationState.APPROVED,
    (ApplicationState.PENDING, ApplicationInput.REFUSE): ApplicationState.REFUSED,
    (ApplicationState.PENDING, ApplicationInput.CANCEL): ApplicationState.CANCELLED,
    (ApplicationState.PENDING, ApplicationInput.EXPIRE): ApplicationState.EXPIRED,
    (ApplicationState.APPROVED, ApplicationInput.APPROVE): ApplicationState.APPROVED,
    (ApplicationState.REFUSED, ApplicationInput.REFUSE): ApplicationState.REFUSED,
    (ApplicationState.CANCELLED, ApplicationInput.CANCEL): ApplicationState.CANCELLED,
    (ApplicationState.EXPIRED, ApplicationInput.EXPIRE): ApplicationState.EXPIRED,
}
INVITATIONS: Mapping[tuple[InvitationState, InvitationInput], InvitationState] = {
    (InvitationState.PENDING, InvitationInput.ACCEPT): InvitationState.ACCEPTED,
    (InvitationState.PENDING, InvitationInput.REFUSE): InvitationState.REFUSED,
    (InvitationState.PENDING, InvitationInput.EXPIRE): InvitationState.EXPIRED,
    (InvitationState.ACCEPTED, InvitationInput.ACCEPT): InvitationState.ACCEPTED,
    (InvitationState.REFUSED, InvitationInput.REFUSE): InvitationState.REFUSED,
    (InvitationState.EXPIRED, InvitationInput.EXPIRE): InvitationState.EXPIRED,
}

State = TypeVar("State", ApplicationState, InvitationState)


def application_after(state: ApplicationState, happens: ApplicationInput) -> ApplicationState:
    """The state after this; Forbidden, with the reason ``settled``, if it cannot happen (any more)."""
    return _after(APPLICATIONS.get((state, happens)), state)


def invitation_after(state: InvitationState, happens: InvitationInput) -> InvitationState:
    """The state after this; Forbidden, with the reason ``settled``, if it cannot happen (any more)."""
    return _after(INVITATIONS.get((state, happens)), state)


def _after(after: State | None, state: State) -> State:
    if after is None:
        raise Forbidden(f"this is {state.name.lower()} already", reason="settled")
    return after


def application_now(state: int, created_at_ms: int, now_ms: int) -> ApplicationState:
    """The state that was written down, unless its time has run out since."""
    known = ApplicationState(state)
    if known is ApplicationState.PENDING and now_ms - created_at_ms >= PENDING_MS:
        return application_after(known, ApplicationInput.EXPIRE)
    return known


def invitation_now(state: int, created_at_ms: int, now_ms: int) -> InvitationState:
    """The state that was written down, unless its time has run out since."""
    known = InvitationState(state)
    if known is InvitationState.PENDING and now_ms - created_at_ms >= PENDING_MS:
        return invitation_after(known, InvitationInput.EXPIRE)
    return known


def check_question(question: str) -> str:
    """The question, trimmed."""
    question = check_line(question, max_length=QUESTION_MAX_LENGTH, field="question")
    if not question:
        raise PayloadInvalid("question must not be empty", field="question")
    return question


def check_message(message: str) -> str:
    """What somebody says to those who decide, trimmed, maybe empty."""
    return check_line(message, max_length=MESSAGE_MAX_LENGTH, field="message")


class Answers:
    """Answers to the questions at the door, kept in a form from which nobody reads them back.

    They are short words, so a plain hash of one is found by trying; a hash under the server's own secret is not,
    by whoever has only the database.
    """

    def __init__(self, *, secret: Callable[[], bytes]) -> None:
        self._secret = secret

    def sealed(self, conversation_id: str, answer: str) -> str:
        """What to keep. Case, width and spaces do not count."""
        folded = _folded(answer)
        if not folded:
            raise PayloadInvalid("answer must not be empty", field="answer")
        if len(folded) > ANSWER_MAX_LENGTH:
            raise PayloadInvalid(f"answer must be at most {ANSWER_MAX_LENGTH} characters", field="answer")
        key = blake2b(self._secret(), digest_size=32, person=b"imd-join-answer").digest()
        return blake2b(f"{conversation_id}:{folded}".encode(), digest_size=32, key=key).hexdigest()

    def is_right(self, conversation_id: str, answer: str, sealed: str) -> bool:
        """Whether this is the answer that was kept; always no if none was."""
        return bool(sealed) and compare_digest(self.sealed(conversation_id, answer), sealed)


def _folded(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())
