"""What follows a change of a group: it is committed, then invalidated, then noticed, then recorded.

In this order nobody is told of a change that permission checks do not know. And it is what makes a kick, a mute and a
place on the blacklist race a send correctly: the notice carries the version that the change was committed with, and
core's owner of the conversation takes it in line with the sends. From the moment it takes the notice it judges by a
membership of at least that version, which it asks for if it has none; what it took in before has a lower seq than the
notice, for a conversation's messages are written in the order in which they were taken. So once a kick is stored, with
the seq of its notice, nobody whom it removed has a later one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TypeVar

import msgspec

from imd.bus.audit import DONE, HIGH, LOW, MEDIUM, AuditEntry
from imd.business.audit.ports import Audit
from imd.business.groups.doubt import told_if_in_doubt
from imd.business.groups.model import OPERATOR, Change
from imd.business.groups.ports import Announcements

T = TypeVar("T")

#: Of one act, each with an event of their own, so that it is found by their id; of more of them only how many.
MAX_SUBJECTS_RECORDED = 100
#: Acts that cost somebody something, and those that cost everybody.
_LEVELS = {
    "group.kick": MEDIUM,
    "group.mute": MEDIUM,
    "group.all_mute": MEDIUM,
    "group.blacklist": MEDIUM,
    "group.role": MEDIUM,
    "group.rules": MEDIUM,
    "group.transfer": HIGH,
    "group.dissolve": HIGH,
}


class Telling:
    """Tells core and the audit of changes, in their order."""

    def __init__(self, *, announcements: Announcements, audit: Audit) -> None:
        self._announcements = announcements
        self._audit = audit

    async def committed(self, conversation_id: str, change: Awaitable[T]) -> T:
        """The change's result; in doubt, core looks again, and the doubt is raised."""
        return await told_if_in_doubt(self._announcements, conversation_id, change)

    async def changed(self, change: Change, *, removed: str = "") -> None:
        """Core forgets what it knew.

        :param removed: why the users of the change are not in it any more, if they are not.
        """
        group = change.group
        await self._announcements.membership_changed(
            group.conversation_id,
            group.version,
            removed_ids=change.user_ids if removed else (),
            reason=removed,
            restricted_ids=change.restricted_ids,
        )

    async def notice(
        self,
        change: Change,
        event: str,
        *,
        actor_id: int,
        subject_ids: Sequence[int] = (),
        text: str = "",
        until_ms: int = 0,
    ) -> None:
        """Those who are in it read it; of a group that is no more nobody is."""
        group = change.group
        if group.member_count:
            await self._announcements.notice(
                group.conversation_id,
                group.version,
                event,
                actor_id=actor_id,
                subject_ids=subject_ids,
                text=text,
                until_ms=until_ms,
            )

    def record(
        self,
        action: str,
        *,
        actor_id: int,
        conversation_id: str,
        subject_ids: Sequence[int] = (),
        detail: str = "",
    ) -> None:
        """Somebody did something that others may ask about."""
        told: dict[str, object] = {"detail": detail} if detail else {}
        if len(subject_ids) > MAX_SUBJECTS_RECORDED:
            told["subjects"] = len(subject_ids)
            subject_ids = ()
        entry = AuditEntry(
            action,
            DONE,
            actor_id=actor_id,
            conversation_id=conversation_id,
            # What an operator does to a group is looked at first.
            level=HIGH if actor_id == OPERATOR else _LEVELS.get(action, LOW),
            detail=msgspec.json.encode(told).decode() if told else "",
        )
        for subject_id in subject_ids or (0,):
            self._audit.record(entry._replace(subject_id=subject_id))
