"""Two people at once, and what hangs on the pair.

Whatever changes relations or the state of an account locks in this order: groups (see ``groups/sql.py``), then
people's rows by id, then what hangs on them, then 1:1 conversations by id. So of two who accept, of one who
accepts and one who blocks, or of a block and the opening of a conversation, one comes first, and the other
sees what it did.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, func, literal, or_, select, union_all, update

from imd.business.accounts.model import ACTIVE
from imd.business.announced import of_relations, of_sight
from imd.business.relations.model import Stance, not_accepted
from imd.business.relations.ports import Changed
from imd.business.sql_announced import remember
from imd.business.tables.people import blocks, direct_conversations, friends, users
from imd.kernel.errors import PayloadInvalid
from imd.kernel.ids import direct_conversation_id
from imd.storage.sql import ROWS_PER_STATEMENT

_LOCK_PEOPLE = (
    select(users)
    .where(users.c.id.in_(bindparam("some", expanding=True)))
    .order_by(users.c.id)
    .with_for_update()
)
_PEOPLE = select(users.c.id, users.c.status, users.c.message_from).where(
    users.c.id.in_(bindparam("some", expanding=True))
)
_BLOCKS_BETWEEN = select(blocks.c.user_id).where(
    or_(
        and_(blocks.c.user_id == bindparam("one"), blocks.c.blocked_id == bindparam("other")),
        and_(blocks.c.user_id == bindparam("other"), blocks.c.blocked_id == bindparam("one")),
    )
)
_ARE_FRIENDS = select(func.count()).where(
    friends.c.user_id == bindparam("one"),
    friends.c.friend_id == bindparam("other"),
    friends.c.ended_at_ms == 0,
)
_BUMP = (
    update(direct_conversations)
    .where(direct_conversations.c.id == bindparam("conversation"))
    .values(version=direct_conversations.c.version + 1)
)
_VERSION = select(direct_conversations.c.version).where(
    direct_conversations.c.id == bindparam("conversation")
)
_CONVERSATIONS_OF = union_all(
    select(direct_conversations.c.id).where(direct_conversations.c.user_low == bindparam("key")),
    select(direct_conversations.c.id).where(direct_conversations.c.user_high == bindparam("key")),
)
_PAIRS_OF = union_all(
    select(
        direct_conversations.c.id,
        literal(0),
        direct_conversations.c.user_low,
        direct_conversations.c.user_high,
    ).where(direct_conversations.c.user_low == bindparam("key")),
    select(
        direct_conversations.c.id,
        literal(0),
        direct_conversations.c.user_low,
        direct_conversations.c.user_high,
    ).where(direct_conversations.c.user_high == bindparam("key")),
)
_LOCK_CONVERSATIONS = (
    select(
        direct_conversations.c.id,
        direct_conversations.c.version,
        direct_conversations.c.user_low,
        direct_conversations.c.user_high,
    )
    .where(direct_conversations.c.id.in_(bindparam("some", expanding=True)))
    .order_by(direct_conversations.c.id)
    .with_for_update()
)
_BUMP_SOME = (
    update(direct_conversations)
    .where(direct_conversations.c.id.in_(bindparam("some", expanding=True)))
    .values(version=direct_conversations.c.version + 1)
)


def batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """As many as one statement takes."""
    for start in range(0, len(items), ROWS_PER_STATEMENT):
        yield items[start : start + ROWS_PER_STATEMENT]


def lock_people(connection: Connection, user_ids: Iterable[int]) -> dict[int, Row[Any]]:
    """The rows of those who exist, which nobody else changes until this is done."""
    rows = connection.execute(_LOCK_PEOPLE, {"some": sorted(set(user_ids))})
    return {row.id: row for row in rows}


def lock_pair(connection: Connection, user_id: int, other_id: int) -> tuple[Row[Any], Row[Any]]:
    """Both rows, of people who are there; whoever is not, is refused like one who does not accept."""
    if user_id == other_id:
        raise PayloadInvalid("this takes somebody else", field="userId")
    rows = lock_people(connection, (user_id, other_id))
    if len(rows) != 2 or any(row.status != ACTIVE for row in rows.values()):
        raise not_accepted()
    return rows[user_id], rows[other_id]


def stances(connection: Connection, one: Any, other: Any) -> tuple[Stance, Stance]:
    """How two people, given by their rows, stand to each other."""
    pair = {"one": one.id, "other": other.id}
    blocking = set(connection.execute(_BLOCKS_BETWEEN, pair).scalars())
    are_friends = connection.execute(_ARE_FRIENDS, pair).scalar_one() > 0
    first, second = (
        Stance(row.id, row.status, row.message_from, row.id in blocking, are_friends) for row in (one, other)
    )
    return first, second


def read_stances(connection: Connection, one_id: int, other_id: int) -> tuple[Stance, Stance] | None:
    """The same as of now, without a lock; None if one of them is not known."""
    rows = {row.id: row for row in connection.execute(_PEOPLE, {"some": [one_id, other_id]})}
    if one_id not in rows or other_id not in rows:
        return None
    return stances(connection, rows[one_id], rows[other_id])


def pair_changed(connection: Connection, one_id: int, other_id: int, *, restricted: bool) -> list[Changed]:
    """What the two may do to each other is different: their conversation, if they have one, gets a new version.

    What the other roles are told of it is written down.

    :param restricted: it is less than before; so may be what they see.
    """
    key = {"conversation": direct_conversation_id(one_id, other_id)}
    connection.execute(_BUMP, key)
    version = connection.execute(_VERSION, key).scalar()
    changed = [] if version is None else [Changed(key["conversation"], version, (one_id, other_id))]
    remember(connection, of_relations(changed, restricted=restricted))
    if restricted:
        remember(connection, [of_sight(one_id, (other_id,))])
    return changed


def all_pairs_changed(connection: Connection, user_id: int) -> list[Changed]:
    """The same for all conversations of somebody whose row is locked."""
    changed: list[Changed] = []
    ids = sorted(connection.execute(_CONVERSATIONS_OF, {"key": user_id}).scalars())
    for some in batches(ids):
        rows = connection.execute(_LOCK_CONVERSATIONS, {"some": some}).all()
        connection.execute(_BUMP_SOME, {"some": some})
        changed += [Changed(row.id, row.version + 1, (row.user_low, row.user_high)) for row in rows]
    remember(connection, [*of_relations(changed, restricted=True), of_sight(user_id)])
    return changed


def maybe_changed(connection: Connection, user_id: int) -> list[Changed]:
    """All conversations of somebody of whom nobody knows whether anything changed."""
    rows = connection.execute(_PAIRS_OF, {"key": user_id})
    return [Changed(row[0], row[1], (row[2], row[3])) for row in rows]
