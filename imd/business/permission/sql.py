"""What the authority answers by, in SQL.

A group of 10,000 is one row: its members are put together by the database, which a driver in Python takes six times
as long to fetch row by row (60 ms from MariaDB).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, String, and_, bindparam, case, cast, func, literal, select, tuple_

from imd.business.groups.model import ADMIN, DIRECT, GROUP, MEMBER, OWNER, Group
from imd.business.groups.sql_steps import group_of, groups_with, read_group
from imd.business.permission.model import Facts, Page, Snapshot, Special
from imd.business.permission.ports import Standings
from imd.business.permission.rights import DIRECT_RIGHTS, is_sensitive, rights_of
from imd.business.permission.sql_pairs import refused_between
from imd.business.permission.sql_restricted import read_restricted
from imd.business.tables.groups import group_conversations, group_members
from imd.business.tables.people import direct_conversations
from imd.kernel.errors import InternalError
from imd.storage.sql import Database

#: What the ids of 1:1 conversations begin with; see ``kernel.ids.direct_conversation_id``.
_DIRECT_PREFIX = "p_"

_columns = group_members.c
_ORDINARY = and_(_columns.role == MEMBER, _columns.muted_until_ms == 0, _columns.visible_from_seq == 0)


def _text(*columns: Any) -> Any:
    """Numbers in one text, with a colon between them."""
    whole: Any = cast(columns[0], String(20))
    for column in columns[1:]:
        whole = whole + literal(":") + cast(column, String(20))
    return whole


# Put together once: building a statement costs more than running it.
_MEMBERS = select(
    func.count(),
    func.group_concat(case((_ORDINARY, _text(_columns.user_id)))),
    func.group_concat(
        case(
            (
                ~_ORDINARY,
                _text(_columns.user_id, _columns.role, _columns.muted_until_ms, _columns.visible_from_seq),
            )
        )
    ),
).where(_columns.group_id == bindparam("group"))
_PAIRS = select(
    direct_conversations.c.id,
    direct_conversations.c.user_low,
    direct_conversations.c.user_high,
    direct_conversations.c.version,
).where(direct_conversations.c.id.in_(bindparam("some", expanding=True)))
_GROUPS = groups_with().where(
    group_conversations.c.id.in_(bindparam("some", expanding=True)),
    group_conversations.c.dissolved_at_ms == 0,
)
_SOME_MEMBERS = select(_columns.group_id, _columns.user_id, _columns.role, _columns.muted_until_ms).where(
    tuple_(_columns.group_id, _columns.user_id).in_(bindparam("some", expanding=True))
)


class SqlStandings:
    """See ``Standings``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def snapshot(self, conversation_id: str) -> Snapshot | None:
        if conversation_id.startswith(_DIRECT_PREFIX):
            return await self._database.read(lambda c: _direct(c, conversation_id))
        return await self._database.read(lambda c: _group(c, conversation_id))

    async def facts(self, asked: Sequence[tuple[str, int]]) -> Sequence[Facts | None]:
        directs = {one for one, _ in asked if one.startswith(_DIRECT_PREFIX)}
        in_groups = [pair for pair in asked if pair[0] not in directs]

        def work(connection: Connection) -> Sequence[Facts | None]:
            found = _facts_of_directs(connection, directs) if directs else {}
            if in_groups:
                found |= _facts_of_groups(connection, in_groups)
            return [found.get(pair) for pair in asked]

        return await self._database.read(work)

    async def restricted(self, after: str, *, now_ms: int, limit: int) -> Page:
        return await self._database.read(lambda c: read_restricted(c, after, now_ms=now_ms, limit=limit))


def _direct(connection: Connection, conversation_id: str) -> Snapshot | None:
    row = connection.execute(_PAIRS, {"some": [conversation_id]}).first()
    if row is None:
        return None
    refusing = refused_between(connection, [(row.user_low, row.user_high)])
    pair = (row.user_low, row.user_high)
    return Snapshot(
        DIRECT,
        row.version,
        "",
        (DIRECT_RIGHTS,) * 3,
        [user_id for user_id in pair if user_id not in refusing[pair]],
        [Special(user_id, MEMBER, 0, 0, reason) for user_id, reason in refusing[pair].items()],
    )


def _group(connection: Connection, conversation_id: str) -> Snapshot | None:
    group = read_group(connection, conversation_id)
    if group is None:
        return None
    count, ordinary, special = connection.execute(_MEMBERS, {"group": conversation_id}).one()
    member_ids = [int(each) for each in ordinary.split(",")] if ordinary else []
    specials = [_special(each) for each in special.split(",")] if special else []
    if len(member_ids) + len(specials) != count:
        # A server that cuts long texts; see ``group_concat_max_len`` in storage.sql_mysql.
        raise InternalError("the members of this group cannot be read")
    return Snapshot(
        GROUP,
        group.version,
        group.title,
        _rights(group),
        member_ids,
        specials,
        group.kind,
        is_sensitive(group),
        group.all_muted_until_ms,
    )


def _special(text: str) -> Special:
    user_id, role, muted_until_ms, visible_from = map(int, text.split(":"))
    return Special(user_id, role, muted_until_ms, visible_from)


def _rights(group: Group) -> tuple[int, int, int]:
    return int(rights_of(group, MEMBER)), int(rights_of(group, ADMIN)), int(rights_of(group, OWNER))


def _facts_of_directs(connection: Connection, ids: Iterable[str]) -> dict[tuple[str, int], Facts]:
    rows = connection.execute(_PAIRS, {"some": list(ids)}).all()
    refusing = refused_between(connection, [(row.user_low, row.user_high) for row in rows])
    return {
        (row.id, user_id): Facts(
            row.version,
            MEMBER,
            DIRECT_RIGHTS,
            refused=refusing[row.user_low, row.user_high].get(user_id, ""),
        )
        for row in rows
        for user_id in (row.user_low, row.user_high)
    }


def _facts_of_groups(
    connection: Connection, asked: Sequence[tuple[str, int]]
) -> dict[tuple[str, int], Facts]:
    ids = list({conversation_id for conversation_id, _ in asked})
    groups = {row.id: group_of(row) for row in connection.execute(_GROUPS, {"some": ids})}
    return {
        (row.group_id, row.user_id): Facts(
            groups[row.group_id].version,
            row.role,
            int(rights_of(groups[row.group_id], row.role)),
            row.muted_until_ms,
            groups[row.group_id].all_muted_until_ms,
        )
        for row in connection.execute(_SOME_MEMBERS, {"some": asked})
        if row.group_id in groups
    }


_standings: type[Standings] = SqlStandings
