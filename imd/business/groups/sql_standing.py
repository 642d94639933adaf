"""What somebody's standing in a conversation was at a time of the last week, in SQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, or_, select

from imd.business.accounts.model import ACTIVE
from imd.business.groups.model import MEMBER, StandingAt
from imd.business.groups.ports import StandingsAt
from imd.business.groups.sql_past import EVERYBODY
from imd.business.tables.groups import (
    group_blacklist,
    group_conversations,
    group_departures,
    group_members,
    group_past_mutes,
)
from imd.business.tables.people import direct_conversations, users
from imd.storage.sql import Database

_AT: Any = bindparam("at_ms")


def _stays() -> tuple[Select[Any], Select[Any]]:
    """The member's row if they were in it by then, and the one that tells that they were."""
    now = select(group_members.c.role, group_members.c.muted_at_ms, group_members.c.muted_until_ms).where(
        group_members.c.group_id == bindparam("conversation"),
        group_members.c.user_id == bindparam("user"),
        group_members.c.joined_at_ms <= _AT,
    )
    then = select(
        group_departures.c.role, group_departures.c.muted_at_ms, group_departures.c.muted_until_ms
    ).where(
        group_departures.c.group_id == bindparam("conversation"),
        group_departures.c.user_id == bindparam("user"),
        group_departures.c.joined_at_ms <= _AT,
        group_departures.c.left_at_ms > _AT,
    )
    return now, then


# Put together once.
_STAYS = _stays()
_ALL_MUTED = select(group_conversations.c.all_muted_at_ms, group_conversations.c.all_muted_until_ms).where(
    group_conversations.c.id == bindparam("conversation")
)
_PAST_MUTES = select(group_past_mutes.c.user_id).where(
    group_past_mutes.c.group_id == bindparam("conversation"),
    group_past_mutes.c.user_id.in_((EVERYBODY, bindparam("user"))),
    group_past_mutes.c.muted_at_ms <= _AT,
    group_past_mutes.c.ended_at_ms > _AT,
)
_BARRED = select(group_blacklist.c.user_id).where(
    group_blacklist.c.group_id == bindparam("conversation"),
    group_blacklist.c.user_id == bindparam("user"),
    group_blacklist.c.created_at_ms <= _AT,
)
# Who has been thawed since counts as never frozen.
_INACTIVE = select(users.c.id).where(
    users.c.id == bindparam("user"), users.c.status != ACTIVE, users.c.status_at_ms <= _AT
)
_PAIR = select(direct_conversations.c.id).where(
    and_(
        direct_conversations.c.id == bindparam("conversation"),
        direct_conversations.c.created_at_ms <= _AT,
        or_(
            direct_conversations.c.user_low == bindparam("user"),
            direct_conversations.c.user_high == bindparam("user"),
        ),
    )
)


class SqlStandingsAt:
    """See ``StandingsAt``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def standing_at(self, conversation_id: str, user_id: int, at_ms: int) -> StandingAt:
        asked = {"conversation": conversation_id, "user": user_id, "at_ms": at_ms}

        def work(connection: Connection) -> StandingAt:
            everybody = connection.execute(_ALL_MUTED, asked).first()
            if everybody is None:
                pair = connection.execute(_PAIR, asked).first()
                return StandingAt(pair is not None, MEMBER, False, False)
            barred = connection.execute(_BARRED, asked).first() is not None
            stays = (connection.execute(stay, asked).first() for stay in _STAYS)
            stay = next((one for one in stays if one is not None), None)
            if stay is None:
                return StandingAt(False, MEMBER, False, barred)
            past = set(connection.execute(_PAST_MUTES, asked).scalars())
            muted = user_id in past or stay.muted_at_ms <= at_ms < stay.muted_until_ms
            if stay.role == MEMBER:
                muted |= EVERYBODY in past
                muted |= everybody.all_muted_at_ms <= at_ms < everybody.all_muted_until_ms
            active = connection.execute(_INACTIVE, asked).first() is None
            return StandingAt(True, stay.role, muted, barred, active)

        return await self._database.read(work)


_: type[StandingsAt] = SqlStandingsAt
