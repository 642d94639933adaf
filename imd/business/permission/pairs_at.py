"""Whether one could write to another at a time of the last days, in SQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, and_, bindparam, or_, select

from imd.business.accounts.model import ACTIVE
from imd.business.tables.people import blocks, friends, users
from imd.storage.sql import Database

#: The one word that anybody is told.
NOT_ACCEPTED = "not_accepted"
#: ``users.message_from``: everybody may write; 1 is friends, above nobody.
_EVERYONE, _FRIENDS = 0, 1

_AT: Any = bindparam("at_ms")
_PEOPLE = select(users.c.id, users.c.status, users.c.status_at_ms, users.c.message_from).where(
    users.c.id.in_((bindparam("sender"), bindparam("receiver")))
)
_BLOCKED = select(blocks.c.user_id).where(
    or_(
        and_(blocks.c.user_id == bindparam("sender"), blocks.c.blocked_id == bindparam("receiver")),
        and_(blocks.c.user_id == bindparam("receiver"), blocks.c.blocked_id == bindparam("sender")),
    ),
    blocks.c.created_at_ms <= _AT,
)
_WERE_FRIENDS = select(friends.c.user_id).where(
    friends.c.user_id == bindparam("receiver"),
    friends.c.friend_id == bindparam("sender"),
    friends.c.created_at_ms <= _AT,
    or_(friends.c.ended_at_ms == 0, friends.c.ended_at_ms > _AT),
)


class SqlPairsAt:
    """See ``PairsAt``. What has been taken back since, a block or a wish for peace, counts as never said."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def refused_at(self, sender_id: int, receiver_id: int, at_ms: int) -> str:
        asked = {"sender": sender_id, "receiver": receiver_id, "at_ms": at_ms}

        def work(connection: Connection) -> bool:
            people = {row.id: row for row in connection.execute(_PEOPLE, asked)}
            if len(people) < len({sender_id, receiver_id}):
                return True
            if any(row.status != ACTIVE and row.status_at_ms <= at_ms for row in people.values()):
                return True
            if connection.execute(_BLOCKED, asked).first() is not None:
                return True
            audience = people[receiver_id].message_from
            if audience == _EVERYONE:
                return False
            return audience != _FRIENDS or connection.execute(_WERE_FRIENDS, asked).first() is None

        return NOT_ACCEPTED if await self._database.read(work) else ""
