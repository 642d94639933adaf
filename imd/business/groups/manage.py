"""Use cases: create, change, roles, transfer, dissolve. What follows a change: see ``telling``."""

from __future__ import annotations

from collections.abc import Sequence

from imd.business.groups.joining import Answers, JoinPolicy
from imd.business.groups.model import ADMIN, NORMAL, OPERATOR, PUBLIC, Change, Group, check_title, group_id
from imd.business.groups.ports import Groups
from imd.business.groups.telling import Telling
from imd.business.groups.wanted import Wanted, changes_between
from imd.kernel.attempts import Attempts
from imd.kernel.clocks import WallClock
from imd.kernel.ids import Snowflake


class ManageGroups:
    """What owners, admins and operators do with a group as a whole.

    :param added: see ``GroupPeople``; who is in a group from its beginning counts as well.
    """

    def __init__(
        self,
        *,
        groups: Groups,
        telling: Telling,
        answers: Answers,
        added: Attempts,
        ids: Snowflake,
        wall_clock: WallClock,
    ) -> None:
        self._groups = groups
        self._added = added
        self._telling = telling
        self._answers = answers
        self._ids = ids
        self._wall_clock = wall_clock

    async def create(
        self,
        actor_id: int,
        title: str,
        member_ids: Sequence[int],
        *,
        owner_id: int = OPERATOR,
        wanted: Wanted | None = None,
    ) -> Change:
        """A new group, owned by the actor, or by whom the operator says."""
        if actor_id != OPERATOR:
            self._added.check(str(actor_id), cost=len(member_ids))
        group = Group(group_id(self._ids.next()), check_title(title), 1, 1, self._wall_clock(), NORMAL)
        if wanted is not None:
            if wanted.kind == PUBLIC and wanted.join_policy is None:
                # Or it would be public in name only.
                wanted = wanted._replace(join_policy=JoinPolicy.OPEN)
            group = wanted.applied(group, self._answers)
        creating = self._groups.create(group, actor_id or owner_id, member_ids, by_id=actor_id)
        change = await self._telling.committed(creating, "group.create", actor_id, group.conversation_id)
        await self._telling.changed(change)
        await self._telling.notice(
            change,
            "group.created",
            actor_id=actor_id or owner_id,
            subject_ids=change.user_ids,
            text=change.group.title,
        )
        if actor_id == OPERATOR:
            self._record("group.create", OPERATOR, group.conversation_id, [owner_id], title)
        return change

    async def change(self, actor_id: int, conversation_id: str, wanted: Wanted) -> Change:
        """Title and rules, all of what is wanted or nothing."""
        changing = self._groups.change(
            conversation_id, actor_id, lambda group: wanted.applied(group, self._answers)
        )
        change, before = await self._telling.committed(changing, "group.rules", actor_id, conversation_id)
        if not change.user_ids:
            return change
        await self._telling.changed(change)
        if change.group.title != before.title:
            await self._telling.notice(change, "group.renamed", actor_id=actor_id, text=change.group.title)
        if names := ",".join(changes_between(before, change.group)):
            await self._telling.notice(change, "group.rules", actor_id=actor_id, text=names)
            self._record("group.rules", actor_id, conversation_id, (), names)
        return change

    async def set_role(self, actor_id: int, conversation_id: str, user_id: int, role: int) -> Change:
        """Make a member an admin, or an admin a member."""
        setting = self._groups.set_role(conversation_id, actor_id, user_id, role)
        change = await self._telling.committed(setting, "group.role", actor_id, conversation_id)
        await self._tell_role(change, actor_id, "admin" if role == ADMIN else "member")
        return change

    async def transfer(self, actor_id: int, conversation_id: str, user_id: int) -> Change:
        """Another member becomes the owner, the actor an admin."""
        transferring = self._groups.transfer(conversation_id, actor_id, user_id)
        change = await self._telling.committed(transferring, "group.transfer", actor_id, conversation_id)
        await self._tell_role(change, actor_id, "owner")
        return change

    async def dissolve(self, actor_id: int, conversation_id: str) -> None:
        """The end of a group; its id is never used again."""
        dissolving = self._groups.dissolve(conversation_id, actor_id, self._wall_clock())
        change = await self._telling.committed(dissolving, "group.dissolve", actor_id, conversation_id)
        # No notice: nobody is left who could read it.
        await self._telling.changed(change, removed="dissolved")
        self._record("group.dissolve", actor_id, conversation_id, (), change.group.title)

    async def _tell_role(self, change: Change, actor_id: int, role: str) -> None:
        if not change.user_ids:
            return
        await self._telling.changed(change)
        await self._telling.notice(
            change, "group.role", actor_id=actor_id, subject_ids=change.user_ids, text=role
        )
        action = "group.transfer" if role == "owner" else "group.role"
        self._record(action, actor_id, change.group.conversation_id, change.user_ids, role)

    def _record(
        self, action: str, actor_id: int, conversation_id: str, subject_ids: Sequence[int], detail: str
    ) -> None:
        self._telling.record(
            action, actor_id=actor_id, conversation_id=conversation_id, subject_ids=subject_ids, detail=detail
        )
