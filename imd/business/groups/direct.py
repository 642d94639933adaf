"""Use case: the 1:1 conversation of two people."""

from __future__ import annotations

from imd.business.groups.ports import Announcements, Directs
from imd.kernel.clocks import WallClock
from imd.kernel.errors import PayloadInvalid
from imd.kernel.ids import direct_conversation_id


class OpenDirect:
    """The conversation's id, which follows from the pair; it is made when first asked for."""

    def __init__(self, *, directs: Directs, announcements: Announcements, wall_clock: WallClock) -> None:
        self._directs = directs
        self._announcements = announcements
        self._wall_clock = wall_clock

    async def __call__(self, user_id: int, peer_id: int) -> str:
        if user_id == peer_id:
            raise PayloadInvalid("a conversation needs somebody else", field="userId")
        conversation_id = direct_conversation_id(user_id, peer_id)
        if await self._directs.exists(conversation_id):
            return conversation_id
        # In doubt nothing is told: who asks again finds it or makes it, and a no is not remembered for long.
        if await self._directs.open(conversation_id, user_id, peer_id, self._wall_clock()):
            # Somebody may have asked before it was there, and remembers the no.
            await self._announcements.membership_changed(conversation_id, 1)
        return conversation_id
