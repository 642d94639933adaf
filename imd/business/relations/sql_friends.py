"""Friend lists in SQL; see ``sql_pairs`` for the order of locks."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, and_, bindparam, or_, select, update

from imd.business.relations import sql_groups as groups
from imd.business.relations.ports import Changed, Friend, FriendPage, Friends
from imd.business.relations.sql_lists import entry, new_epoch, next_version, part, write
from imd.business.relations.sql_pairs import lock_people, pair_changed
from imd.business.relations.sql_requests import forget_pair
from imd.business.relations.synced import Place, is_from_the_future, is_usable
from imd.business.tables.people import friends, users
from imd.kernel.errors import Forbidden, PayloadInvalid
from imd.storage.sql import Database

_HEAD = select(
    users.c.friends_version, users.c.friends_epoch, users.c.friends_floor, users.c.friend_groups_version
).where(users.c.id == bindparam("owner"))
_SET_EPOCH = (
    update(users)
    .where(users.c.id == bindparam("owner"), users.c.friends_epoch == bindparam("old"))
    .values(friends_epoch=bindparam("new"))
)
_NEWS = (
    select(
        friends.c.friend_id,
        users.c.handle,
        users.c.display_name,
        users.c.avatar_url,
        friends.c.remark,
        friends.c.friend_group_id,
        friends.c.created_at_ms,
        friends.c.ended_at_ms,
        friends.c.version,
    )
    .join_from(friends, users, users.c.id == friends.c.friend_id)
    .where(
        friends.c.user_id == bindparam("owner"),
        or_(
            friends.c.version > bindparam("known"),
            and_(friends.c.version == bindparam("known"), friends.c.friend_id > bindparam("friend")),
        ),
        # What ended before the reading began was never known, or is known to have ended.
        or_(friends.c.ended_at_ms == 0, friends.c.version > bindparam("began")),
    )
    .order_by(friends.c.version, friends.c.friend_id)
    .limit(bindparam("most"))
)
_SOME_FRIENDS = (
    select(friends.c.friend_id)
    .where(friends.c.user_id == bindparam("owner"), friends.c.ended_at_ms == 0)
    .order_by(friends.c.friend_id)
    .limit(bindparam("most"))
)


class SqlFriends:
    """See ``Friends``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, user_id: int, place: Place, *, limit: int) -> FriendPage:
        head = await self._database.read(lambda c: c.execute(_HEAD, {"owner": user_id}).one())
        if not head.friends_epoch or is_from_the_future(
            place, epoch=head.friends_epoch, version=head.friends_version
        ):
            old_and_new = {"owner": user_id, "old": head.friends_epoch, "new": new_epoch()}
            await self._database.write(lambda c: c.execute(_SET_EPOCH, old_and_new).rowcount)
        return await self._database.read(lambda c: _page(c, user_id, place, limit))

    async def part(self, user_id: int, friend_id: int, now_ms: int) -> Sequence[Changed]:
        if user_id == friend_id:
            raise PayloadInvalid("this takes somebody else", field="userId")

        def work(connection: Connection) -> Sequence[Changed]:
            rows = lock_people(connection, (user_id, friend_id))
            if len(rows) != 2 or not part(connection, rows[user_id], rows[friend_id], now_ms):
                return ()
            forget_pair(connection, user_id, friend_id)
            return pair_changed(connection, user_id, friend_id, restricted=True)

        return await self._database.write(work)

    async def part_all(self, user_id: int, now_ms: int, *, limit: int) -> int:
        some = {"owner": user_id, "most": limit}
        ids = await self._database.read(lambda c: c.execute(_SOME_FRIENDS, some).scalars().all())

        def work(connection: Connection) -> int:
            rows = lock_people(connection, (user_id, *ids))
            for friend_id in ids:
                # Each side's list is changed once; the one who goes reads theirs no more.
                part(connection, rows[user_id], rows[friend_id], now_ms)
                forget_pair(connection, user_id, friend_id)
            return len(ids)

        return await self._database.write(work) if ids else 0

    async def describe(
        self, user_id: int, friend_id: int, *, remark: str | None, friend_group_id: int | None
    ) -> None:
        def work(connection: Connection) -> None:
            owner = lock_people(connection, (user_id,))[user_id]
            row = entry(connection, user_id, friend_id)
            if row is None or row.ended_at_ms:
                raise Forbidden("this user is not among your friends", field="userId")
            if friend_group_id:
                groups.check_there(connection, user_id, friend_group_id)
            new_remark = row.remark if remark is None else remark
            new_group = row.friend_group_id if friend_group_id is None else friend_group_id
            if (new_remark, new_group) == (row.remark, row.friend_group_id):
                return
            named = {"owner": user_id, "friend": friend_id, "version": next_version(connection, owner)}
            write(connection, named, remark=new_remark, group_id=new_group, created_at_ms=row.created_at_ms)

        await self._database.write(work)

    async def add_group(self, user_id: int, group_id: int, name: str) -> None:
        def work(connection: Connection) -> None:
            owner = lock_people(connection, (user_id,))[user_id]
            groups.add(connection, owner, group_id, name)

        await self._database.write(work)

    async def change_group(
        self, user_id: int, group_id: int, *, name: str | None, position: int | None
    ) -> None:
        def work(connection: Connection) -> None:
            owner = lock_people(connection, (user_id,))[user_id]
            groups.change(connection, owner, group_id, name=name, position=position)

        await self._database.write(work)

    async def remove_group(self, user_id: int, group_id: int) -> None:
        def work(connection: Connection) -> None:
            owner = lock_people(connection, (user_id,))[user_id]
            groups.remove(connection, owner, group_id)

        await self._database.write(work)


def _page(connection: Connection, user_id: int, place: Place, limit: int) -> FriendPage:
    head = connection.execute(_HEAD, {"owner": user_id}).one()
    epoch, version = head.friends_epoch, head.friends_version
    full = not is_usable(place, epoch=epoch, version=version, floor=head.friends_floor)
    if full:
        place = Place(epoch, 0, friend_id=0, began=version)
    # Between pages what was known when the reading began counts; else what is known now.
    began = place.began if full or place.is_between else place.version
    asked = {
        "owner": user_id,
        "known": place.version,
        "friend": place.friend_id if place.is_between else _LAST_ID,
        "began": began,
        "most": limit + 1,
    }
    rows = connection.execute(_NEWS, asked).all()
    more = len(rows) > limit
    rows = rows[:limit]
    after = Place(epoch, version)
    if more:
        after = Place(epoch, rows[-1].version, rows[-1].friend_id, began)
    # On the first page: groups are few, and what comes after may refer to them.
    tell_groups = full or (not place.is_between and head.friend_groups_version > place.version)
    return FriendPage(
        full,
        [Friend(*row[:7], ended=row.ended_at_ms != 0) for row in rows],
        groups.of(connection, user_id) if tell_groups else None,
        after,
        more,
    )


_LAST_ID = (1 << 63) - 1

_: type[Friends] = SqlFriends
