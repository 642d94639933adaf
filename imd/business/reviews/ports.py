"""Where reviews are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from imd.business.reviews.model import Decision, Held, Input, Review, State


class Reviews(Protocol):
    """All reviews. Every method may raise ``ServerBusy``, those that write ``OutcomeUnknown`` too."""

    async def hold(self, review_id: int, held: Held, now_ms: int) -> Review:
        """The review of this message: a new one, or the one that is there under its key.

        :raises RateLimited: the sender has too many that nobody has looked at.
        """
        ...

    async def states(
        self, conversation_id: str, sender_id: int, client_msg_ids: Sequence[str]
    ) -> Mapping[str, State]:
        """Of those that are there."""
        ...

    async def page(self, state: State, *, after_id: int, limit: int) -> Sequence[Review]:
        """Those in this state, oldest first, behind ``after_id``."""
        ...

    async def one(self, review_id: int) -> Review | None: ...

    async def decide(self, review_id: int, decision: Decision, now_ms: int) -> Review | None:
        """What has become of it; None: there is none. IdempotentConflict if it was decided otherwise."""
        ...

    async def claim(self, now_ms: int, *, until_ms: int, limit: int) -> Sequence[Review]:
        """Those for which something is due; nobody else gets them before ``until_ms``."""
        ...

    async def happened(
        self, review_id: int, what: Input, now_ms: int, *, seq: int = 0, note: str = ""
    ) -> Review:
        """A claimed review goes on; something is due again at once."""
        ...

    async def put_off(self, review_id: int, due_at_ms: int) -> None:
        """Nothing is due before then: of a final review, that its sender was told."""
        ...
