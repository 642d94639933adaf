"""Questions about conversations, and the 1:1 ones, in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    Select,
    bindparam,
    case,
    literal,
    or_,
    select,
    union_all,
)

from imd.business.groups.model import (
    DIRECT,
    GROUP,
    MEMBER,
    VISIBLE_GROUP_MEMBERS,
    Conversation,
    Group,
    Member,
    Standing,
)
from imd.business.groups.ports import Directs, Memberships
from imd.business.groups.sql_steps import read_group, read_standing
from imd.business.relations.model import may_write, not_accepted
from imd.business.relations.sql_pairs import lock_pair, stances
from imd.business.relations.sql_sight import friends_among, seen_of
from imd.business.tables.groups import group_conversations, group_members
from imd.business.tables.people import direct_conversations, users
from imd.storage.sql import Database, insert_ignore


class SqlMemberships:
    """See ``Memberships``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def standing(self, conversation_id: str, user_id: int) -> Standing | None:
        return await self._database.read(lambda c: read_standing(c, conversation_id, user_id))

    async def members(self, conversation_id: str, *, after: int, limit: int) -> Sequence[Member]:
        page = {"group": conversation_id, "after": after, "most": limit}
        rows = await self._database.read(lambda c: c.execute(_MEMBERS, page).all())
        return [Member(*row) for row in rows]

    async def pair(self, conversation_id: str) -> Sequence[Member]:
        rows = await self._database.read(lambda c: c.execute(_TWO, {"conversation": conversation_id}).all())
        return [Member(*row) for row in rows]

    async def group(self, conversation_id: str) -> Group | None:
        return await self._database.read(lambda c: read_group(c, conversation_id))

    async def conversations_of(self, user_id: int, *, after: str = "", limit: int) -> Sequence[Conversation]:
        page = {"asking": user_id, "after": after, "most": limit}
        rows = await self._database.read(lambda c: c.execute(_CONVERSATIONS, page).all())
        return [Conversation(*row) for row in rows]

    async def visible(self, user_id: int, target_ids: Sequence[int]) -> frozenset[int]:
        asked = {"asking": user_id, "targets": list(target_ids), "most": VISIBLE_GROUP_MEMBERS}

        def work(connection: Connection) -> frozenset[int]:
            friend_ids = friends_among(connection, user_id, target_ids)
            contacts = ({user_id} & set(target_ids)) | friend_ids
            for query in _VISIBLE:
                contacts.update(connection.execute(query, asked).scalars())
            return frozenset(seen_of(connection, user_id, contacts, friend_ids))

        return await self._database.read(work)


def _in_groups() -> Select[Any]:
    return (
        select(
            group_conversations.c.id,
            literal(GROUP).label("kind"),
            group_conversations.c.title,
            group_conversations.c.member_count,
            literal(0).label("peer_user_id"),
            group_members.c.visible_from_seq,
            group_members.c.do_not_disturb,
            group_members.c.pinned,
        )
        .join_from(group_members, group_conversations)
        .where(group_members.c.user_id == bindparam("asking"))
    )


def _in_directs() -> Select[Any]:
    low, high = direct_conversations.c.user_low, direct_conversations.c.user_high
    asking: BindParameter[int] = bindparam("asking")
    peer = case((low == asking, high), else_=low)
    return (
        select(
            direct_conversations.c.id,
            literal(DIRECT).label("kind"),
            users.c.display_name,
            literal(2).label("member_count"),
            peer.label("peer_user_id"),
            literal(0).label("visible_from_seq"),
            literal(0).label("do_not_disturb"),
            literal(0).label("pinned"),
        )
        .join_from(direct_conversations, users, users.c.id == peer)
        .where(or_(low == asking, high == asking))
    )


def _conversations() -> Select[Any]:
    both = union_all(_in_groups(), _in_directs()).subquery()
    return select(both).where(both.c.id > bindparam("after")).order_by(both.c.id).limit(bindparam("most"))


def _visible() -> list[Select[Any]]:
    low, high = direct_conversations.c.user_low, direct_conversations.c.user_high
    asking: BindParameter[int] = bindparam("asking")
    targets: BindParameter[Any] = bindparam("targets", expanding=True)
    mine, theirs = group_members.alias("mine"), group_members.alias("theirs")
    return [
        select(high).where(low == asking, high.in_(targets)),
        select(low).where(high == asking, low.in_(targets)),
        select(theirs.c.user_id)
        .distinct()
        .join_from(theirs, mine, mine.c.group_id == theirs.c.group_id)
        .join(group_conversations, group_conversations.c.id == mine.c.group_id)
        .where(
            mine.c.user_id == asking,
            theirs.c.user_id.in_(targets),
            group_conversations.c.member_count <= bindparam("most"),
        ),
    ]


# Put together once: every connection asks some of these, and building one costs more than running it (2 ms).
_CONVERSATIONS = _conversations()
_VISIBLE = _visible()
_MEMBERS = (
    select(
        users.c.id,
        users.c.handle,
        users.c.display_name,
        group_members.c.role,
        group_members.c.joined_at_ms,
        group_members.c.nickname,
        group_members.c.title,
        group_members.c.muted_until_ms,
    )
    .join_from(group_members, users)
    .where(group_members.c.group_id == bindparam("group"), group_members.c.user_id > bindparam("after"))
    .order_by(group_members.c.user_id)
    .limit(bindparam("most"))
)
_PAIR = select(direct_conversations.c.user_low, direct_conversations.c.user_high).where(
    direct_conversations.c.id == bindparam("conversation")
)
_TWO = (
    select(
        users.c.id,
        users.c.handle,
        users.c.display_name,
        literal(MEMBER),
        direct_conversations.c.created_at_ms,
    )
    .join_from(
        direct_conversations,
        users,
        or_(users.c.id == direct_conversations.c.user_low, users.c.id == direct_conversations.c.user_high),
    )
    .where(direct_conversations.c.id == bindparam("conversation"))
    .order_by(users.c.id)
)


class SqlDirects:
    """See ``Directs``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def exists(self, conversation_id: str) -> bool:
        key = {"conversation": conversation_id}
        return await self._database.read(lambda c: c.execute(_PAIR, key).first() is not None)

    async def open(self, conversation_id: str, user_id: int, peer_id: int, now_ms: int) -> bool:
        low, high = sorted((user_id, peer_id))
        row = {"id": conversation_id, "user_low": low, "user_high": high, "created_at_ms": now_ms}

        def work(connection: Connection) -> bool:
            mine, theirs = stances(connection, *lock_pair(connection, user_id, peer_id))
            if not may_write(mine, theirs):
                raise not_accepted()
            return insert_ignore(connection, direct_conversations, [row]) == 1

        return await self._database.write(work)


_memberships: type[Memberships] = SqlMemberships
_directs: type[Directs] = SqlDirects
