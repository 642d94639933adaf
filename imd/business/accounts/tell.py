"""What follows when an account is frozen, thawed or deleted: its logins end everywhere, and what was cached of it."""

from __future__ import annotations

from imd.business.accounts.model import Revocation
from imd.business.accounts.ports import Announcements, StateChange
from imd.business.accounts.sessions import SessionCache
from imd.business.relations.doubt import all_maybe_changed
from imd.business.relations.ports import Announcements as RelationAnnouncements
from imd.business.relations.ports import Relations


class TellState:
    """Told first to those who hold its connections, then to those who remember its conversations."""

    def __init__(
        self,
        *,
        sessions: SessionCache,
        announcements: Announcements,
        relation_announcements: RelationAnnouncements,
        relations: Relations,
    ) -> None:
        self._sessions = sessions
        self._announcements = announcements
        self._relation_announcements = relation_announcements
        self._relations = relations

    async def __call__(self, change: StateChange, reason: str) -> None:
        """The change is committed."""
        user_id = change.account.user_id
        self._sessions.forget(user_id)
        if change.login_ids:
            await self._announcements.revoked(Revocation(user_id, "", "", reason, change.login_ids))
        await self._relation_announcements.relations_changed(change.changed, restricted=True)
        await self._relation_announcements.sight_changed(user_id)

    async def in_doubt(self, user_id: int, reason: str) -> None:
        """It may be."""
        self._sessions.forget(user_id)
        await self._announcements.revoked(Revocation(user_id, "", "", reason))
        await all_maybe_changed(self._relation_announcements, self._relations, user_id)
