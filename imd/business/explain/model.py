"""What is asked, what was found, and what is told: plain records."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from imd.business.accounts.model import Account
from imd.business.audit.model import Kept
from imd.business.reviews.model import Review
from imd.kernel.errors import PayloadInvalid
from imd.kernel.ids import is_client_msg_id, is_id
from imd.pb.explain_pb2 import ExplainNodeAnswer, ExplainStoredAnswer
from imd.pb.message_pb2 import Message

_MAX_ID = (1 << 63) - 1
_WANTED = "message must be a server message id, CONVERSATION:SEQ, or CONVERSATION/SENDER/CLIENT_MSG_ID"


class MessageName(NamedTuple):
    """One of the three ways to name a message; what is not given is 0 or empty."""

    server_msg_id: int = 0
    conversation_id: str = ""
    seq: int = 0
    sender_id: int = 0
    client_msg_id: str = ""

    @classmethod
    def parse(cls, text: str) -> MessageName:
        """Read it.

        :raises PayloadInvalid: it is none of them.
        """
        if number := number_in(text):
            return cls(server_msg_id=number)
        conversation_id, slash, rest = text.partition("/")
        if slash:
            sender, slash, client_msg_id = rest.partition("/")
            sender_id = number_in(sender)
            if slash and is_id(conversation_id) and sender_id and is_client_msg_id(client_msg_id):
                return cls(conversation_id=conversation_id, sender_id=sender_id, client_msg_id=client_msg_id)
        else:
            conversation_id, colon, last = text.rpartition(":")
            seq = number_in(last)
            if colon and is_id(conversation_id) and seq:
                return cls(conversation_id=conversation_id, seq=seq)
        raise PayloadInvalid(_WANTED, field="message")


def number_in(text: str) -> int:
    """An id of ours; 0: it is none."""
    if text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= _MAX_ID:
        return int(text)
    return 0


class Stay(NamedTuple):
    """A time in a conversation. ``until_ms`` 0: it goes on. Seqs before ``visible_from`` are not shown, 0: all are."""

    since_ms: int
    until_ms: int
    visible_from: int


class Block(NamedTuple):
    """One of two does not want to hear of the other."""

    by_user_id: int
    since_ms: int


class Person(NamedTuple):
    """Somebody, and since when their account is what it is."""

    account: Account
    since_ms: int
    reason: str


class Standing(NamedTuple):
    """How the two stand to the conversation and to each other, now."""

    #: Whether there is, or was, such a conversation.
    is_known: bool = False
    dissolved_at_ms: int = 0
    stays: Sequence[Stay] = ()
    blocks: Sequence[Block] = ()
    #: The receiver takes messages of friends only, or of nobody.
    is_choosy: bool = False


class Facts(NamedTuple):
    """All that was found. What could not be asked is in ``gaps``, in words."""

    now_ms: int
    asked: MessageName
    receiver: Person
    sender: Person | None
    #: None: core could not be asked.
    stored: ExplainStoredAnswer | None
    standing: Standing
    review: Review | None
    #: Of this send; oldest first.
    decisions: Sequence[Kept]
    #: What was done to the receiver in this conversation; oldest first.
    acts: Sequence[Kept]
    nodes: Sequence[ExplainNodeAnswer]
    gaps: Sequence[str]

    @property
    def message(self) -> Message | None:
        """None: nothing is stored under this name, or that is not known."""
        if self.stored is not None and self.stored.HasField("message"):
            return self.stored.message
        return None


class Outcome(Enum):
    """Whether the receiver got it."""

    GOT = "yes"
    NOT = "no"
    UNKNOWN = "unknown"


class Verdict(NamedTuple):
    """``reason`` is a word for programs, ``text`` and ``advice`` are for people."""

    outcome: Outcome
    reason: str
    text: str
    advice: str = ""


class Step(NamedTuple):
    """Something that happened, or is so; ``at_ms`` 0: since when is not recorded. ``where`` is a node, or empty."""

    at_ms: int
    where: str
    what: str
    text: str


class Story(NamedTuple):
    """What is told. Steps in the order in which they happened, those without a time at the end."""

    facts: Facts
    verdict: Verdict
    steps: Sequence[Step]
