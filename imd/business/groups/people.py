"""Use cases: add, kick, leave. What follows a change: see ``telling``."""

from __future__ import annotations

from collections.abc import Sequence

from imd.business.groups.history import FirstVisible
from imd.business.groups.model import MEMBERS_PER_REQUEST, OPERATOR, Change
from imd.business.groups.ports import Groups
from imd.business.groups.telling import Telling
from imd.kernel.attempts import Attempts
from imd.kernel.clocks import WallClock
from imd.kernel.errors import PayloadInvalid


class GroupPeople:
    """Who is brought in and who goes.

    :param added: people whom a user may bring into groups, and did not ask before.
    """

    def __init__(
        self,
        *,
        groups: Groups,
        telling: Telling,
        first_visible: FirstVisible,
        added: Attempts,
        wall_clock: WallClock,
    ) -> None:
        self._groups = groups
        self._added = added
        self._telling = telling
        self._first_visible = first_visible
        self._wall_clock = wall_clock

    async def add(self, actor_id: int, conversation_id: str, user_ids: Sequence[int]) -> Change:
        """Add people; all of them, or none if one of them cannot be added."""
        check_count(user_ids)
        if actor_id != OPERATOR:
            self._added.check(str(actor_id), cost=len(user_ids))
        visible_from = await self._first_visible(conversation_id)
        adding = self._groups.add(
            conversation_id, actor_id, user_ids, self._wall_clock(), visible_from=visible_from
        )
        change = await self._telling.committed(adding, "group.add", actor_id, conversation_id)
        await self._tell(change, actor_id, "group.joined", removed="")
        if change.user_ids:
            self._record("group.add", actor_id, change)
        return change

    async def kick(self, actor_id: int, conversation_id: str, user_ids: Sequence[int]) -> Change:
        """Remove people; all of them, or none if one of them cannot be removed."""
        check_count(user_ids)
        if actor_id in user_ids:
            raise PayloadInvalid("to remove yourself, leave the group", field="userIds")
        removing = self._groups.remove(conversation_id, actor_id, user_ids, self._wall_clock())
        change = await self._telling.committed(removing, "group.kick", actor_id, conversation_id)
        await self._tell(change, actor_id, "group.kicked", removed="kicked")
        if change.user_ids:
            self._record("group.kick", actor_id, change)
        return change

    async def leave(self, actor_id: int, conversation_id: str) -> None:
        """The actor goes; the last one takes the group along."""
        leaving = self._groups.leave(conversation_id, actor_id, self._wall_clock())
        change = await self._telling.committed(leaving, "group.leave", actor_id, conversation_id)
        await self._tell(change, actor_id, "group.left", removed="left")

    async def _tell(self, change: Change, actor_id: int, event: str, *, removed: str) -> None:
        if not change.user_ids:
            return
        await self._telling.changed(change, removed=removed)
        await self._telling.notice(change, event, actor_id=actor_id, subject_ids=change.user_ids)

    def _record(self, action: str, actor_id: int, change: Change) -> None:
        self._telling.record(
            action,
            actor_id=actor_id,
            conversation_id=change.group.conversation_id,
            subject_ids=change.user_ids,
        )


def check_count(user_ids: Sequence[int], most: int = MEMBERS_PER_REQUEST) -> None:
    """PayloadInvalid if they are none or too many for one request."""
    if not 1 <= len(user_ids) <= most:
        raise PayloadInvalid(f"userIds must be 1 to {most} ids", field="userIds")
