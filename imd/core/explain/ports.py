"""Who tells what is worth remembering, and where it is kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

from imd.core.explain.model import Mode
from imd.core.message.model import Place
from imd.kernel.errors import ImError


class RememberedConversation(Protocol):
    """A conversation as far as the record needs it."""

    conversation_id: str
    #: Its name in the record, 0: not known yet.
    record_key: int


class FanoutRecord(Protocol):
    """Remembers what was done with a batch of one conversation. Never waits, never fails, costs less than a
    microsecond."""

    def fanned(
        self, live: RememberedConversation, first_seq: int, last_seq: int, mode: Mode, sessions: int
    ) -> None:
        """So many sessions were here."""
        ...

    def handed_on(
        self, live: RememberedConversation, first_seq: int, last_seq: int, node_ids: Collection[int]
    ) -> None:
        """Other nodes are told."""
        ...


class SessionRecord(Protocol):
    """Remembers who was connected. Never waits, never fails."""

    def came(self, user_id: int, session_id: int, device_id: str) -> None: ...

    def gone(self, user_id: int, session_id: int, why: str) -> None: ...

    def shed(self, user_id: int, session_id: int) -> None:
        """What waited for it was dropped, and it was told to sync."""
        ...


class SendRecord(Protocol):
    """Remembers sends that did not end as usual. Never waits, never fails."""

    def refused(self, conversation_id: str, sender_id: int, client_msg_id: str, error: ImError) -> None: ...

    def repeated(self, conversation_id: str, sender_id: int, client_msg_id: str) -> None:
        """It was sent again, and answered with the first result."""
        ...


class NoRecord:
    """Remembers nothing: all three of them, for whoever is not asked."""

    def fanned(
        self, live: RememberedConversation, first_seq: int, last_seq: int, mode: Mode, sessions: int
    ) -> None:
        """See ``FanoutRecord``."""

    def handed_on(
        self, live: RememberedConversation, first_seq: int, last_seq: int, node_ids: Collection[int]
    ) -> None:
        """See ``FanoutRecord``."""

    def came(self, user_id: int, session_id: int, device_id: str) -> None:
        """See ``SessionRecord``."""

    def gone(self, user_id: int, session_id: int, why: str) -> None:
        """See ``SessionRecord``."""

    def shed(self, user_id: int, session_id: int) -> None:
        """See ``SessionRecord``."""

    def refused(self, conversation_id: str, sender_id: int, client_msg_id: str, error: ImError) -> None:
        """See ``SendRecord``."""

    def repeated(self, conversation_id: str, sender_id: int, client_msg_id: str) -> None:
        """See ``SendRecord``."""


NO_RECORD = NoRecord()


class Segments(Protocol):
    """Where a ring keeps its records, in the order they came, the oldest forgotten first.

    Losing some is no fault of anybody's work: a write that fails raises ``OSError`` and is given up by the caller.
    """

    @property
    def since_ms(self) -> int:
        """What came before this time is not here (any more); milliseconds since 1970."""
        ...

    async def start(self) -> None:
        """Find what is left of before. ``OSError``: there is no place to keep anything."""
        ...

    async def append(self, records: bytes, now_ms: int) -> None:
        """Whole records; ``now_ms`` is no earlier than any time in them."""
        ...

    async def find(
        self, key: int, *, keep: Callable[[Sequence[Any]], bool], limit: int
    ) -> list[tuple[Any, ...]]:
        """The newest ``limit`` records that begin with this key and pass ``keep``, oldest first. ``OSError`` as above."""
        ...


class Places(Protocol):
    """Finds messages by nothing but their server id, among those of the last days. Failures as in ``MessageLog``."""

    async def locate(self, server_msg_id: int) -> Place | None:
        """Where it stands; None: there is none of this id, or it is too old to be found."""
        ...
