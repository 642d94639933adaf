"""What follows a change of a group: it is committed, then invalidated, then noticed, then recorded.

In this order nobody is told of a change that permission checks do not know. And it is what makes a kick, a mute and a
place on the blacklist race a send correctly: once the notice is stored, nobody whom it removed has a later seq.

- The notice carries the version that the change was committed with. From the moment the owner of the conversation takes
  it in, it judges by a membership of at least that version, and asks if it has none; the telling may come later, or get
  lost. Where nobody can be asked, the notice itself says who is out and who is mute.
- What the owner took in before the notice it writes before it: messages of one conversation are written in the order
  in which they were taken, whatever the store does.
- Another node that had taken a send in before, and writes when the notice is stored already, is told so by the store:
  the seq is gone. It asks anew, and refuses what may not be written any more (``Appender.outrun``).
- A node that becomes the owner asks anew, before it is next used, about whatever it knew of these conversations
  (``LiveConversations.taken``).

What is left is a node that is cut off from the bus and writes without being the owner: it goes by what it knows until
it meets what another has written, from then on by the matrix for an authority that does not answer, and what that let
through is looked at later, and taken back (``permission.recheck``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TypeVar

import msgspec

from imd.bus.audit import DONE, HIGH, LOW, MEDIUM, REFUSED, AuditEntry
from imd.business.audit.ports import Audit
from imd.business.groups.doubt import told_if_in_doubt
from imd.business.groups.model import OPERATOR, Change
from imd.business.groups.ports import Announcements
from imd.kernel.errors import Forbidden

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

    async def committed(self, change: Awaitable[T], action: str, actor_id: int, conversation_id: str) -> T:
        """The change's result; in doubt, core looks again, and the doubt is raised. A no is recorded."""
        try:
            return await told_if_in_doubt(self._announcements, conversation_id, change)
        except Forbidden as no:
            self._audit.record(
                AuditEntry(
                    action,
                    REFUSED,
                    # Said to the actor without one: nobody outside learns what is in there.
                    reason=no.reason or "not_member",
                    actor_id=actor_id,
                    conversation_id=conversation_id,
                    level=_LEVELS.get(action, LOW),
                )
            )
            no.is_recorded = True
            raise

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
