"""Blocks and privacy in SQL; see ``sql_pairs`` for the order of locks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from imd.business.accounts.model import DELETED
from imd.business.relations.model import (
    BLOCKS_MAX,
    NOT_ACCEPTED,
    Audience,
    Privacy,
    not_accepted,
    refused,
)
from imd.business.relations.ports import Blocked, Blocks, Changed, Privacies, Relations
from imd.business.relations.sql_pairs import (
    all_pairs_changed,
    lock_people,
    maybe_changed,
    pair_changed,
    read_stances,
)
from imd.business.tables.people import blocks, users
from imd.kernel.errors import Forbidden, PayloadInvalid
from imd.storage.sql import Database

_ONE = select(blocks.c.created_at_ms).where(
    blocks.c.user_id == bindparam("owner"), blocks.c.blocked_id == bindparam("other")
)
_COUNT = select(func.count()).where(blocks.c.user_id == bindparam("owner"))
_ADD = insert(blocks)
_REMOVE = delete(blocks).where(
    blocks.c.user_id == bindparam("owner"), blocks.c.blocked_id == bindparam("other")
)
_PAGE = (
    select(users.c.id, users.c.handle, users.c.display_name, blocks.c.created_at_ms)
    .join_from(blocks, users, users.c.id == blocks.c.blocked_id)
    .where(blocks.c.user_id == bindparam("owner"), blocks.c.blocked_id > bindparam("after"))
    .order_by(blocks.c.blocked_id)
    .limit(bindparam("most"))
)
_PRIVACY = select(users.c.message_from, users.c.add_from, users.c.presence_to, users.c.findable).where(
    users.c.id == bindparam("owner")
)
_SET_PRIVACY = (
    update(users)
    .where(users.c.id == bindparam("owner"))
    .values(
        message_from=bindparam("new_message_from"),
        add_from=bindparam("new_add_from"),
        presence_to=bindparam("new_presence_to"),
        findable=bindparam("new_findable"),
    )
)


class SqlBlocks:
    """See ``Blocks``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def block(self, user_id: int, blocked_id: int, now_ms: int) -> Sequence[Changed] | None:
        def work(connection: Connection) -> Sequence[Changed] | None:
            _lock(connection, user_id, blocked_id)
            pair = {"owner": user_id, "other": blocked_id}
            if connection.execute(_ONE, pair).first() is not None:
                return None
            if connection.execute(_COUNT, {"owner": user_id}).scalar_one() >= BLOCKS_MAX:
                raise Forbidden(f"at most {BLOCKS_MAX} people can be blocked", reason="too_many")
            row = {"user_id": user_id, "blocked_id": blocked_id, "created_at_ms": now_ms}
            connection.execute(_ADD, row)
            return pair_changed(connection, user_id, blocked_id, restricted=True)

        return await self._database.write(work)

    async def lift(self, user_id: int, blocked_id: int) -> Sequence[Changed] | None:
        def work(connection: Connection) -> Sequence[Changed] | None:
            lock_people(connection, (user_id, blocked_id))
            if connection.execute(_REMOVE, {"owner": user_id, "other": blocked_id}).rowcount == 0:
                return None
            return pair_changed(connection, user_id, blocked_id, restricted=False)

        return await self._database.write(work)

    async def page(self, user_id: int, *, after: int, limit: int) -> Sequence[Blocked]:
        page = {"owner": user_id, "after": after, "most": limit}
        rows = await self._database.read(lambda c: c.execute(_PAGE, page).all())
        return [Blocked(*row) for row in rows]


def _lock(connection: Connection, user_id: int, other_id: int) -> None:
    """Both, if they exist; somebody frozen may be blocked too, and nobody learns that they are."""
    if user_id == other_id:
        raise PayloadInvalid("this takes somebody else", field="userId")
    rows = lock_people(connection, (user_id, other_id))
    if other_id not in rows or rows[other_id].status == DELETED:
        raise not_accepted()


class SqlPrivacies:
    """See ``Privacies``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def privacy(self, user_id: int) -> Privacy:
        row = await self._database.read(lambda c: c.execute(_PRIVACY, {"owner": user_id}).one())
        return _privacy(row)

    async def set_privacy(
        self, user_id: int, changes: Mapping[str, Any]
    ) -> tuple[Privacy, Privacy, Sequence[Changed]]:
        def work(connection: Connection) -> tuple[Privacy, Privacy, Sequence[Changed]]:
            before = _privacy(lock_people(connection, (user_id,))[user_id])
            privacy = before._replace(**changes)
            if before == privacy:
                return before, privacy, ()
            values = {
                "owner": user_id,
                "new_message_from": int(privacy.message_from),
                "new_add_from": int(privacy.add_from),
                "new_presence_to": int(privacy.presence_to),
                "new_findable": int(privacy.findable),
            }
            connection.execute(_SET_PRIVACY, values)
            if before.message_from == privacy.message_from:
                return before, privacy, ()
            return before, privacy, all_pairs_changed(connection, user_id)

        return await self._database.write(work)


def _privacy(row: Any) -> Privacy:
    return Privacy(
        Audience(row.message_from), Audience(row.add_from), Audience(row.presence_to), bool(row.findable)
    )


class SqlRelations:
    """See ``Relations``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def refused(self, user_id: int, other_id: int) -> Mapping[int, str]:
        return await self._database.read(lambda c: read_refused(c, user_id, other_id))

    async def maybe_changed(self, user_id: int) -> Sequence[Changed]:
        return await self._database.read(lambda c: maybe_changed(c, user_id))


def read_refused(connection: Connection, user_id: int, other_id: int) -> dict[int, str]:
    """The same inside a transaction of whoever asks for more than that."""
    both = read_stances(connection, user_id, other_id)
    if both is None:
        return {user_id: NOT_ACCEPTED, other_id: NOT_ACCEPTED}
    return refused(*both)


_blocks: type[Blocks] = SqlBlocks
_privacies: type[Privacies] = SqlPrivacies
_relations: type[Relations] = SqlRelations
