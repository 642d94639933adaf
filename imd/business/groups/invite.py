"""Use cases: invite people, and say yes or no to it. What follows a change: see ``telling``."""

from __future__ import annotations

from collections.abc import Sequence

from imd.business.groups.history import FirstVisible
from imd.business.groups.joining import INVITATION, Admission, InvitationInput, check_message
from imd.business.groups.model import Change
from imd.business.groups.people import check_count
from imd.business.groups.ports import Admissions
from imd.business.groups.telling import Telling
from imd.kernel.attempts import Attempts
from imd.kernel.clocks import WallClock

#: Invitations are read by people, and answered by each of them.
INVITED_PER_REQUEST = 100


class Invitations:
    """Whoever is asked to come decides by themselves.

    :param rate: invitations that a user may send, whoever gets them.
    """

    def __init__(
        self,
        *,
        admissions: Admissions,
        telling: Telling,
        first_visible: FirstVisible,
        rate: Attempts,
        wall_clock: WallClock,
    ) -> None:
        self._admissions = admissions
        self._telling = telling
        self._first_visible = first_visible
        self._rate = rate
        self._wall_clock = wall_clock

    async def invite(
        self, actor_id: int, conversation_id: str, user_ids: Sequence[int], message: str
    ) -> Sequence[int]:
        """Ask them; who was not in, nor asked, before."""
        check_count(user_ids, INVITED_PER_REQUEST)
        message = check_message(message)
        self._rate.check(str(actor_id), cost=len(user_ids))
        inviting = self._admissions.invite(conversation_id, actor_id, user_ids, message, self._wall_clock())
        _, invited = await self._telling.committed(inviting, "group.invite", actor_id, conversation_id)
        if invited:
            self._telling.record(
                "group.invite", actor_id=actor_id, conversation_id=conversation_id, subject_ids=invited
            )
        return invited

    async def accept(self, user_id: int, conversation_id: str) -> Change | None:
        """The invited comes; None: an admin has to say yes as well."""
        visible_from = await self._first_visible(conversation_id)
        answering = self._admissions.answer(
            conversation_id,
            user_id,
            InvitationInput.ACCEPT,
            now_ms=self._wall_clock(),
            visible_from=visible_from,
        )
        change = await self._telling.committed(answering, "group.accept", user_id, conversation_id)
        if change is not None and change.user_ids:
            await self._telling.changed(change)
            await self._telling.notice(change, "group.joined", actor_id=user_id, subject_ids=change.user_ids)
        return change

    async def refuse(self, user_id: int, conversation_id: str) -> None:
        """The invited does not."""
        await self._admissions.answer(
            conversation_id,
            user_id,
            InvitationInput.REFUSE,
            now_ms=self._wall_clock(),
            visible_from=0,
        )

    async def mine(self, user_id: int, *, after: str, limit: int) -> Sequence[Admission]:
        """A page of the user's own invitations."""
        return await self._admissions.of_user(user_id, INVITATION, after=after, limit=limit)
