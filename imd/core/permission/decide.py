"""May this user do this here? A pure rule over what business said of the conversation; it asks nobody.

Whoever is refused learns a stable reason: ``not_member``, ``no_right``, ``muted``, ``all_muted`` or
``not_accepted``. The last one is all that a stranger, somebody blocked and somebody whose peer is gone
are told: nobody finds out which.
"""

from __future__ import annotations

from imd.core.directory import MEDIA, MEMBER, MESSAGE, Membership
from imd.kernel.errors import Forbidden, ImError

#: What a mute silences, and what reaches somebody who does not want to hear.
SPEECH = MESSAGE | MEDIA
#: A mute that lasts longer has no end that a client could wait for.
MAX_WAIT_MS = 30 * 24 * 3600 * 1000


def refusal(membership: Membership | None, user_id: int, right: int, now_ms: int) -> ImError | None:
    """Why the user may not; None: go on.

    :param right: the bits that are needed, all of them; 0 asks for being a member and nothing else.
    """
    if membership is None:
        return not_member()
    role = membership.roles.get(user_id)
    if role is None:
        return not_member()
    if membership.rights[role] & right != right:
        return Forbidden("your role may not do this here", reason="no_right")
    if right & SPEECH and (membership.muted_until_ms or membership.all_muted_until_ms or membership.refused):
        return _silenced(membership, user_id, role, now_ms)
    return None


def not_member() -> Forbidden:
    """Said alike for what is foreign and what does not exist."""
    return Forbidden("this conversation does not exist or you are not in it", reason="not_member")


def _silenced(membership: Membership, user_id: int, role: int, now_ms: int) -> ImError | None:
    until_ms = membership.muted_until_ms.get(user_id, 0)
    if until_ms > now_ms:
        return _until("you are muted here", "muted", until_ms - now_ms)
    if role == MEMBER and membership.all_muted_until_ms > now_ms:
        return _until("only admins may write here now", "all_muted", membership.all_muted_until_ms - now_ms)
    if user_id in membership.refused:
        return Forbidden("your messages are not accepted here", reason="not_accepted")
    return None


def _until(message: str, reason: str, wait_ms: int) -> Forbidden:
    return Forbidden(message, reason=reason, retry_after_ms=wait_ms if wait_ms <= MAX_WAIT_MS else 0)
