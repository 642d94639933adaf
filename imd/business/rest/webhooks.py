"""The operations by which operators look at events that were given up, and have them sent again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from msgspec import Meta, Struct

from imd.bus.audit import DONE, AuditEntry
from imd.business.audit.ports import Audit
from imd.business.rest.bodies import Milliseconds
from imd.business.rest.operation import Asked, Operation, Parameter
from imd.business.rest.problems import Unanswerable
from imd.business.webhooks.model import DEAD_PER_PAGE, Dead
from imd.business.webhooks.ports import Events
from imd.kernel.clocks import WallClock
from imd.kernel.errors import PayloadInvalid

DEAD_ID = Parameter("id", {"type": "string"}, "The ``id`` of a dead event.")
AFTER = Parameter("after", {"type": "string"}, "The page's ``next`` of the page before.")
LIMIT = Parameter("limit", {"type": "integer", "minimum": 1, "maximum": DEAD_PER_PAGE}, "At most so many.")


class DeadEventAnswer(Struct):
    """An event that the receiver did not take, however often it was sent."""

    id: str
    eventId: str
    event: Annotated[str, Meta(description="Its kind, such as message.stored.")]
    line: Annotated[str, Meta(description="What it stands in order with: its conversation, for messages.")]
    tries: int
    error: Annotated[str, Meta(description="How the last try ended.")]
    createdAt: Milliseconds
    payload: Annotated[str, Meta(description="JSON, as it is sent.")]


class DeadEventsAnswer(Struct):
    """A page, oldest first; ``next`` goes into ``after``, empty: that was all."""

    events: list[DeadEventAnswer]
    next: str


class ReplayAnswer(Struct):
    """How many are sent again; at 500 there may be more: ask once more."""

    replayed: int


class WebhookApi:
    """For operators only.

    :param wake: somebody who sends what is due.
    """

    def __init__(
        self, *, events: Events, wake: Callable[[], None], audit: Audit, wall_clock: WallClock
    ) -> None:
        self._events = events
        self._wake = wake
        self._audit = audit
        self._wall_clock = wall_clock

    def operations(self) -> list[Operation]:
        """All of them."""
        dead = "/operator/webhooks/dead"
        return [
            Operation("GET", dead, "deadEvents", "Events that were given up", self.dead, DeadEventsAnswer,
                      query_parameters=(AFTER, LIMIT), operator=True),
            Operation("POST", dead + "/replay", "replayEvents", "Send them all again", self.replay_all,
                      ReplayAnswer, operator=True),
            Operation("POST", dead + "/{id}/replay", "replayEvent", "Send one of them again", self.replay,
                      ReplayAnswer, path_parameters=(DEAD_ID,), operator=True),
        ]  # fmt: skip

    async def dead(self, asked: Asked) -> DeadEventsAnswer:
        limit = _number(asked.query.get("limit", str(DEAD_PER_PAGE)), "limit")
        if not 1 <= limit <= DEAD_PER_PAGE:
            raise PayloadInvalid(f"limit must be 1 to {DEAD_PER_PAGE}", field="limit")
        after = _number(asked.query.get("after") or "0", "after")
        found = await self._events.dead(after_id=after, limit=limit + 1)
        page = [_answer(one) for one in found[:limit]]
        return DeadEventsAnswer(page, page[-1].id if len(found) > limit else "")

    async def replay_all(self, asked: Asked) -> ReplayAnswer:
        return ReplayAnswer(await self._replay(None))

    async def replay(self, asked: Asked) -> ReplayAnswer:
        count = await self._replay(_number(asked.path["id"], "id"))
        if not count:
            raise Unanswerable(404, "there is no such dead event", field="id")
        return ReplayAnswer(count)

    async def _replay(self, row_id: int | None) -> int:
        count = await self._events.replay(None if row_id is None else [row_id], self._wall_clock())
        if count:
            self._wake()
            self._audit.record(
                AuditEntry(action="webhook.replay", decision=DONE, detail=f'{{"events":{count}}}')
            )
        return count


def _number(text: str, field: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise PayloadInvalid(f"{field} is no number", field=field)
    return int(text)


def _answer(dead: Dead) -> DeadEventAnswer:
    event = dead.event
    return DeadEventAnswer(
        id=str(dead.row_id),
        eventId=event.event_id,
        event=event.kind,
        line=event.order_key,
        tries=dead.tries,
        error=dead.error,
        createdAt=dead.created_at_ms,
        payload=event.payload,
    )
