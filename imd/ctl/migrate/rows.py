"""What is moved, as both sides know it."""

from __future__ import annotations

import struct
from hashlib import sha256
from typing import NamedTuple

from imd.core.message.model import CursorRow

#: A row, and what its parts are called where one differs.
Row = tuple[object, ...]


class MovedMessage(NamedTuple):
    """A message with everything that the store knows of it."""

    conversation_id: str
    seq: int
    sender_id: int
    client_msg_id: str
    server_msg_id: int
    server_time_ms: int
    content_hash: bytes
    revoked: bool
    body: bytes


class LastSeenRow(NamedTuple):
    """When somebody was last connected."""

    user_id: int
    seen_ms: int


#: The order in which both sides are compared, by these first columns.
MESSAGE_KEY = 2
CURSOR_KEY = 2
LAST_SEEN_KEY = 1

__all__ = [
    "CURSOR_KEY",
    "LAST_SEEN_KEY",
    "MESSAGE_KEY",
    "CursorRow",
    "Digest",
    "LastSeenRow",
    "MovedMessage",
    "Row",
]


class Digest:
    """A checksum over rows in their order; each value stands behind its kind and length, so none can look like two."""

    def __init__(self) -> None:
        self.count = 0
        self._hash = sha256()

    def add(self, row: Row) -> None:
        """One more row."""
        self.count += 1
        parts: list[bytes] = []
        for value in row:
            kind, raw = _encoded(value)
            parts += (struct.pack(">cI", kind, len(raw)), raw)
        self._hash.update(b"".join(parts))

    def __str__(self) -> str:
        return self._hash.hexdigest()[:16]


def _encoded(value: object) -> tuple[bytes, bytes]:
    if isinstance(value, bytes):
        return b"b", value
    if isinstance(value, str):
        return b"s", value.encode()
    if isinstance(value, int):
        # True is 1: SQLite knows no other.
        return b"i", str(int(value)).encode()
    if value is None:
        return b"n", b""
    raise TypeError(f"a {type(value).__name__} in a row")
