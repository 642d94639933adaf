"""What the authority answers by, in SQL.

A group of 10,000 is one row: its members are put together by the database, which a driver in Python takes six times
as long to fetch row by row (60 ms from MariaDB).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, String, and_, bindparam, case, cast, func, literal, select, tuple_

from imd.business.groups.model import ADMIN, DIRECT, GROUP, MEMBER, OWNER, Group, Rules
from imd.business.groups.sql_steps import read_group
from imd.business.permission.model import Facts, Page, Snapshot, Special
from imd.business.permission.ports import Standings
from imd.business.permission.rights import DIRECT_RIGHTS, is_sensitive, rights_of
from imd.business.permission.sql_restricted import read_restricted
from imd.business.relations.model import Stance, refused
from imd.business.tables.groups import group_conversations, group_members
from imd.business.tables.people import blocks, direct_conversations, friends, users
from imd.kernel.errors import InternalError
from imd.kernel.gathering import Gathering
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
_low, _high = users.alias("low"), users.alias("high")
_low_blocks, _high_blocks = blocks.alias("low_blocks"), blocks.alias("high_blocks")
_pairs = direct_conversations.c
#: Two people, and how they stand to each other.
_PAIRS = (
    select(
        _pairs.id,
        _pairs.version,
        _pairs.user_low,
        _low.c.status,
        _low.c.message_from,
        _low_blocks.c.user_id,
        _pairs.user_high,
        _high.c.status,
        _high.c.message_from,
        _high_blocks.c.user_id,
        friends.c.user_id,
    )
    .join_from(direct_conversations, _low, _low.c.id == _pairs.user_low)
    .join(_high, _high.c.id == _pairs.user_high)
    .outerjoin(
        _low_blocks,
        and_(_low_blocks.c.user_id == _pairs.user_low, _low_blocks.c.blocked_id == _pairs.user_high),
    )
    .outerjoin(
        _high_blocks,
        and_(_high_blocks.c.user_id == _pairs.user_high, _high_blocks.c.blocked_id == _pairs.user_low),
    )
    .outerjoin(
        friends,
        and_(
            friends.c.user_id == _pairs.user_low,
            friends.c.friend_id == _pairs.user_high,
            friends.c.ended_at_ms == 0,
        ),
    )
    .where(_pairs.id.in_(bindparam("some", expanding=True)))
)
_STANDINGS = (
    select(
        _columns.group_id,
        _columns.user_id,
        _columns.role,
        _columns.muted_until_ms,
        group_conversations.c.version,
        group_conversations.c.kind,
        group_conversations.c.members_invite,
        group_conversations.c.all_muted_until_ms,
    )
    .join_from(group_members, group_conversations)
    .where(
        tuple_(_columns.group_id, _columns.user_id).in_(bindparam("some", expanding=True)),
        group_conversations.c.dissolved_at_ms == 0,
    )
)


class SqlStandings:
    """See ``Standings``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        #: A read of one costs 0.6 ms of CPU, of fifty 2 ms; a core node that has just started asks for thousands.
        self._directs = Gathering(self._read_directs)

    async def snapshot(self, conversation_id: str) -> Snapshot | None:
        if conversation_id.startswith(_DIRECT_PREFIX):
            return await self._directs.ask(conversation_id)
        return await self._database.read(lambda c: _group(c, conversation_id))

    async def _read_directs(self, ids: Sequence[str]) -> Mapping[str, Snapshot]:
        return await self._database.read(lambda c: _directs(c, ids))

    async def facts(self, asked: Sequence[tuple[str, int]]) -> Sequence[Facts | None]:
        directs = {one for one, _ in asked if one.startswith(_DIRECT_PREFIX)}
        in_groups = [pair for pair in asked if pair[0] not in directs]

        def work(connection: Connection) -> Sequence[Facts | None]:
            found = _facts_of_directs(connection, list(directs)) if directs else {}
            if in_groups:
                found |= _facts_of_groups(connection, in_groups)
            return [found.get(pair) for pair in asked]

        return await self._database.read(work)

    async def restricted(self, after: str, *, now_ms: int, limit: int) -> Page:
        return await self._database.read(lambda c: read_restricted(c, after, now_ms=now_ms, limit=limit))


def _pairs_of(connection: Connection, ids: Sequence[str]) -> Iterator[tuple[str, int, Stance, Stance]]:
    """Conversation, version, and its two."""
    for row in connection.execute(_PAIRS, {"some": ids}):
        are_friends = row[10] is not None
        yield (
            row[0],
            row[1],
            Stance(row[2], row[3], row[4], row[5] is not None, are_friends),
            Stance(row[6], row[7], row[8], row[9] is not None, are_friends),
        )


def _directs(connection: Connection, ids: Sequence[str]) -> Mapping[str, Snapshot]:
    found = {}
    for conversation_id, version, *both in _pairs_of(connection, ids):
        refusing = refused(*both)
        found[conversation_id] = Snapshot(
            DIRECT,
            version,
            "",
            (DIRECT_RIGHTS,) * 3,
            [one.user_id for one in both if one.user_id not in refusing],
            [Special(user_id, MEMBER, 0, 0, reason) for user_id, reason in refusing.items()],
        )
    return found


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


def _facts_of_directs(connection: Connection, ids: Sequence[str]) -> dict[tuple[str, int], Facts]:
    found = {}
    for conversation_id, version, *both in _pairs_of(connection, ids):
        refusing = refused(*both)
        for one in both:
            no = refusing.get(one.user_id, "")
            found[conversation_id, one.user_id] = Facts(version, MEMBER, DIRECT_RIGHTS, refused=no)
    return found


def _facts_of_groups(
    connection: Connection, asked: Sequence[tuple[str, int]]
) -> dict[tuple[str, int], Facts]:
    found = {}
    for row in connection.execute(_STANDINGS, {"some": asked}):
        rules = Rules(members_invite=bool(row.members_invite))
        group = Group(row.group_id, "", row.version, 0, 0, row.kind, rules=rules)
        found[row.group_id, row.user_id] = Facts(
            row.version,
            row.role,
            int(rights_of(group, row.role)),
            row.muted_until_ms,
            row.all_muted_until_ms,
        )
    return found


_standings: type[Standings] = SqlStandings
