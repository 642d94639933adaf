"""Use cases: titles of members, announcements, and what each member wants for themselves."""

from __future__ import annotations

from imd.business.groups.model import (
    ANNOUNCEMENT_MAX_LENGTH,
    MEMBER_TITLE_MAX_LENGTH,
    NICKNAME_MAX_LENGTH,
    Change,
    Own,
    Wishes,
)
from imd.business.groups.ports import Details
from imd.business.groups.telling import Telling
from imd.business.text import check_line, check_lines
from imd.kernel.clocks import WallClock


class GroupDetails:
    """What is said of a group and its members; for what follows a change see ``telling``."""

    def __init__(self, *, details: Details, telling: Telling, wall_clock: WallClock) -> None:
        self._details = details
        self._telling = telling
        self._wall_clock = wall_clock

    async def set_title(self, actor_id: int, conversation_id: str, user_id: int, title: str) -> Change:
        """What a member is called in the group, by its owner and admins; empty: nothing."""
        title = check_line(title, max_length=MEMBER_TITLE_MAX_LENGTH, field="title")
        setting = self._details.set_title(conversation_id, actor_id, user_id, title)
        change = await self._telling.committed(setting, "group.title", actor_id, conversation_id)
        if change.user_ids:
            await self._telling.changed(change)
            await self._telling.notice(
                change, "group.title", actor_id=actor_id, subject_ids=change.user_ids, text=title
            )
            self._telling.record(
                "group.title",
                actor_id=actor_id,
                conversation_id=conversation_id,
                subject_ids=change.user_ids,
                detail=title,
            )
        return change

    async def announce(self, actor_id: int, conversation_id: str, text: str) -> Change:
        """What everybody should know, in place of what it was; empty: nothing."""
        text = check_lines(text, max_length=ANNOUNCEMENT_MAX_LENGTH, field="text")
        announcing = self._details.announce(conversation_id, actor_id, text, self._wall_clock())
        change = await self._telling.committed(announcing, "group.announcement", actor_id, conversation_id)
        if change.user_ids:
            await self._telling.changed(change)
            await self._telling.notice(change, "group.announcement", actor_id=actor_id, text=text)
            self._telling.record("group.announcement", actor_id=actor_id, conversation_id=conversation_id)
        return change

    async def own(self, user_id: int, conversation_id: str) -> Own:
        """The group as the user stands in it."""
        return await self._details.own(conversation_id, user_id)

    async def wish(self, user_id: int, conversation_id: str, wishes: Wishes) -> Own:
        """Nickname, do not disturb, pinned: told to nobody, read with the members."""
        if wishes.nickname is not None:
            nickname = check_line(wishes.nickname, max_length=NICKNAME_MAX_LENGTH, field="nickname")
            wishes = wishes._replace(nickname=nickname)
        return await self._details.wish(conversation_id, user_id, wishes)
