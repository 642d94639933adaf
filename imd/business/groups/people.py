"""Use cases: invite, kick, leave."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from imd.business.groups.doubt import told_if_in_doubt
from imd.business.groups.model import MEMBERS_PER_REQUEST, Change
from imd.business.groups.ports import Announcements, Groups
from imd.kernel.clocks import WallClock
from imd.kernel.errors import PayloadInvalid


class GroupPeople:
    """Who comes and who goes."""

    def __init__(self, *, groups: Groups, announcements: Announcements, wall_clock: WallClock) -> None:
        self._groups = groups
        self._announcements = announcements
        self._wall_clock = wall_clock

    async def invite(self, actor_id: int, conversation_id: str, user_ids: Sequence[int]) -> Change:
        """Add people; all of them, or none if one of them cannot be added."""
        _check_count(user_ids)
        change = await self._done(
            conversation_id, self._groups.add(conversation_id, actor_id, user_ids, self._wall_clock())
        )
        await self._tell(change, actor_id, "group.joined", removed="")
        return change

    async def kick(self, actor_id: int, conversation_id: str, user_ids: Sequence[int]) -> Change:
        """Remove people; all of them, or none if one of them cannot be removed."""
        _check_count(user_ids)
        if actor_id in user_ids:
            raise PayloadInvalid("to remove yourself, leave the group", field="userIds")
        change = await self._done(conversation_id, self._groups.remove(conversation_id, actor_id, user_ids))
        await self._tell(change, actor_id, "group.kicked", removed="kicked")
        return change

    async def leave(self, actor_id: int, conversation_id: str) -> None:
        """The actor goes; the last one takes the group along."""
        change = await self._done(
            conversation_id, self._groups.leave(conversation_id, actor_id, self._wall_clock())
        )
        await self._tell(change, actor_id, "group.left", removed="left")

    async def _done(self, conversation_id: str, change: Awaitable[Change]) -> Change:
        return await told_if_in_doubt(self._announcements, conversation_id, change)

    async def _tell(self, change: Change, actor_id: int, event: str, *, removed: str) -> None:
        if not change.user_ids:
            return
        group = change.group
        await self._announcements.membership_changed(
            group.conversation_id,
            group.version,
            removed_ids=change.user_ids if removed else (),
            reason=removed,
        )
        if group.member_count:
            await self._announcements.notice(
                group.conversation_id, group.version, event, actor_id=actor_id, subject_ids=change.user_ids
            )


def _check_count(user_ids: Sequence[int]) -> None:
    if not 1 <= len(user_ids) <= MEMBERS_PER_REQUEST:
        raise PayloadInvalid(f"userIds must be 1 to {MEMBERS_PER_REQUEST} ids", field="userIds")
