"""Audit events in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, delete, or_, select

from imd.business.audit.model import Kept, Place, Wanted
from imd.business.audit.ports import AuditEvents
from imd.business.tables.policy import audit_events
from imd.pb.bus_pb2 import AuditEvent
from imd.storage.sql import ROWS_PER_STATEMENT, Database, insert_ignore

_COLUMNS = tuple(audit_events.c[name] for name in Kept._fields)
_OLD = select(audit_events.c.id).where(audit_events.c.at_ms < bindparam("before")).limit(bindparam("most"))
_DROP = delete(audit_events).where(audit_events.c.id.in_(bindparam("some", expanding=True)))


class SqlAuditEvents:
    """See ``AuditEvents``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, events: Sequence[AuditEvent]) -> int:
        rows = [_row(event) for event in events]

        def work(connection: Connection) -> int:
            return sum(
                insert_ignore(connection, audit_events, rows[start : start + ROWS_PER_STATEMENT])
                for start in range(0, len(rows), ROWS_PER_STATEMENT)
            )

        return await self._database.write(work)

    async def find(self, wanted: Wanted, *, after: Place | None, limit: int) -> Sequence[Kept]:
        query = _query(wanted, after).limit(limit)
        rows = await self._database.read(lambda c: c.execute(query).all())
        return [Kept(*row) for row in rows]

    async def forget(self, before_ms: int, *, limit: int) -> int:
        def work(connection: Connection) -> int:
            old = connection.execute(_OLD, {"before": before_ms, "most": limit}).scalars().all()
            if old:
                connection.execute(_DROP, {"some": old})
            return len(old)

        return await self._database.write(work)


def _row(event: AuditEvent) -> dict[str, Any]:
    return {
        "event_id": event.eventId[:64],
        "at_ms": event.timestamp,
        "node": event.node[:32],
        "request_id": event.requestId[:64],
        "actor_id": event.actorId,
        "subject_id": event.subjectId,
        "conversation_id": event.conversationId[:64],
        "action": event.action[:64],
        "decision": event.decision[:32],
        "reason": event.reason[:64],
        "policy_version": event.policyVersion,
        "level": event.level,
        "detail": event.detail,
    }


def _query(wanted: Wanted, after: Place | None) -> Select[Any]:
    columns = audit_events.c
    query = select(*_COLUMNS).order_by(columns.at_ms.desc(), columns.id.desc())
    for name in ("actor_id", "subject_id", "conversation_id", "action", "decision", "request_id"):
        if value := getattr(wanted, name):
            query = query.where(columns[name] == value)
    if wanted.from_ms:
        query = query.where(columns.at_ms >= wanted.from_ms)
    if wanted.to_ms:
        query = query.where(columns.at_ms < wanted.to_ms)
    if after is not None:
        same_time = and_(columns.at_ms == after.at_ms, columns.id < after.id)
        query = query.where(or_(columns.at_ms < after.at_ms, same_time))
    return query


_audit_events: type[AuditEvents] = SqlAuditEvents
