"""How the two of many pairs stand to each other, in a few statements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select, tuple_

from imd.business.relations.model import Stance, refused
from imd.business.tables.people import blocks, friends, users

_SOME: Any = bindparam("some", expanding=True)
_PEOPLE = select(users.c.id, users.c.status, users.c.message_from).where(users.c.id.in_(_SOME))
_BLOCKS = select(blocks.c.user_id, blocks.c.blocked_id).where(
    tuple_(blocks.c.user_id, blocks.c.blocked_id).in_(_SOME)
)
_FRIENDS = select(friends.c.user_id, friends.c.friend_id).where(
    tuple_(friends.c.user_id, friends.c.friend_id).in_(_SOME), friends.c.ended_at_ms == 0
)


def refused_between(
    connection: Connection, pairs: Sequence[tuple[int, int]]
) -> Mapping[tuple[int, int], Mapping[int, str]]:
    """Who of each pair may not write to the other, and the reason to tell."""
    if not pairs:
        return {}
    ids = list({user_id for pair in pairs for user_id in pair})
    people = {row.id: row for row in connection.execute(_PEOPLE, {"some": ids})}
    both_ways = [*pairs, *((other, one) for one, other in pairs)]
    blocking = {(row[0], row[1]) for row in connection.execute(_BLOCKS, {"some": both_ways})}
    friendly = {(row[0], row[1]) for row in connection.execute(_FRIENDS, {"some": pairs})}

    def stance(user_id: int, other_id: int, *, are_friends: bool) -> Stance:
        person = people[user_id]
        return Stance(
            user_id, person.status, person.message_from, (user_id, other_id) in blocking, are_friends
        )

    found = {}
    for one, other in pairs:
        are_friends = (one, other) in friendly
        found[one, other] = refused(
            stance(one, other, are_friends=are_friends), stance(other, one, are_friends=are_friends)
        )
    return found
