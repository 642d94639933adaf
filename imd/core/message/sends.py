"""One message on its way through the pipeline."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from imd.core.directory import MEDIA, MESSAGE
from imd.core.message.live import LiveConversation
from imd.core.message.recipients import Recipient
from imd.core.message.traced import TracedSend
from imd.kernel.errors import ImError
from imd.kernel.trace_context import TraceContext
from imd.wire.outbound import Priority

#: The sender of system notices.
SYSTEM_SENDER_ID = 0


class SendKey(NamedTuple):
    """The idempotency key."""

    conversation_id: str
    sender_id: int
    client_msg_id: str


class Submitter(Protocol):
    """Whoever handed a message in and wants to know what became of it."""

    def accepted(self, send: PendingSend) -> None:
        """Admitted and queued; proves nothing."""
        ...

    def stored(self, send: PendingSend, *, duplicate: bool) -> None:
        """Durable, with ``send.seq``, ``send.server_msg_id`` and ``send.server_time_ms``."""
        ...

    def failed(self, send: PendingSend, error: ImError) -> None:
        """Provably not stored."""
        ...

    def delayed(self, send: PendingSend) -> None:
        """Not known yet; ``stored`` or ``failed`` follows."""
        ...


class PendingSend:
    """A message between admission and its final answer.

    ``body`` is the stored form without its seq, ``stored_body`` with it. ``revokes`` is (seq,
    body) of the message that this one takes back. ``twins`` are resends that came while this one
    was being written. ``live`` is set at admission. ``version`` is that of a membership which must
    be known before the sender is judged, ``right`` what the sender needs, ``ticket`` what proves to
    the authority that the sender's session stands behind it, ``level`` the sender's. ``released``: let through without the
    authority having judged it. ``outcome_unknown``: an attempt was made that may have stored it, here or
    at another node. ``taken_by``: another node that has it too, and may store it at any time; that it
    is not there yet proves nothing. ``traced``: its spans, if it is sampled.
    """

    __slots__ = (
        "body",
        "came_at_s",
        "charged",
        "content_hash",
        "is_media",
        "key",
        "level",
        "live",
        "outcome_unknown",
        "peer_user_id",
        "priority",
        "queued_at_s",
        "recipient",
        "released",
        "revokes",
        "right",
        "seq",
        "server_msg_id",
        "server_time_ms",
        "stored_body",
        "submitter",
        "taken_by",
        "ticket",
        "told_delayed",
        "traced",
        "twins",
        "version",
    )
    live: LiveConversation

    def __init__(
        self,
        *,
        key: SendKey,
        body: bytes,
        content_hash: bytes,
        server_msg_id: int,
        server_time_ms: int,
        submitter: Submitter,
        recipient: Recipient | None,
        is_media: bool = False,
        peer_user_id: int = 0,
        revokes: tuple[int, bytes] | None = None,
        version: int = 0,
        right: int = 0,
        ticket: bytes = b"",
        level: int = 0,
    ) -> None:
        self.key = key
        self.body = body
        self.content_hash = content_hash
        self.server_msg_id = server_msg_id
        self.server_time_ms = server_time_ms
        self.submitter = submitter
        self.recipient = recipient
        self.is_media = is_media
        self.peer_user_id = peer_user_id
        self.revokes = revokes
        self.version = version
        #: The message type that was counted into the sender's daily quota; 0: none.
        self.charged = 0
        self.right = right or (MEDIA if is_media else MESSAGE)
        self.ticket = ticket
        self.level = level
        self.seq = 0
        self.stored_body = b""
        self.priority = Priority.NORMAL
        #: When it was taken in, by the clock that nobody sets; None: it is not timed.
        self.came_at_s: float | None = None
        #: Since when it waits to be written.
        self.queued_at_s = 0.0
        self.released = False
        self.outcome_unknown = False
        self.taken_by: int | None = None
        self.told_delayed = False
        self.twins: list[PendingSend] | None = None
        self.traced: TracedSend | None = None

    @property
    def sender_id(self) -> int:
        return self.key.sender_id


def trace_of(sends: Iterable[PendingSend]) -> TraceContext | None:
    """On behalf of which span these go on: of the first one's, of those that are traced."""
    for send in sends:
        if send.traced is not None:
            return send.traced.context
    return None


class Submit(Protocol):
    """Takes messages in: the appender itself, or what finds the one of the conversation's owner."""

    @property
    def unsettled(self) -> int:
        """Sends without a final answer."""
        ...

    def submit(self, send: PendingSend) -> None:
        """Take a checked message in; the answer comes through its submitter, maybe before this returns."""
        ...
