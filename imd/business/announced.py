"""What the other roles are told when something has changed, and the name by which the telling is remembered.

The transaction of a change writes its telling down (``sql_announced``), and whoever publishes it takes it away
again: both make it here, so that they mean the same one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from imd.business.accounts.model import Revocation
from imd.business.relations.ports import Changed
from imd.pb.bus_pb2 import Invalidation, SystemAppend

#: Conversations in one event. A node that knows them marks each with all the people who are named.
CHANGED_PER_EVENT = 100


#: Begins the names of notices. They sort behind all events: those matter more, and are read first.
_NOTICE = "~"


class Announced(NamedTuple):
    """An event that has no time yet. ``about`` is empty where nothing is remembered: nobody knows whether anything
    changed, or those who know less find out by themselves."""

    about: str
    event: Invalidation


def of_membership(
    conversation_id: str,
    version: int,
    *,
    removed_ids: Sequence[int] = (),
    reason: str = "",
    restricted_ids: Sequence[int] = (),
) -> Announced:
    """A conversation has this version from now on; 0: maybe another one."""
    event = Invalidation(
        conversationId=conversation_id,
        version=version,
        removedIds=removed_ids,
        reason=reason,
        restrictedIds=restricted_ids,
    )
    return Announced(_version(conversation_id, version), event)


def of_relations(changed: Sequence[Changed], *, restricted: bool) -> Iterator[Announced]:
    """1:1 conversations have these versions from now on."""
    for start in range(0, len(changed), CHANGED_PER_EVENT):
        some = changed[start : start + CHANGED_PER_EVENT]
        event = Invalidation()
        event.changed.conversationIds.extend(one.conversation_id for one in some)
        event.changed.versions.extend(one.version for one in some)
        if restricted:
            user_ids = {user_id for one in some for user_id in one.user_ids}
            event.changed.restrictedIds.extend(sorted(user_ids))
        yield Announced(_version(some[0].conversation_id, some[0].version), event)


def of_sight(user_id: int, peer_ids: Sequence[int] = ()) -> Announced:
    """Who sees whom online may be different, between the user and these, or all."""
    event = Invalidation()
    event.sight.userId = user_id
    event.sight.peerIds.extend(peer_ids)
    return Announced(f"sight {user_id} {peer_ids[0] if peer_ids else 0}", event)


def of_revocation(revocation: Revocation) -> Announced:
    """Logins have ended."""
    event = Invalidation()
    event.revoked.userId = revocation.user_id
    event.revoked.deviceId = revocation.device_id
    event.revoked.exceptDeviceId = revocation.except_device_id
    event.revoked.reason = revocation.reason
    event.revoked.loginIds.extend(revocation.login_ids)
    return Announced(f"login {revocation.login_ids[0]}" if revocation.login_ids else "", event)


def about_notice(request: SystemAppend) -> str:
    """Names what is to be written into a conversation; those of one conversation sort as they happened."""
    return f"{_NOTICE}{request.conversationId} {request.version:020} {request.notice.event}"


def is_notice(about: str) -> bool:
    """Whether this is the name of a notice, and not of an event."""
    return about.startswith(_NOTICE)


def _version(conversation_id: str, version: int) -> str:
    return f"{conversation_id} {version}" if version else ""
