"""``Backgrounds`` in SQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Select, bindparam, or_, select

from imd.business.accounts.model import Account, fold_handle
from imd.business.explain.model import Block, Person, Standing, Stay, number_in
from imd.business.explain.ports import Backgrounds
from imd.business.relations.model import Audience
from imd.business.reviews.model import Review
from imd.business.reviews.sql import review_of
from imd.business.tables.groups import group_conversations, group_departures, group_members
from imd.business.tables.people import blocks, direct_conversations, users
from imd.business.tables.policy import reviews
from imd.kernel.errors import PayloadInvalid
from imd.storage.sql import Database

_ACCOUNT = tuple(users.c["id" if name == "user_id" else name] for name in Account._fields)
_PERSON = select(*_ACCOUNT, users.c.status_at_ms, users.c.status_reason)
_HERE: Any = bindparam("conversation")
_GROUP = select(group_conversations.c.dissolved_at_ms).where(group_conversations.c.id == _HERE)
_STAY_NOW = select(group_members.c.joined_at_ms, group_members.c.visible_from_seq).where(
    group_members.c.group_id == _HERE, group_members.c.user_id == bindparam("receiver")
)
_STAYS_BEFORE = (
    select(group_departures.c.joined_at_ms, group_departures.c.left_at_ms)
    .where(group_departures.c.group_id == _HERE, group_departures.c.user_id == bindparam("receiver"))
    .order_by(group_departures.c.left_at_ms)
)
_PAIR = select(
    direct_conversations.c.user_low, direct_conversations.c.user_high, direct_conversations.c.created_at_ms
).where(direct_conversations.c.id == _HERE)
_BLOCKS = select(blocks.c.user_id, blocks.c.created_at_ms).where(
    or_(
        (blocks.c.user_id == bindparam("receiver")) & (blocks.c.blocked_id == bindparam("sender")),
        (blocks.c.user_id == bindparam("sender")) & (blocks.c.blocked_id == bindparam("receiver")),
    )
)
_AUDIENCE = select(users.c.message_from).where(users.c.id == bindparam("receiver"))


class SqlBackgrounds:
    """See ``Backgrounds``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def person(self, name: str) -> Person | None:
        queries = _named(name)

        def work(connection: Connection) -> Person | None:
            for query in queries:
                row = connection.execute(query).one_or_none()
                if row is not None:
                    *account, since_ms, reason = row
                    return Person(Account(*account), since_ms, reason)
            return None

        return await self._database.read(work)

    async def standing(self, conversation_id: str, receiver_id: int, sender_id: int) -> Standing:
        asked = {"conversation": conversation_id, "receiver": receiver_id, "sender": sender_id}

        def work(connection: Connection) -> Standing:
            between = [Block(*row) for row in connection.execute(_BLOCKS, asked)]
            is_choosy = connection.scalar(_AUDIENCE, asked) != Audience.EVERYONE
            pair = connection.execute(_PAIR, asked).one_or_none()
            if pair is not None:
                low, high, since_ms = pair
                stays = [Stay(since_ms, 0, 0)] if receiver_id in (low, high) else []
                return Standing(True, 0, stays, between, is_choosy)
            dissolved_at_ms = connection.scalar(_GROUP, asked)
            stays = [Stay(since, until, 0) for since, until in connection.execute(_STAYS_BEFORE, asked)]
            stays += [Stay(since, 0, first) for since, first in connection.execute(_STAY_NOW, asked)]
            return Standing(dissolved_at_ms is not None, dissolved_at_ms or 0, stays, between, is_choosy)

        return await self._database.read(work)

    async def review(self, conversation_id: str, sender_id: int, client_msg_id: str) -> Review | None:
        query = select(reviews).where(
            reviews.c.conversation_id == conversation_id,
            reviews.c.sender_id == sender_id,
            reviews.c.client_msg_id == client_msg_id,
        )
        row = await self._database.read(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else review_of(row)


def _named(name: str) -> list[Select[Any]]:
    """A handle may look like an id; an id that is somebody's is meant first."""
    queries = [_PERSON.where(users.c.id == number)] if (number := number_in(name)) else []
    try:
        return [*queries, _PERSON.where(users.c.handle == fold_handle(name))]
    except PayloadInvalid:
        return queries


_: type[Backgrounds] = SqlBackgrounds
