"""Requests for friendship in SQL; see ``sql_pairs`` for the order of locks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from imd.business.relations.model import (
    OPEN_REQUESTS_MAX,
    REFUSAL_LASTS_MS,
    REQUEST_TTL_MS,
    Asking,
    Audience,
    Request,
    Stance,
    Word,
    no_request,
    not_accepted,
    step,
)
from imd.business.relations.ports import OpenRequest, Outcome, Requests
from imd.business.relations.sql_lists import befriend, check_room
from imd.business.relations.sql_pairs import lock_pair, pair_changed, stances
from imd.business.tables.people import blocks, friend_requests, users
from imd.kernel.errors import Forbidden, RateLimited
from imd.storage.sql import Database

#: So long it is remembered what became of a request; the answer to a new one deletes the old.
_KEPT_MS = 90 * 24 * 3600 * 1000

_ONE = select(friend_requests).where(
    friend_requests.c.from_user == bindparam("asking"), friend_requests.c.to_user == bindparam("asked")
)
_ADD = insert(friend_requests)
_SET = (
    update(friend_requests)
    .where(
        friend_requests.c.from_user == bindparam("asking"), friend_requests.c.to_user == bindparam("asked")
    )
    .values(
        state=bindparam("new_state"),
        message=bindparam("new_message"),
        created_at_ms=bindparam("new_created"),
        decided_at_ms=bindparam("new_decided"),
    )
)
_OPEN = and_(
    friend_requests.c.state == int(Asking.PENDING), friend_requests.c.created_at_ms > bindparam("alive_since")
)
_OPEN_FROM = select(func.count()).where(friend_requests.c.from_user == bindparam("owner"), _OPEN)
_OPEN_TO = select(func.count()).where(friend_requests.c.to_user == bindparam("owner"), _OPEN)
_FORGET_OLD = delete(friend_requests).where(
    friend_requests.c.from_user == bindparam("owner"), friend_requests.c.created_at_ms < bindparam("before")
)
_FORGET_PAIR = delete(friend_requests).where(
    or_(
        and_(
            friend_requests.c.from_user == bindparam("one"), friend_requests.c.to_user == bindparam("other")
        ),
        and_(
            friend_requests.c.from_user == bindparam("other"), friend_requests.c.to_user == bindparam("one")
        ),
    )
)
_FORGET_ALL = delete(friend_requests).where(
    or_(friend_requests.c.from_user == bindparam("owner"), friend_requests.c.to_user == bindparam("owner"))
)


@contextmanager
def _told_alike() -> Iterator[None]:
    """Whoever is gone has asked as little as whoever never did: nobody learns by it which users there are."""
    try:
        yield
    except Forbidden:
        raise no_request() from None


def forget_pair(connection: Connection, one_id: int, other_id: int) -> None:
    """Friends that part may ask each other anew."""
    connection.execute(_FORGET_PAIR, {"one": one_id, "other": other_id})


def forget_requests(connection: Connection, user_id: int) -> None:
    """Everything that somebody who goes has asked and was asked."""
    connection.execute(_FORGET_ALL, {"owner": user_id})


class SqlRequests:
    """See ``Requests``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ask(self, user_id: int, to_user: int, message: str, now_ms: int) -> Outcome:
        def work(connection: Connection) -> Outcome:
            asking, asked, own, their = _both(connection, user_id, to_user)
            if own.is_friend:
                return Outcome(Asking.ACCEPTED)
            if own.blocks:
                raise _blocked_by_you()
            if their.blocks:
                raise not_accepted()
            theirs = _request(connection, to_user, user_id, now_ms)
            if theirs.state is Asking.PENDING:
                return _accept(connection, theirs, asked, asking, now_ms)
            if asked.add_from != Audience.EVERYONE:
                raise not_accepted()
            return _ask(connection, _request(connection, user_id, to_user, now_ms), message, now_ms)

        return await self._database.write(work)

    async def accept(self, user_id: int, from_user: int, now_ms: int) -> Outcome:
        def work(connection: Connection) -> Outcome:
            with _told_alike():
                asked, asking, own, their = _both(connection, user_id, from_user)
            if own.blocks:
                raise _blocked_by_you()
            if own.is_friend:
                return Outcome(Asking.ACCEPTED)
            request = _request(connection, from_user, user_id, now_ms)
            if their.blocks:
                # Like one that was taken back: nobody learns by it that they are blocked.
                request = request._replace(state=Asking.CANCELLED)
            return _accept(connection, request, asking, asked, now_ms)

        return await self._database.write(work)

    async def refuse(self, user_id: int, from_user: int, now_ms: int) -> Outcome:
        return await self._close(user_id, from_user, Word.REFUSE, now_ms)

    async def cancel(self, user_id: int, to_user: int, now_ms: int) -> Outcome:
        return await self._close(user_id, to_user, Word.CANCEL, now_ms)

    async def _close(self, user_id: int, other_id: int, word: Word, now_ms: int) -> Outcome:
        from_user, to_user = (other_id, user_id) if word is Word.REFUSE else (user_id, other_id)

        def work(connection: Connection) -> Outcome:
            with _told_alike():
                lock_pair(connection, user_id, other_id)
            request = _request(connection, from_user, to_user, now_ms)
            after = step(request.state, word)
            if after is not request.state:
                _set(connection, request._replace(state=after, decided_at_ms=now_ms))
            return Outcome(after)

        return await self._database.write(work)

    async def incoming(self, user_id: int, *, after: int, limit: int, now_ms: int) -> Sequence[OpenRequest]:
        return await self._listed(_INCOMING, user_id, after, limit, now_ms)

    async def outgoing(self, user_id: int, *, after: int, limit: int, now_ms: int) -> Sequence[OpenRequest]:
        return await self._listed(_OUTGOING, user_id, after, limit, now_ms)

    async def _listed(
        self, query: Select[Any], user_id: int, after: int, limit: int, now_ms: int
    ) -> Sequence[OpenRequest]:
        page = {"owner": user_id, "after": after, "most": limit, "alive_since": now_ms - REQUEST_TTL_MS}
        rows = await self._database.read(lambda c: c.execute(query, page).all())
        return [
            OpenRequest(_of(row).as_of(now_ms), row.handle, row.display_name, row.avatar_url) for row in rows
        ]


