"""Use cases: create, rename, roles, transfer, dissolve.

Here and in ``people``: the change is committed, then its invalidation is published, then the
notice is requested. In this order nobody is told of a change that permission checks do not know.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from imd.business.groups.doubt import told_if_in_doubt
from imd.business.groups.model import ADMIN, Change, Group, check_title, group_id
from imd.business.groups.ports import Announcements, Groups
from imd.kernel.clocks import WallClock
from imd.kernel.ids import Snowflake


class ManageGroups:
    """What owners and admins do with a group as a whole."""

    def __init__(
        self, *, groups: Groups, announcements: Announcements, ids: Snowflake, wall_clock: WallClock
    ) -> None:
        self._groups = groups
        self._announcements = announcements
        self._ids = ids
        self._wall_clock = wall_clock

    async def create(self, actor_id: int, title: str, member_ids: Sequence[int]) -> Change:
        """A new group, owned by the actor."""
        group = Group(group_id(self._ids.next()), check_title(title), 1, 1, self._wall_clock())
        change = await self._done(group.conversation_id, self._groups.create(group, actor_id, member_ids))
        await self._tell(change, actor_id, "group.created", change.user_ids, change.group.title)
        return change

    async def rename(self, actor_id: int, conversation_id: str, title: str) -> Change:
        change = await self._done(
            conversation_id, self._groups.rename(conversation_id, actor_id, check_title(title))
        )
        if change.user_ids:
            await self._tell(change, actor_id, "group.renamed", (), change.group.title)
        return change

    async def set_role(self, actor_id: int, conversation_id: str, user_id: int, role: int) -> Change:
        """Make a member an admin, or an admin a member."""
        change = await self._done(
            conversation_id, self._groups.set_role(conversation_id, actor_id, user_id, role)
        )
        if change.user_ids:
            name = "admin" if role == ADMIN else "member"
            await self._tell(change, actor_id, "group.role", change.user_ids, name)
        return change

    async def transfer(self, actor_id: int, conversation_id: str, user_id: int) -> Change:
        """Another member becomes the owner, the actor an admin."""
        change = await self._done(conversation_id, self._groups.transfer(conversation_id, actor_id, user_id))
        if change.user_ids:
            await self._tell(change, actor_id, "group.role", change.user_ids, "owner")
        return change

    async def dissolve(self, actor_id: int, conversation_id: str) -> None:
        """The end of a group; its id is never used again."""
        change = await self._done(
            conversation_id, self._groups.dissolve(conversation_id, actor_id, self._wall_clock())
        )
        # No notice: nobody is left who could read it.
        group = change.group
        await self._announcements.membership_changed(
            group.conversation_id, group.version, removed_ids=change.user_ids, reason="dissolved"
        )

    async def _done(self, conversation_id: str, change: Awaitable[Change]) -> Change:
        return await told_if_in_doubt(self._announcements, conversation_id, change)

    async def _tell(
        self, change: Change, actor_id: int, event: str, subject_ids: Sequence[int], text: str
    ) -> None:
        group = change.group
        await self._announcements.membership_changed(group.conversation_id, group.version)
        await self._announcements.notice(
            group.conversation_id,
            group.version,
            event,
            actor_id=actor_id,
            subject_ids=subject_ids,
            text=text,
        )
