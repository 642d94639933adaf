"""``Events`` in SQL: rows of events, and one row a line that says when somebody has to look, and who is looking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from imd.business.tables.policy import outbox, outbox_lines
from imd.business.webhooks.model import (
    DEAD_KEPT_MS,
    KNOWN_AFTER_MS,
    LINE_BATCH,
    LINE_KEPT_MS,
    MAX_ERROR,
    NEVER,
    Dead,
    Event,
    EventState,
    Line,
    Outcome,
    Waiting,
)
from imd.business.webhooks.outbox import Outbox
from imd.storage.sql import Database

#: Rows in one transaction of cleaning up or replaying; others have to get through, too.
_AT_ONCE = 500


class SqlEvents:
    """See ``Events``."""

    def __init__(self, database: Database, *, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def add(self, events: Sequence[Event], now_ms: int) -> None:
        await self._database.write(lambda connection: self._outbox.add(connection, events, now_ms))

    async def claim(self, owner: str, now_ms: int, *, until_ms: int, limit: int) -> Sequence[Line]:
        def work(connection: Connection) -> Sequence[Line]:
            lines = outbox_lines
            is_due = (lines.c.due_at_ms <= now_ms) & (lines.c.lease_until_ms <= now_ms)
            due = connection.execute(
                select(lines.c.order_key).where(is_due).order_by(lines.c.due_at_ms).limit(limit)
            ).scalars()
            claimed: list[Line] = []
            # In the order in which whoever adds events takes lines.
            for order_key in sorted(due.all()):
                taken = connection.execute(
                    update(lines)
                    .where(lines.c.order_key == order_key, is_due)
                    .values(lease_owner=owner, lease_until_ms=until_ms)
                ).rowcount
                if taken:
                    claimed.append(_line(connection, order_key))
            return claimed

        return await self._database.write(work)

    async def settle(
        self, line: Line, outcome: Outcome, now_ms: int, *, retry_at_ms: int, dead: bool
    ) -> None:
        def work(connection: Connection) -> None:
            sent = line.events[: outcome.sent]
            # One that is given up does not hold up the next.
            passed = line.events[: outcome.sent + dead]
            # The line first, locked by the writing: who adds an event comes before or after all this.
            connection.execute(
                update(outbox_lines)
                .where(outbox_lines.c.order_key == line.order_key)
                .values(
                    last_position=max(line.last_position, *(one.event.position for one in passed), 0),
                    lease_owner="",
                    lease_until_ms=0,
                    touched_at_ms=now_ms,
                )
            )
            if sent:
                _mark(connection, sent, state=EventState.SENT, settled_at_ms=now_ms)
            due_at_ms = outcome.wait_until_ms or now_ms
            if outcome.error:
                failed = line.events[outcome.sent]
                changes: dict[str, Any] = {
                    "tries": failed.tries + 1,
                    "last_error": outcome.error[:MAX_ERROR],
                }
                if dead:
                    changes.update(state=EventState.DEAD, settled_at_ms=now_ms)
                else:
                    due_at_ms = retry_at_ms
                _mark(connection, [failed], **changes)
            connection.execute(
                update(outbox_lines)
                .where(outbox_lines.c.order_key == line.order_key)
                .values(due_at_ms=due_at_ms if _waits(connection, line.order_key) else NEVER)
            )

        await self._database.write(work)

    async def release(self, owner: str) -> None:
        def work(connection: Connection) -> None:
            connection.execute(
                update(outbox_lines)
                .where(outbox_lines.c.lease_owner == owner)
                .values(lease_owner="", lease_until_ms=0)
            )

        await self._database.write(work)

    async def hurry(self, now_ms: int) -> None:
        def work(connection: Connection) -> None:
            connection.execute(
                update(outbox_lines)
                .where(outbox_lines.c.due_at_ms > now_ms, outbox_lines.c.due_at_ms < NEVER)
                .values(due_at_ms=now_ms)
            )

        await self._database.write(work)

    async def forget(self, now_ms: int) -> bool:
        def work(connection: Connection) -> bool:
            more = False
            for state, kept_ms in ((EventState.SENT, KNOWN_AFTER_MS), (EventState.DEAD, DEAD_KEPT_MS)):
                old = (
                    connection.execute(
                        select(outbox.c.id)
                        .where(outbox.c.state == state, outbox.c.settled_at_ms < now_ms - kept_ms)
                        .limit(_AT_ONCE)
                    )
                    .scalars()
                    .all()
                )
                if old:
                    connection.execute(delete(outbox).where(outbox.c.id.in_(old)))
                more = more or len(old) == _AT_ONCE
            idle = (outbox_lines.c.due_at_ms == NEVER) & (
                outbox_lines.c.touched_at_ms < now_ms - LINE_KEPT_MS
            )
            keys = (
                connection.execute(select(outbox_lines.c.order_key).where(idle).limit(_AT_ONCE))
                .scalars()
                .all()
            )
            if keys:
                connection.execute(delete(outbox_lines).where(outbox_lines.c.order_key.in_(keys), idle))
            return more or len(keys) == _AT_ONCE

        return await self._database.write(work)

    async def dead(self, *, after_id: int, limit: int) -> Sequence[Dead]:
        def work(connection: Connection) -> Sequence[Dead]:
            rows = connection.execute(
                select(outbox)
                .where(outbox.c.state == EventState.DEAD, outbox.c.id > after_id)
                .order_by(outbox.c.id)
                .limit(limit)
            )
            return [Dead(row.id, _event(row), row.tries, row.last_error, row.created_at_ms) for row in rows]

        return await self._database.read(work)

    async def replay(self, row_ids: Sequence[int] | None, now_ms: int) -> int:
        def work(connection: Connection) -> int:
            chosen = select(outbox.c.id, outbox.c.order_key).where(outbox.c.state == EventState.DEAD)
            if row_ids is not None:
                chosen = chosen.where(outbox.c.id.in_(row_ids))
            rows = connection.execute(chosen.order_by(outbox.c.id).limit(_AT_ONCE)).all()
            if not rows:
                return 0
            again = {"state": EventState.WAITING, "tries": 0, "settled_at_ms": NEVER}
            connection.execute(update(outbox).where(outbox.c.id.in_([row.id for row in rows])).values(again))
            self._outbox.call(connection, sorted({row.order_key for row in rows}), now_ms)
            return len(rows)

        return await self._database.write(work)


def _line(connection: Connection, order_key: str) -> Line:
    last_position = connection.scalar(
        select(outbox_lines.c.last_position).where(outbox_lines.c.order_key == order_key)
    )
    rows = connection.execute(
        select(outbox)
        .where(outbox.c.order_key == order_key, outbox.c.state == EventState.WAITING)
        .order_by(outbox.c.position, outbox.c.id)
        .limit(LINE_BATCH)
    )
    waiting = [Waiting(row.id, _event(row), row.tries, row.created_at_ms) for row in rows]
    return Line(order_key, last_position or 0, waiting)


def _waits(connection: Connection, order_key: str) -> bool:
    found = connection.scalar(
        select(outbox.c.id)
        .where(outbox.c.order_key == order_key, outbox.c.state == EventState.WAITING)
        .limit(1)
    )
    return found is not None


def _mark(connection: Connection, events: Sequence[Waiting], **values: Any) -> None:
    connection.execute(update(outbox).where(outbox.c.id.in_([one.row_id for one in events])).values(values))


def _event(row: Row[Any]) -> Event:
    return Event(row.event_id, row.order_key, row.kind, row.payload, row.position)
