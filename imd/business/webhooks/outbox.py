"""Putting events into the outbox, in the transaction of the change that they tell of."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, update

from imd.business.tables.policy import outbox, outbox_lines
from imd.business.webhooks.model import MESSAGE_KINDS, NEVER, Event, EventState
from imd.storage.sql import insert_ignore, insert_or_lock


class Outbox:
    """Takes events in; sending them is the dispatcher's.

    :param kinds: what is told at all; empty: nothing, and nothing is kept.
    """

    def __init__(self, *, kinds: Collection[str]) -> None:
        self._kinds = frozenset(kinds)
        # A message that is not told keeps its place, or those behind it would wait for it.
        self._places = MESSAGE_KINDS if MESSAGE_KINDS & self._kinds else frozenset()

    def wants(self, kind: str) -> bool:
        """Whether events of this kind are told; whoever asks first saves the making of one."""
        return kind in self._kinds

    def add(self, connection: Connection, events: Sequence[Event], now_ms: int) -> None:
        """Keep these, unless they are known. Events of one order key must be added in their order."""
        wanted = [event for event in events if event.kind in self._kinds or event.kind in self._places]
        if not wanted:
            return
        # The events first: whoever empties a line locks it before it looks whether there are any.
        rows = [
            {
                "event_id": event.event_id,
                "order_key": event.order_key,
                "position": event.position,
                "kind": event.kind,
                "payload": event.payload if event.kind in self._kinds else "",
                "state": EventState.WAITING,
                "tries": 0,
                "last_error": "",
                "created_at_ms": now_ms,
                "settled_at_ms": NEVER,
            }
            for event in wanted
        ]
        if not insert_ignore(connection, outbox, rows):
            return
        self.call(connection, sorted({event.order_key for event in wanted}), now_ms)

    def call(self, connection: Connection, order_keys: Sequence[str], now_ms: int) -> None:
        """Something is due in these lines; one that is being retried keeps its time."""
        lines = [
            {
                "order_key": order_key,
                "last_position": 0,
                "due_at_ms": now_ms,
                "lease_owner": "",
                "lease_until_ms": 0,
                "touched_at_ms": now_ms,
            }
            for order_key in order_keys
        ]
        insert_or_lock(connection, outbox_lines, lines)
        connection.execute(
            update(outbox_lines)
            .where(outbox_lines.c.order_key.in_(order_keys), outbox_lines.c.due_at_ms == NEVER)
            .values(due_at_ms=now_ms, touched_at_ms=now_ms)
        )
