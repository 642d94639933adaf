"""Use cases: block somebody and lift it; say what others may do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imd.business.relations.doubt import all_maybe_changed, told_if_in_doubt
from imd.business.relations.model import Privacy
from imd.business.relations.ports import Announcements, Blocked, Blocks, Privacies, Relations
from imd.kernel.attempts import Attempts
from imd.kernel.clocks import WallClock
from imd.kernel.errors import OutcomeUnknown


class BlockPeople:
    """A block ends nothing but delivery, requests and sight: friends stay friends, should it be lifted."""

    def __init__(
        self, *, blocks: Blocks, announcements: Announcements, wall_clock: WallClock, lookups: Attempts
    ) -> None:
        self._blocks = blocks
        self._announcements = announcements
        self._wall_clock = wall_clock
        self._lookups = lookups

    async def block(self, user_id: int, blocked_id: int) -> None:
        """Counted like a look-up, for its answer tells whether there is such a user."""
        self._lookups.check(str(user_id))
        change = self._blocks.block(user_id, blocked_id, self._wall_clock())
        changed = await told_if_in_doubt(self._announcements, user_id, blocked_id, change)
        if changed is not None:
            await self._announcements.relations_changed(changed, restricted=True)
            await self._announcements.sight_changed(user_id, (blocked_id,))

    async def lift(self, user_id: int, blocked_id: int) -> None:
        """Also of somebody who is not blocked."""
        change = self._blocks.lift(user_id, blocked_id)
        changed = await told_if_in_doubt(self._announcements, user_id, blocked_id, change)
        if changed is not None:
            await self._announcements.relations_changed(changed, restricted=False)

    async def page(self, user_id: int, *, after: int, limit: int) -> Sequence[Blocked]:
        return await self._blocks.page(user_id, after=after, limit=limit)


class KeepPrivacy:
    """A user's own rules.

    :param changing: how often each user may change them: it touches every conversation they have, at every node.
    """

    def __init__(
        self, *, privacies: Privacies, relations: Relations, announcements: Announcements, changing: Attempts
    ) -> None:
        self._privacies = privacies
        self._relations = relations
        self._announcements = announcements
        self._changing = changing

    async def privacy(self, user_id: int) -> Privacy:
        return await self._privacies.privacy(user_id)

    async def change(self, user_id: int, changes: Mapping[str, Any]) -> Privacy:
        """Set these fields of ``Privacy``; what holds from now on."""
        self._changing.check(str(user_id))
        try:
            before, privacy, changed = await self._privacies.set_privacy(user_id, changes)
        except OutcomeUnknown:
            await all_maybe_changed(self._announcements, self._relations, user_id)
            raise
        await self._announcements.relations_changed(changed, restricted=True)
        if before.presence_to != privacy.presence_to:
            await self._announcements.sight_changed(user_id)
        return privacy
