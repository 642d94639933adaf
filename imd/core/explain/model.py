"""Records of fixed size: what each of them holds, and how keys are made.

Each begins with an eight-byte key under which it is found: of a conversation, a user or a send. Two things may share
a key once in 10^19, so nothing more is compared.
"""

from __future__ import annotations

from enum import IntEnum
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple

#: Of what concerns all sessions of a node. No user has this id.
EVERYBODY = (1 << 64) - 1


class Mode(IntEnum):
    """The numbers of ``FanoutMode`` in explain.proto."""

    PUSHED = 1
    HINTED = 2
    HANDED_ON = 3
    FAILED = 4


class Happened(IntEnum):
    """What a record of a session tells."""

    CAME = 1
    GONE = 2
    SHED = 3
    #: Of everybody: the node started, and whoever was connected before is not any more.
    STARTED = 4
    #: So many more came and went; the text is a ``SUM``.
    SUMMED = 5


class Ended(IntEnum):
    """How a send ended that is remembered."""

    REFUSED = 1
    REPEATED = 2
    #: So many of a sender's; the reason is a ``SUM`` and the reason of the last.
    SUMMED = 3


#: Key of the conversation, time, last seq, up to four node ids of 16 bits, sessions or count of nodes, count of
#: messages, mode.
FANOUT = Struct("<QQQQIHBx")
#: Key is the user id; time, session id, what, text (device id, or why it ended) of at most 64 bytes.
SESSION = Struct("<QQQB64s7x")
#: Key of the send, time, error code, how it ended, reason of at most 37 bytes.
SEND = Struct("<QQHB37s")
#: What stands for many: how many, and how long before it the first was, in milliseconds.
SUM = Struct("<II")


class Fanned(NamedTuple):
    """A ``FANOUT`` record."""

    key: int
    at_ms: int
    last_seq: int
    nodes: int
    sessions: int
    messages: int
    mode: int

    @property
    def node_ids(self) -> list[int]:
        """Those that are named."""
        some = (self.nodes >> (16 * place) & 0xFFFF for place in range(min(self.sessions, MAX_NAMED_NODES)))
        return list(some)


class OfSession(NamedTuple):
    """A ``SESSION`` record."""

    key: int
    at_ms: int
    session_id: int
    what: int
    text_bytes: bytes

    @property
    def text(self) -> str:
        return self.text_bytes.rstrip(b"\0").decode(errors="replace")

    @property
    def count_and_since_ms(self) -> tuple[int, int]:
        """Of what is ``SUMMED``."""
        count, span_ms = SUM.unpack_from(self.text_bytes)
        return count, self.at_ms - span_ms


class OfSend(NamedTuple):
    """A ``SEND`` record."""

    key: int
    at_ms: int
    code: int
    how: int
    reason_bytes: bytes

    @property
    def reason(self) -> str:
        text = self.reason_bytes[SUM.size if self.how == Ended.SUMMED else 0 :]
        return text.rstrip(b"\0").decode(errors="replace")

    @property
    def count_and_since_ms(self) -> tuple[int, int]:
        """Of what is ``SUMMED``."""
        count, span_ms = SUM.unpack_from(self.reason_bytes)
        return count, self.at_ms - span_ms


#: In one ``FANOUT`` record.
MAX_NAMED_NODES = 4


def key_of(name: str) -> int:
    """The key of a conversation."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")


def key_of_send(conversation_id: str, sender_id: int, client_msg_id: str) -> int:
    """The key of a send."""
    return key_of(f"{conversation_id}/{sender_id}/{client_msg_id}")


def key_of_sender(sender_id: int) -> int:
    """The key of what stands for many sends."""
    return key_of_send("", sender_id, "")