def _both(connection: Connection, user_id: int, other_id: int) -> tuple[Row[Any], Row[Any], Stance, Stance]:
    one, other = lock_pair(connection, user_id, other_id)
    return one, other, *stances(connection, one, other)


def _request(connection: Connection, from_user: int, to_user: int, now_ms: int) -> Request:
    row = connection.execute(_ONE, {"asking": from_user, "asked": to_user}).first()
    if row is None:
        return Request(from_user, to_user, Asking.NONE, "", 0, 0)
    return _of(row).as_of(now_ms)


def _of(row: Row[Any]) -> Request:
    return Request(
        row.from_user, row.to_user, Asking(row.state), row.message, row.created_at_ms, row.decided_at_ms
    )


def _set(connection: Connection, request: Request) -> None:
    connection.execute(
        _SET,
        {
            "asking": request.from_user,
            "asked": request.to_user,
            "new_state": int(request.state),
            "new_message": request.message,
            "new_created": request.created_at_ms,
            "new_decided": request.decided_at_ms,
        },
    )


def _ask(connection: Connection, request: Request, message: str, now_ms: int) -> Outcome:
    after = step(request.state, Word.ASK)
    if after is request.state and after is Asking.PENDING:
        return Outcome(after)
    wait_ms = request.decided_at_ms + REFUSAL_LASTS_MS - now_ms
    if request.state is Asking.REFUSED and wait_ms > 0:
        raise RateLimited("they have refused; ask again later", retry_after_ms=wait_ms)
    _check_room(connection, request, now_ms)
    connection.execute(_FORGET_OLD, {"owner": request.from_user, "before": now_ms - _KEPT_MS})
    # Friends that were and are none have no request, so an accepted one does not come here.
    new = request._replace(state=Asking.PENDING, message=message, created_at_ms=now_ms, decided_at_ms=0)
    if connection.execute(_ONE, {"asking": new.from_user, "asked": new.to_user}).first() is None:
        connection.execute(_ADD, new._asdict() | {"state": int(new.state)})
    else:
        _set(connection, new)
    return Outcome(new.state)


def _check_room(connection: Connection, request: Request, now_ms: int) -> None:
    alive = {"alive_since": now_ms - REQUEST_TTL_MS}
    if connection.execute(_OPEN_FROM, alive | {"owner": request.from_user}).scalar_one() >= OPEN_REQUESTS_MAX:
        raise Forbidden(f"at most {OPEN_REQUESTS_MAX} requests may be open", reason="too_many")
    if connection.execute(_OPEN_TO, alive | {"owner": request.to_user}).scalar_one() >= OPEN_REQUESTS_MAX:
        raise not_accepted()


def _accept(
    connection: Connection, request: Request, asking: Row[Any], asked: Row[Any], now_ms: int
) -> Outcome:
    after = step(request.state, Word.ACCEPT)
    check_room(connection, asked, asking)
    _set(connection, request._replace(state=after, decided_at_ms=now_ms))
    befriend(connection, asking, asked, now_ms)
    return Outcome(after, pair_changed(connection, asking.id, asked.id, restricted=False))


def _blocked_by_you() -> Forbidden:
    return Forbidden("you have blocked this user; lift that first", field="userId", reason="blocked")


def _about(other: Any) -> Select[Any]:
    return select(friend_requests, users.c.handle, users.c.display_name, users.c.avatar_url).join_from(
        friend_requests, users, users.c.id == other
    )


_IS_BLOCKED = exists().where(
    or_(
        and_(
            blocks.c.user_id == friend_requests.c.to_user, blocks.c.blocked_id == friend_requests.c.from_user
        ),
        and_(
            blocks.c.user_id == friend_requests.c.from_user, blocks.c.blocked_id == friend_requests.c.to_user
        ),
    )
)
_INCOMING = (
    _about(friend_requests.c.from_user)
    .where(
        friend_requests.c.to_user == bindparam("owner"),
        friend_requests.c.from_user > bindparam("after"),
        _OPEN,
        ~_IS_BLOCKED,
    )
    .order_by(friend_requests.c.from_user)
    .limit(bindparam("most"))
)
_OUTGOING = (
    _about(friend_requests.c.to_user)
    .where(friend_requests.c.from_user == bindparam("owner"), friend_requests.c.to_user > bindparam("after"))
    .order_by(friend_requests.c.to_user)
    .limit(bindparam("most"))
)

_: type[Requests] = SqlRequests
