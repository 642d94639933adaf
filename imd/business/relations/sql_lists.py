"""Rows of friend lists: one for each side, each change with a version of its side's own."""

from __future__ import annotations

from secrets import randbits
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from imd.business.relations.model import FRIENDS_MAX, TOMBSTONES_MAX, not_accepted
from imd.business.tables.people import friends, users
from imd.kernel.errors import Forbidden

_COUNT = select(func.count()).where(friends.c.user_id == bindparam("owner"), friends.c.ended_at_ms == 0)
_ENTRY = select(friends).where(
    friends.c.user_id == bindparam("owner"), friends.c.friend_id == bindparam("friend")
)
_ADD = insert(friends)
_CHANGE = (
    update(friends)
    .where(friends.c.user_id == bindparam("owner"), friends.c.friend_id == bindparam("friend"))
    .values(
        remark=bindparam("new_remark"),
        friend_group_id=bindparam("new_group"),
        created_at_ms=bindparam("new_created"),
        ended_at_ms=bindparam("new_ended"),
        version=bindparam("new_version"),
    )
)
_SET_VERSION = (
    update(users)
    .where(users.c.id == bindparam("owner"))
    .values(friends_version=bindparam("new_version"), friends_epoch=bindparam("new_epoch"))
)
_TOMBSTONES = (
    select(friends.c.friend_id, friends.c.version)
    .where(friends.c.user_id == bindparam("owner"), friends.c.ended_at_ms != 0)
    .order_by(friends.c.version.desc())
    .offset(TOMBSTONES_MAX // 2)
)
_ENDED = select(func.count()).where(friends.c.user_id == bindparam("owner"), friends.c.ended_at_ms != 0)
_FORGET = delete(friends).where(
    friends.c.user_id == bindparam("owner"),
    friends.c.ended_at_ms != 0,
    friends.c.version <= bindparam("floor"),
)
_SET_FLOOR = update(users).where(users.c.id == bindparam("owner")).values(friends_floor=bindparam("floor"))


def new_epoch() -> int:
    """Not 0, and not one that there was."""
    return randbits(48) | 1


def next_version(connection: Connection, owner: Row[Any]) -> int:
    """The version of a change of this locked user's list, of which there is one in a transaction."""
    version: int = owner.friends_version + 1
    epoch = owner.friends_epoch or new_epoch()
    connection.execute(_SET_VERSION, {"owner": owner.id, "new_version": version, "new_epoch": epoch})
    return version


def entry(connection: Connection, owner_id: int, friend_id: int) -> Row[Any] | None:
    """The row of somebody in a list, maybe of one who is no friend any more."""
    return connection.execute(_ENTRY, {"owner": owner_id, "friend": friend_id}).first()


def check_room(connection: Connection, owner: Row[Any], other: Row[Any]) -> None:
    """Whether both lists take one more."""
    if connection.execute(_COUNT, {"owner": owner.id}).scalar_one() >= FRIENDS_MAX:
        raise Forbidden(f"a friend list has at most {FRIENDS_MAX} people", reason="too_many")
    if connection.execute(_COUNT, {"owner": other.id}).scalar_one() >= FRIENDS_MAX:
        raise not_accepted()


def befriend(connection: Connection, one: Row[Any], other: Row[Any], now_ms: int) -> None:
    """Each in the other's list; both rows are locked."""
    for owner, friend in ((one, other), (other, one)):
        row = {"owner": owner.id, "friend": friend.id, "version": next_version(connection, owner)}
        if entry(connection, owner.id, friend.id) is None:
            _add(connection, row, now_ms)
        else:
            write(connection, row, remark="", group_id=0, created_at_ms=now_ms)


def part(connection: Connection, one: Row[Any], other: Row[Any], now_ms: int) -> bool:
    """Neither in the other's list; whether they were. Both rows are locked."""
    were = False
    for owner, friend in ((one, other), (other, one)):
        row = entry(connection, owner.id, friend.id)
        if row is None or row.ended_at_ms:
            continue
        were = True
        named = {"owner": owner.id, "friend": friend.id, "version": next_version(connection, owner)}
        write(connection, named, remark="", group_id=0, created_at_ms=row.created_at_ms, ended_at_ms=now_ms)
        _forget_oldest(connection, owner.id)
    return were


def write(
    connection: Connection,
    row: dict[str, int],
    *,
    remark: str,
    group_id: int,
    created_at_ms: int,
    ended_at_ms: int = 0,
) -> None:
    """Set what an entry says; ``row`` names owner, friend and version."""
    values: dict[str, Any] = {
        "owner": row["owner"],
        "friend": row["friend"],
        "new_version": row["version"],
        "new_remark": remark,
        "new_group": group_id,
        "new_created": created_at_ms,
        "new_ended": ended_at_ms,
    }
    connection.execute(_CHANGE, values)


def _add(connection: Connection, row: dict[str, int], now_ms: int) -> None:
    connection.execute(
        _ADD,
        {
            "user_id": row["owner"],
            "friend_id": row["friend"],
            "remark": "",
            "friend_group_id": 0,
            "created_at_ms": now_ms,
            "ended_at_ms": 0,
            "version": row["version"],
        },
    )


def _forget_oldest(connection: Connection, owner_id: int) -> None:
    """Half of them at once, so that this is not done for each one."""
    if connection.execute(_ENDED, {"owner": owner_id}).scalar_one() <= TOMBSTONES_MAX:
        return
    oldest = connection.execute(_TOMBSTONES, {"owner": owner_id}).first()
    if oldest is not None:
        connection.execute(_FORGET, {"owner": owner_id, "floor": oldest.version})
        connection.execute(_SET_FLOOR, {"owner": owner_id, "floor": oldest.version})
