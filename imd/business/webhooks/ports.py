"""Where events wait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from imd.business.webhooks.model import Dead, Event, Line, Outcome


class Events(Protocol):
    """The outbox, for those who empty it. Every method may raise ``ServerBusy`` and ``OutcomeUnknown``."""

    async def add(self, events: Sequence[Event], now_ms: int) -> None:
        """Keep these, unless they are known."""
        ...

    async def claim(self, owner: str, now_ms: int, *, until_ms: int, limit: int) -> Sequence[Line]:
        """Lines with something due; nobody else gets them before ``until_ms``."""
        ...

    async def settle(
        self, line: Line, outcome: Outcome, now_ms: int, *, retry_at_ms: int, dead: bool
    ) -> None:
        """How a go at a claimed line ended; it is free again.

        :param dead: the event that failed is put aside.
        """
        ...

    async def release(self, owner: str) -> None:
        """Whatever this node had claimed, in an earlier life, is free."""
        ...

    async def hurry(self, now_ms: int) -> None:
        """The receiver is back: whatever waits for another try is due now."""
        ...

    async def forget(self, now_ms: int) -> bool:
        """Delete what nobody asks for any more, a bounded number; whether there is more."""
        ...

    async def dead(self, *, after_id: int, limit: int) -> Sequence[Dead]:
        """Those that were given up, oldest first."""
        ...

    async def replay(self, row_ids: Sequence[int] | None, now_ms: int) -> int:
        """Have these dead ones sent again, or all (None), a bounded number; how many that are."""
        ...
