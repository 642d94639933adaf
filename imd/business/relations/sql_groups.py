"""Friend groups in SQL: named, ordered parts of a list whose owner's row is locked."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from imd.business.relations.model import FRIEND_GROUPS_MAX
from imd.business.relations.ports import FriendGroup
from imd.business.relations.sql_lists import next_version
from imd.business.tables.people import friend_groups, friends, users
from imd.kernel.errors import Forbidden

_ALL = (
    select(friend_groups.c.id, friend_groups.c.name)
    .where(friend_groups.c.user_id == bindparam("owner"))
    .order_by(friend_groups.c.position, friend_groups.c.id)
)
_ADD = insert(friend_groups)
_SET = (
    update(friend_groups)
    .where(friend_groups.c.user_id == bindparam("owner"), friend_groups.c.id == bindparam("group"))
    .values(name=bindparam("new_name"), position=bindparam("new_position"))
)
_REMOVE = delete(friend_groups).where(
    friend_groups.c.user_id == bindparam("owner"), friend_groups.c.id == bindparam("group")
)
_EMPTY = (
    update(friends)
    .where(
        friends.c.user_id == bindparam("owner"),
        friends.c.friend_group_id == bindparam("group"),
        friends.c.ended_at_ms == 0,
    )
    .values(friend_group_id=0, version=bindparam("new_version"))
)
_SET_GROUPS_VERSION = (
    update(users)
    .where(users.c.id == bindparam("owner"))
    .values(friend_groups_version=bindparam("new_version"))
)


def of(connection: Connection, owner_id: int) -> list[FriendGroup]:
    """All groups, in order."""
    return [FriendGroup(*row) for row in connection.execute(_ALL, {"owner": owner_id})]


def check_there(connection: Connection, owner_id: int, group_id: int) -> None:
    """Forbidden if the owner has no such group; whether somebody else has is not told."""
    if all(group.group_id != group_id for group in of(connection, owner_id)):
        raise Forbidden("you have no such friend group", field="friendGroupId")


def add(connection: Connection, owner: Row[Any], group_id: int, name: str) -> None:
    """One more, at the end."""
    count = len(of(connection, owner.id))
    if count >= FRIEND_GROUPS_MAX:
        raise Forbidden(f"at most {FRIEND_GROUPS_MAX} friend groups", reason="too_many")
    connection.execute(_ADD, {"user_id": owner.id, "id": group_id, "name": name, "position": count})
    _changed(connection, owner)


def change(
    connection: Connection, owner: Row[Any], group_id: int, *, name: str | None, position: int | None
) -> None:
    """Another name, another place; all are numbered anew, for there are few."""
    check_there(connection, owner.id, group_id)
    present = of(connection, owner.id)
    index = next(number for number, one in enumerate(present) if one.group_id == group_id)
    moved = present.pop(index)
    present.insert(
        index if position is None else position, moved if name is None else FriendGroup(group_id, name)
    )
    _write(connection, owner, present)


def remove(connection: Connection, owner: Row[Any], group_id: int) -> None:
    """Gone; whoever was in it is in none."""
    check_there(connection, owner.id, group_id)
    connection.execute(_REMOVE, {"owner": owner.id, "group": group_id})
    version = _changed(connection, owner)
    connection.execute(_EMPTY, {"owner": owner.id, "group": group_id, "new_version": version})


def _write(connection: Connection, owner: Row[Any], present: list[FriendGroup]) -> None:
    for position, group in enumerate(present):
        values = {"group": group.group_id, "new_name": group.name, "new_position": position}
        connection.execute(_SET, values | {"owner": owner.id})
    _changed(connection, owner)


def _changed(connection: Connection, owner: Row[Any]) -> int:
    version = next_version(connection, owner)
    connection.execute(_SET_GROUPS_VERSION, {"owner": owner.id, "new_version": version})
    return version
