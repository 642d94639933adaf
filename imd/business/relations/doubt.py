"""A change of a relation of which nobody knows whether it was done is told as well."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from imd.business.relations.ports import Announcements, Changed, Relations
from imd.kernel.errors import ImError, OutcomeUnknown
from imd.kernel.ids import direct_conversation_id

T = TypeVar("T")


async def told_if_in_doubt(
    announcements: Announcements, user_id: int, other_id: int, change: Awaitable[T]
) -> T:
    """``change``'s result; in doubt, without a version, so that it counts as newer than what is known."""
    try:
        return await change
    except OutcomeUnknown:
        maybe = Changed(direct_conversation_id(user_id, other_id), 0, (user_id, other_id))
        await announcements.relations_changed([maybe], restricted=True)
        await announcements.sight_changed(user_id, (other_id,))
        raise


async def all_maybe_changed(announcements: Announcements, relations: Relations, user_id: int) -> None:
    """Nobody knows whether something was changed that all conversations of a user depend on."""
    try:
        changed = await relations.maybe_changed(user_id)
    except ImError:
        # The database is away; what is cached of these conversations ends by its time.
        changed = ()
    await announcements.relations_changed(changed, restricted=True)
    await announcements.sight_changed(user_id)
