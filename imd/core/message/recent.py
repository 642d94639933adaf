"""The newest messages of a conversation in memory, for the many who pull the same after a hint."""

from __future__ import annotations

from collections import deque

from imd.core.message.model import Page, StoredBody

#: Of one conversation; who is further behind reads the store.
MAX_MESSAGES = 200
MAX_BYTES = 1024 * 1024


class RecentMessages:
    """A contiguous run of stored messages that ends with the newest one known here."""

    __slots__ = ("_messages", "_size_bytes")

    def __init__(self) -> None:
        self._messages: deque[StoredBody] = deque()
        self._size_bytes = 0

    def add(self, seq: int, body: bytes) -> None:
        """The next message; one that does not follow starts the run anew."""
        messages = self._messages
        if messages and seq != messages[-1].seq + 1:
            messages.clear()
            self._size_bytes = 0
        messages.append(StoredBody(seq, body))
        self._size_bytes += len(body)
        while len(messages) > MAX_MESSAGES or (self._size_bytes > MAX_BYTES and len(messages) > 1):
            self._size_bytes -= len(messages.popleft().body)

    def replace(self, seq: int, body: bytes) -> None:
        """The message at ``seq`` was taken back; this is what is left of it."""
        messages = self._messages
        if messages and messages[0].seq <= seq <= messages[-1].seq:
            index = seq - messages[0].seq
            self._size_bytes += len(body) - len(messages[index].body)
            messages[index] = StoredBody(seq, body)

    def page(self, *, from_seq: int, last_seq: int, limit: int, max_bytes: int) -> Page | None:
        """Forward from ``from_seq``; None if the store has to be asked."""
        messages = self._messages
        if not messages or messages[-1].seq != last_seq or not messages[0].seq <= from_seq <= last_seq:
            return None
        found: list[StoredBody] = []
        size_bytes = 0
        for index in range(from_seq - messages[0].seq, len(messages)):
            message = messages[index]
            size_bytes += len(message.body)
            if found and (len(found) == limit or size_bytes > max_bytes):
                break
            found.append(message)
        return Page(found, found[-1].seq < last_seq)
