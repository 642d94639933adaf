"""Use cases: mute one and all, keep people out. What follows a change: see ``telling``."""

from __future__ import annotations

from collections.abc import Sequence

from imd.business.groups.model import (
    BLACKLIST_REASON_MAX_LENGTH,
    FOR_GOOD_MS,
    Barred,
    Change,
)
from imd.business.groups.people import check_count
from imd.business.groups.ports import Restrictions
from imd.business.groups.telling import Telling
from imd.business.text import check_line
from imd.kernel.clocks import WallClock
from imd.kernel.errors import PayloadInvalid

#: Of members who are muted, or people who are kept out, at one stroke: a person has looked at each.
RESTRICTED_PER_REQUEST = 100


class RestrictPeople:
    """Those who keep order. ``seconds``: None until it is lifted, 0 lifts it."""

    def __init__(self, *, restrictions: Restrictions, telling: Telling, wall_clock: WallClock) -> None:
        self._restrictions = restrictions
        self._telling = telling
        self._wall_clock = wall_clock

    async def mute(
        self, actor_id: int, conversation_id: str, user_ids: Sequence[int], seconds: int | None
    ) -> Change:
        """Members below the actor, all of them or none."""
        check_count(user_ids, RESTRICTED_PER_REQUEST)
        until_ms = self._until(seconds)
        muting = self._restrictions.mute(conversation_id, actor_id, user_ids, until_ms, self._wall_clock())
        change = await self._telling.committed(muting, "group.mute", actor_id, conversation_id)
        await self._tell(change, actor_id, "group.muted" if seconds != 0 else "group.unmuted", until_ms)
        return change

    async def mute_all(self, actor_id: int, conversation_id: str, seconds: int | None) -> Change:
        """All but owner and admins."""
        until_ms = self._until(seconds)
        muting = self._restrictions.mute_all(conversation_id, actor_id, until_ms, self._wall_clock())
        change = await self._telling.committed(muting, "group.all_mute", actor_id, conversation_id)
        # It touched everybody: nobody is named.
        event = "group.all_muted" if seconds != 0 else "group.all_unmuted"
        await self._tell(change, actor_id, event, until_ms, everybody=True)
        return change

    async def bar(
        self, actor_id: int, conversation_id: str, user_ids: Sequence[int], reason: str
    ) -> Sequence[int]:
        """Keep people out; who of them is in goes. Whoever was not kept out before."""
        check_count(user_ids, RESTRICTED_PER_REQUEST)
        if actor_id in user_ids:
            raise PayloadInvalid("nobody keeps themselves out", field="userIds")
        reason = check_line(reason, max_length=BLACKLIST_REASON_MAX_LENGTH, field="reason")
        barring = self._restrictions.bar(conversation_id, actor_id, user_ids, reason, self._wall_clock())
        change, barred = await self._telling.committed(barring, "group.blacklist", actor_id, conversation_id)
        if barred:
            await self._telling.changed(change, removed="kicked" if change.user_ids else "")
            if change.user_ids:
                await self._telling.notice(
                    change, "group.kicked", actor_id=actor_id, subject_ids=change.user_ids
                )
            self._record("group.blacklist", actor_id, conversation_id, barred, reason)
        return barred

    async def unbar(self, actor_id: int, conversation_id: str, user_id: int) -> None:
        """They may come in again, as anybody may."""
        unbarring = self._restrictions.unbar(conversation_id, actor_id, user_id)
        if await self._telling.committed(unbarring, "group.unblacklist", actor_id, conversation_id):
            self._record("group.unblacklist", actor_id, conversation_id, [user_id], "")

    async def barred(
        self, actor_id: int, conversation_id: str, *, after: int, limit: int
    ) -> Sequence[Barred]:
        """A page of those who are kept out, for those who manage the group."""
        return await self._restrictions.barred(conversation_id, actor_id, after=after, limit=limit)

    def _until(self, seconds: int | None) -> int:
        if seconds is None:
            return FOR_GOOD_MS
        return self._wall_clock() + seconds * 1000 if seconds else 0

    async def _tell(
        self, change: Change, actor_id: int, event: str, until_ms: int, *, everybody: bool = False
    ) -> None:
        if not change.user_ids:
            return
        subject_ids = () if everybody else change.user_ids
        await self._telling.changed(change)
        await self._telling.notice(
            change, event, actor_id=actor_id, subject_ids=subject_ids, until_ms=until_ms
        )
        action = event.replace("muted", "mute")
        self._record(action, actor_id, change.group.conversation_id, subject_ids, str(until_ms))

    def _record(
        self, action: str, actor_id: int, conversation_id: str, subject_ids: Sequence[int], detail: str
    ) -> None:
        self._telling.record(
            action, actor_id=actor_id, conversation_id=conversation_id, subject_ids=subject_ids, detail=detail
        )
