"""A change of which nobody knows whether it was done is announced too: whoever cached the old state looks again."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from imd.business.groups.ports import Announcements
from imd.kernel.errors import OutcomeUnknown

T = TypeVar("T")


async def told_if_in_doubt(announcements: Announcements, conversation_id: str, change: Awaitable[T]) -> T:
    """``change``'s result; in doubt, without a version, so that it counts as newer than what is known."""
    try:
        return await change
    except OutcomeUnknown:
        await announcements.membership_changed(conversation_id, 0)
        raise
