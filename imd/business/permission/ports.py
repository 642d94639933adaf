"""Where it is kept what the authority answers by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from imd.business.permission.model import Facts, Page, Snapshot


class Standings(Protocol):
    """Conversations of both kinds, as they are now. All methods raise ``ServerBusy``."""

    async def snapshot(self, conversation_id: str) -> Snapshot | None:
        """Everybody in it; None if it does not exist (any more)."""
        ...

    async def facts(self, asked: Sequence[tuple[str, int]]) -> Sequence[Facts | None]:
        """What decides about each of these users in these conversations, all at one moment; None where the user
        is not in it, or there is none."""
        ...

    async def restricted(self, after: str, *, now_ms: int, limit: int) -> Page:
        """A page of those who are muted, kept out, or not accepted by the other of a 1:1 conversation, and maybe of
        some who are not; about ``limit`` of them.

        Whoever is so when the first page is read and stays so is on one of the pages.
        """
        ...
