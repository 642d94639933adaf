"""``Reviews`` in SQL. ``due_at_ms`` says when somebody has to do something about a row: expire it, deliver it, tell
its sender, forget it; what that is, is in its state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, select, update

from imd.business.reviews.model import (
    EXPIRES_AFTER_MS,
    FINAL,
    MAX_NOTE,
    MAX_PENDING_PER_SENDER,
    Decision,
    Held,
    Input,
    NoSuchReview,
    Review,
    State,
    after,
)
from imd.business.reviews.told import events_of
from imd.business.tables.policy import reviews
from imd.business.webhooks.outbox import Outbox
from imd.kernel.errors import RateLimited
from imd.storage.sql import Database, insert_ignore

_FULL_RETRY_MS = 60_000


class SqlReviews:
    """See ``Reviews``."""

    def __init__(self, database: Database, *, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def hold(self, review_id: int, held: Held, now_ms: int) -> Review:
        def work(connection: Connection) -> Review:
            known = connection.execute(_of_key(held)).one_or_none()
            if known is not None:
                return review_of(known)
            pending = connection.scalar(
                select(func.count())
                .select_from(reviews)
                .where(reviews.c.sender_id == held.sender_id, reviews.c.state == State.PENDING)
            )
            if (pending or 0) >= MAX_PENDING_PER_SENDER:
                raise RateLimited(
                    "too many of your messages are being looked at", retry_after_ms=_FULL_RETRY_MS
                )
            review = Review(review_id, held, State.PENDING, now_ms, 0, "", "", 0)
            if not insert_ignore(connection, reviews, [_row(review)]):
                # Another node was faster, between the look and this.
                return review_of(connection.execute(_of_key(held)).one())
            self._outbox.add(connection, events_of(review), now_ms)
            return review

        return await self._database.write(work)

    async def states(
        self, conversation_id: str, sender_id: int, client_msg_ids: Sequence[str]
    ) -> Mapping[str, State]:
        def work(connection: Connection) -> Mapping[str, State]:
            rows = connection.execute(
                select(reviews.c.client_msg_id, reviews.c.state).where(
                    reviews.c.conversation_id == conversation_id,
                    reviews.c.sender_id == sender_id,
                    reviews.c.client_msg_id.in_(client_msg_ids),
                )
            )
            return {row.client_msg_id: State(row.state) for row in rows}

        return await self._database.read(work)

    async def page(self, state: State, *, after_id: int, limit: int) -> Sequence[Review]:
        def work(connection: Connection) -> Sequence[Review]:
            rows = connection.execute(
                select(reviews)
                .where(reviews.c.state == state, reviews.c.id > after_id)
                .order_by(reviews.c.id)
                .limit(limit)
            )
            return [review_of(row) for row in rows]

        return await self._database.read(work)

    async def one(self, review_id: int) -> Review | None:
        def work(connection: Connection) -> Review | None:
            row = connection.execute(select(reviews).where(reviews.c.id == review_id)).one_or_none()
            return None if row is None else review_of(row)

        return await self._database.read(work)

    async def decide(self, review_id: int, decision: Decision, now_ms: int) -> Review | None:
        def work(connection: Connection) -> Review | None:
            review = _locked(connection, review_id)
            if review is None:
                return None
            state = after(review.state, decision.input)
            if state is review.state or review.state is not State.PENDING:
                return review
            decided = review._replace(
                state=state, decided_at_ms=now_ms, decided_by=decision.by, note=decision.note
            )
            self._write(connection, decided, now_ms)
            return decided

        return await self._database.write(work)

    async def claim(self, now_ms: int, *, until_ms: int, limit: int) -> Sequence[Review]:
        def work(connection: Connection) -> Sequence[Review]:
            due = connection.execute(
                select(reviews)
                .where(reviews.c.due_at_ms <= now_ms)
                .order_by(reviews.c.due_at_ms)
                .limit(limit)
            ).all()
            claimed: list[Review] = []
            for row in due:
                review = review_of(row)
                if row.told and review.state in FINAL:
                    connection.execute(delete(reviews).where(reviews.c.id == row.id))
                    continue
                taken = connection.execute(
                    update(reviews)
                    .where(reviews.c.id == row.id, reviews.c.due_at_ms == row.due_at_ms)
                    .values(due_at_ms=until_ms)
                ).rowcount
                if taken:
                    claimed.append(review)
            return claimed

        return await self._database.write(work)

    async def happened(
        self, review_id: int, what: Input, now_ms: int, *, seq: int = 0, note: str = ""
    ) -> Review:
        def work(connection: Connection) -> Review:
            review = _locked(connection, review_id)
            if review is None:
                raise NoSuchReview
            state = after(review.state, what)
            if state is review.state:
                return review
            changed = review._replace(
                state=state,
                seq=seq or review.seq,
                note=(note or review.note)[:MAX_NOTE],
                decided_at_ms=review.decided_at_ms or now_ms,
            )
            self._write(connection, changed, now_ms)
            return changed

        return await self._database.write(work)

    async def put_off(self, review_id: int, due_at_ms: int) -> None:
        def work(connection: Connection) -> None:
            state = connection.scalar(select(reviews.c.state).where(reviews.c.id == review_id))
            values: dict[str, Any] = {"due_at_ms": due_at_ms}
            if state in FINAL:
                values["told"] = 1
            connection.execute(update(reviews).where(reviews.c.id == review_id).values(values))

        await self._database.write(work)

    def _write(self, connection: Connection, review: Review, now_ms: int) -> None:
        """Write what has changed; something is due at once: to deliver it, or to tell its sender."""
        connection.execute(
            update(reviews)
            .where(reviews.c.id == review.review_id)
            .values(
                state=review.state,
                decided_at_ms=review.decided_at_ms,
                decided_by=review.decided_by,
                note=review.note,
                seq=review.seq,
                due_at_ms=now_ms,
                told=0,
            )
        )
        self._outbox.add(connection, events_of(review), now_ms)


def _of_key(held: Held) -> Select[Any]:
    return select(reviews).where(
        reviews.c.conversation_id == held.conversation_id,
        reviews.c.sender_id == held.sender_id,
        reviews.c.client_msg_id == held.client_msg_id,
    )


def _locked(connection: Connection, review_id: int) -> Review | None:
    row = connection.execute(select(reviews).where(reviews.c.id == review_id).with_for_update()).one_or_none()
    return None if row is None else review_of(row)


def _row(review: Review) -> dict[str, Any]:
    held = review.held
    return {
        "id": review.review_id,
        "conversation_id": held.conversation_id,
        "sender_id": held.sender_id,
        "device_id": held.device_id,
        "client_msg_id": held.client_msg_id,
        "request": held.request,
        "content_hash": held.content_hash.hex(),
        "reason": held.reason,
        "state": review.state,
        "created_at_ms": review.created_at_ms,
        "decided_at_ms": review.decided_at_ms,
        "decided_by": review.decided_by,
        "note": review.note,
        "seq": review.seq,
        "due_at_ms": review.created_at_ms + EXPIRES_AFTER_MS,
        "told": 0,
    }


def review_of(row: Row[Any]) -> Review:
    """A row of ``reviews``."""
    held = Held(
        conversation_id=row.conversation_id,
        sender_id=row.sender_id,
        device_id=row.device_id,
        client_msg_id=row.client_msg_id,
        request=row.request,
        content_hash=bytes.fromhex(row.content_hash),
        reason=row.reason,
    )
    return Review(
        review_id=row.id,
        held=held,
        state=State(row.state),
        created_at_ms=row.created_at_ms,
        decided_at_ms=row.decided_at_ms,
        decided_by=row.decided_by,
        note=row.note,
        seq=row.seq,
    )
