"""What was: who was in a group until when, and who was mute. Kept for a week, by the clocks of business nodes.

A message that was let through in doubt is judged later by what was true when it was; and nobody gets rid of a mute by
leaving and coming back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, literal, select, update

from imd.business.groups.joining import APPLICATION, INVITATION, PENDING_MS, ApplicationState, InvitationState
from imd.business.groups.ports import Past
from imd.business.tables.groups import group_admissions, group_departures, group_members, group_past_mutes
from imd.storage.sql import ROWS_PER_STATEMENT, Database, insert_ignore

#: As long as the bus keeps what may still have to be judged.
KEPT_MS = 7 * 24 * 3600 * 1000
#: Of applications and invitations: whoever asked has read the answer by then.
SETTLED_KEPT_MS = 30 * 24 * 3600 * 1000
#: In ``group_past_mutes``: all members.
EVERYBODY = 0

_SOME: Any = bindparam("some", expanding=True)
_LEAVING = (
    select(
        group_members.c.group_id,
        group_members.c.user_id,
        literal(0).label("left_at_ms"),
        group_members.c.joined_at_ms,
        group_members.c.role,
        group_members.c.muted_at_ms,
        group_members.c.muted_until_ms,
    )
    .where(group_members.c.group_id == bindparam("group"), group_members.c.user_id.in_(_SOME))
    .order_by(group_members.c.user_id)
)
_LEFT_BEFORE = (
    select(group_departures.c.user_id, group_departures.c.muted_at_ms, group_departures.c.muted_until_ms)
    .where(group_departures.c.group_id == bindparam("group"), group_departures.c.user_id.in_(_SOME))
    .order_by(group_departures.c.left_at_ms)
)
_FORGET = (
    delete(group_departures).where(
        group_departures.c.left_at_ms < bindparam("before_ms"),
        # Who is still mute comes back mute, however late.
        group_departures.c.muted_until_ms < bindparam("now_ms"),
    ),
    delete(group_past_mutes).where(group_past_mutes.c.ended_at_ms < bindparam("before_ms")),
    update(group_admissions)
    .where(
        group_admissions.c.kind == APPLICATION,
        group_admissions.c.state == ApplicationState.PENDING,
        group_admissions.c.created_at_ms <= bindparam("open_before_ms"),
    )
    .values(state=ApplicationState.EXPIRED, decided_at_ms=bindparam("now_ms")),
    update(group_admissions)
    .where(
        group_admissions.c.kind == INVITATION,
        group_admissions.c.state == InvitationState.PENDING,
        group_admissions.c.created_at_ms <= bindparam("open_before_ms"),
    )
    .values(state=InvitationState.EXPIRED, decided_at_ms=bindparam("now_ms")),
    delete(group_admissions).where(
        group_admissions.c.state != ApplicationState.PENDING,
        group_admissions.c.decided_at_ms < bindparam("settled_before_ms"),
    ),
)


def write_departures(
    connection: Connection, conversation_id: str, user_ids: Sequence[int], now_ms: int
) -> None:
    """Before their rows go. Of two departures within a millisecond the first is told."""
    rows = connection.execute(_LEAVING, {"group": conversation_id, "some": list(user_ids)}).mappings()
    insert_ignore(connection, group_departures, [{**row, "left_at_ms": now_ms} for row in rows])


def restore_mutes(
    connection: Connection, conversation_id: str, rows: Sequence[dict[str, Any]], now_ms: int
) -> list[int]:
    """Whoever left mute comes back mute: written into their new rows; who that is."""
    by_user = {row["user_id"]: row for row in rows}
    user_ids = list(by_user)
    for start in range(0, len(user_ids), ROWS_PER_STATEMENT):
        some = user_ids[start : start + ROWS_PER_STATEMENT]
        for left in connection.execute(_LEFT_BEFORE, {"group": conversation_id, "some": some}):
            is_mute = left.muted_until_ms > now_ms
            by_user[left.user_id]["muted_at_ms"] = left.muted_at_ms if is_mute else 0
            by_user[left.user_id]["muted_until_ms"] = left.muted_until_ms if is_mute else 0
    return [user_id for user_id, row in by_user.items() if row["muted_until_ms"]]


def write_past_mutes(
    connection: Connection, conversation_id: str, mutes: Iterable[tuple[int, int, int]], now_ms: int
) -> None:
    """Mutes (of whom, since, until) that are lifted now, or were over before."""
    rows = [
        {
            "group_id": conversation_id,
            "user_id": user_id,
            "muted_at_ms": since_ms,
            "ended_at_ms": min(until_ms, now_ms),
        }
        for user_id, since_ms, until_ms in mutes
        if until_ms
    ]
    for start in range(0, len(rows), ROWS_PER_STATEMENT):
        insert_ignore(connection, group_past_mutes, rows[start : start + ROWS_PER_STATEMENT])


class SqlPast:
    """See ``Past``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def forget(self, now_ms: int) -> int:
        times = {
            "before_ms": now_ms - KEPT_MS,
            "now_ms": now_ms,
            "settled_before_ms": now_ms - SETTLED_KEPT_MS,
            "open_before_ms": now_ms - PENDING_MS,
        }

        def work(connection: Connection) -> int:
            return sum(connection.execute(statement, times).rowcount for statement in _FORGET)

        return await self._database.write(work)


_: type[Past] = SqlPast
