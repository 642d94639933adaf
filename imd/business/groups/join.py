"""Use cases: look at the door of a group, join it, apply, be let in. What follows a change: see ``telling``."""

from __future__ import annotations

from collections.abc import Sequence

from imd.business.groups.history import FirstVisible
from imd.business.groups.joining import (
    APPLICATION,
    Admission,
    Answers,
    ApplicationInput,
    JoinPolicy,
    check_message,
)
from imd.business.groups.model import UNKNOWN, Change, Group
from imd.business.groups.ports import Admissions
from imd.business.groups.telling import Telling
from imd.kernel.attempts import Attempts
from imd.kernel.clocks import WallClock
from imd.kernel.errors import Forbidden


class JoinGroups:
    """Whoever wants in, and those who let them.

    :param lookups: groups that a user may look at or knock at: nobody finds one by trying ids.
    :param answers_tried: answers that a user may try on one group.
    """

    def __init__(
        self,
        *,
        admissions: Admissions,
        telling: Telling,
        first_visible: FirstVisible,
        answers: Answers,
        lookups: Attempts,
        answers_tried: Attempts,
        wall_clock: WallClock,
    ) -> None:
        self._admissions = admissions
        self._telling = telling
        self._first_visible = first_visible
        self._answers = answers
        self._lookups = lookups
        self._answers_tried = answers_tried
        self._wall_clock = wall_clock

    async def door(self, user_id: int, conversation_id: str) -> Group:
        """A group that one can join by oneself; of all others nobody outside hears."""
        self._lookups.check(str(user_id))
        group = await self._admissions.door(conversation_id, user_id)
        if group is None or group.rules.join_policy == JoinPolicy.INVITATION:
            raise Forbidden(UNKNOWN)
        return group

    async def join(self, user_id: int, conversation_id: str, *, answer: str, message: str) -> Change | None:
        """In, by the group's policy; None: an application waits for those who manage it."""
        self._lookups.check(str(user_id))
        sealed = ""
        if answer:
            self._answers_tried.check(f"{conversation_id}:{user_id}")
            sealed = self._answers.sealed(conversation_id, answer)
        message = check_message(message)
        visible_from = await self._first_visible(conversation_id)
        joining = self._admissions.join(
            conversation_id,
            user_id,
            sealed_answer=sealed,
            message=message,
            now_ms=self._wall_clock(),
            visible_from=visible_from,
        )
        change = await self._telling.committed(joining, "group.join", user_id, conversation_id)
        await self._tell(change, user_id)
        return change

    async def approve(self, actor_id: int, conversation_id: str, user_id: int) -> Change:
        """The applicant comes in."""
        visible_from = await self._first_visible(conversation_id)
        return await self._decide(actor_id, conversation_id, user_id, ApplicationInput.APPROVE, visible_from)

    async def refuse(self, actor_id: int, conversation_id: str, user_id: int) -> Change:
        """The applicant does not."""
        return await self._decide(actor_id, conversation_id, user_id, ApplicationInput.REFUSE, 0)

    async def cancel(self, user_id: int, conversation_id: str) -> None:
        """The applicant has thought better of it."""
        await self._admissions.cancel(conversation_id, user_id, self._wall_clock())

    async def waiting(
        self, actor_id: int, conversation_id: str, *, after: int, limit: int
    ) -> Sequence[Admission]:
        """A page of open applications, for those who manage the group."""
        return await self._admissions.applications(
            conversation_id, actor_id, now_ms=self._wall_clock(), after=after, limit=limit
        )

    async def mine(self, user_id: int, *, after: str, limit: int) -> Sequence[Admission]:
        """A page of the user's own applications."""
        return await self._admissions.of_user(user_id, APPLICATION, after=after, limit=limit)

    async def _decide(
        self,
        actor_id: int,
        conversation_id: str,
        user_id: int,
        happens: ApplicationInput,
        visible_from: int,
    ) -> Change:
        deciding = self._admissions.decide(
            conversation_id,
            actor_id,
            user_id,
            happens,
            now_ms=self._wall_clock(),
            visible_from=visible_from,
        )
        action = f"group.{happens.name.lower()}"
        change = await self._telling.committed(deciding, action, actor_id, conversation_id)
        await self._tell(change, actor_id)
        self._telling.record(
            action,
            actor_id=actor_id,
            conversation_id=conversation_id,
            subject_ids=[user_id],
        )
        return change

    async def _tell(self, change: Change | None, actor_id: int) -> None:
        if change is not None and change.user_ids:
            await self._telling.changed(change)
            await self._telling.notice(change, "group.joined", actor_id=actor_id, subject_ids=change.user_ids)
