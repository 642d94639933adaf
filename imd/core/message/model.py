"""What the message pipeline speaks about: plain records and pure rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class StoredKey(NamedTuple):
    """What the store knows of a message under its idempotency key."""

    seq: int
    server_msg_id: int
    server_time_ms: int
    content_hash: bytes
    revoked: bool


class NewMessage(NamedTuple):
    """One row to append. ``body`` is the serialised ``im.v1.Message`` with this very seq.

    ``revokes_seq`` > 0 makes the row a recall: in the same commit the message at that seq
    loses its content and becomes ``revoked_body``.
    """

    conversation_id: str
    seq: int
    sender_id: int
    client_msg_id: str
    server_msg_id: int
    server_time_ms: int
    content_hash: bytes
    body: bytes
    revokes_seq: int = 0
    revoked_body: bytes = b""


class SeqTaken(NamedTuple):
    """(conversation, seq) is already there: another owner has appended; read the last seq again."""


class IdTaken(NamedTuple):
    """The server_msg_id is another message's: the row is not stored, and never will be under this id."""


class AppendResult(NamedTuple):
    """How far an ordered append came.

    The first ``stored`` rows are durable. If that is not all of them, ``refused`` says why the
    next one was not inserted: a ``StoredKey`` (its idempotency key exists), ``SeqTaken`` or ``IdTaken``.
    Rows after the refused one were not tried.
    """

    stored: int
    refused: StoredKey | SeqTaken | IdTaken | None = None


class StoredBody(NamedTuple):
    """A message as read back; ``body`` is the serialised ``im.v1.Message``."""

    seq: int
    body: bytes


class CursorRow(NamedTuple):
    """How far a user has come in a conversation."""

    conversation_id: str
    user_id: int
    delivered_seq: int
    read_seq: int


class Page(NamedTuple):
    """A page of history, in rising seq."""

    messages: Sequence[StoredBody]
    more: bool


class Place(NamedTuple):
    """Where a message stands."""

    conversation_id: str
    seq: int
