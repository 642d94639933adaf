"""Who may see whether somebody is there: of those who know each other, whoever neither blocks nor hides."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, bindparam, select

from imd.business.accounts.model import ACTIVE
from imd.business.relations.model import is_admitted
from imd.business.tables.people import blocks, friends, users

_FRIENDS_AMONG = select(friends.c.friend_id).where(
    friends.c.user_id == bindparam("asking"),
    friends.c.friend_id.in_(bindparam("targets", expanding=True)),
    friends.c.ended_at_ms == 0,
)
_BLOCKED = select(blocks.c.blocked_id).where(
    blocks.c.user_id == bindparam("asking"), blocks.c.blocked_id.in_(bindparam("targets", expanding=True))
)
_BLOCKING = select(blocks.c.user_id).where(
    blocks.c.blocked_id == bindparam("asking"), blocks.c.user_id.in_(bindparam("targets", expanding=True))
)
_SHOWING = select(users.c.id, users.c.presence_to).where(
    users.c.id.in_(bindparam("targets", expanding=True)), users.c.status == ACTIVE
)


def friends_among(connection: Connection, user_id: int, target_ids: Iterable[int]) -> set[int]:
    """Those of the targets that are friends of the user."""
    asked = {"asking": user_id, "targets": list(target_ids)}
    return set(connection.execute(_FRIENDS_AMONG, asked).scalars())


def seen_of(
    connection: Connection, user_id: int, contact_ids: Iterable[int], friend_ids: set[int]
) -> set[int]:
    """Those of a user's contacts whose presence they may see; oneself always."""
    others = sorted(set(contact_ids) - {user_id})
    asked = {"asking": user_id, "targets": others}
    hidden: set[int] = set()
    for query in (_BLOCKED, _BLOCKING):
        hidden.update(connection.execute(query, asked).scalars())
    shown = {
        target_id
        for target_id, audience in connection.execute(_SHOWING, asked)
        if is_admitted(audience, is_friend=target_id in friend_ids)
    }
    return (shown - hidden) | ({user_id} & set(contact_ids))
