"""Where messages and cursors are kept, and whom the pipeline asks about people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from imd.core.message.model import AppendResult, CursorRow, NewMessage, Page, StoredKey


class MessageLog(Protocol):
    """The durable log: per conversation a contiguous sequence, guarded by two unique indexes,
    ``(conversation, seq)`` and ``(conversation, sender, client_msg_id)``.

    Every method may raise ``ServerBusy`` (provably nothing was done: full disk, store closed) and
    ``OutcomeUnknown`` (a write may or may not be there). No other failure escapes.
    """

    async def append(self, rows: Sequence[NewMessage]) -> AppendResult:
        """Insert in order, stop at the first refused row; when it returns, the prefix is on disk.

        Rows of several conversations may be mixed; each brings its own seq. A log need not keep
        server_msg_ids apart; one that does says so by ``IdTaken``, once that is sure for good.
        """
        ...

    async def last_seqs(self, conversation_ids: Sequence[str]) -> Mapping[str, int]:
        """The newest durable seq of each; unknown conversations are left out."""
        ...

    async def find(
        self, conversation_id: str, sender_id: int, client_msg_ids: Sequence[str]
    ) -> Mapping[str, StoredKey]:
        """What is stored under these idempotency keys; absent ones are left out."""
        ...

    async def page(
        self, conversation_id: str, *, from_seq: int, limit: int, max_bytes: int, backward: bool
    ) -> Page:
        """Messages from ``from_seq`` on (inclusive), at most ``limit`` and about ``max_bytes``, at
        least one if there is any. ``more`` tells whether there is any beyond, in that direction."""
        ...

    async def read_one(self, conversation_id: str, seq: int) -> bytes | None:
        """The body at one seq."""
        ...

    async def newest(self, conversation_ids: Sequence[str]) -> Mapping[str, int]:
        """The server_msg_id, which rises with time, of the newest message of each; empty ones are left out."""
        ...

    async def last_bodies(self, conversation_ids: Sequence[str]) -> Mapping[str, bytes]:
        """The newest message of each; empty conversations are left out."""
        ...


class Cursors(Protocol):
    """How far each user has come in each conversation; never goes back (``max`` of old and new).

    A lost write is repaired by the client's next receipt, so ``advance`` may be coalesced by the
    caller. Failures as in ``MessageLog``.
    """

    async def advance(self, rows: Sequence[CursorRow]) -> None:
        """Raise the cursors of these (conversation, user) pairs; lower values change nothing."""
        ...

    async def of_user(self, user_id: int, conversation_ids: Sequence[str]) -> Mapping[str, CursorRow]:
        """This user's cursors; conversations without one are left out."""
        ...

    async def of_conversation(self, conversation_id: str, limit: int) -> Sequence[CursorRow]:
        """Cursors of at most ``limit`` members of one conversation."""
        ...
