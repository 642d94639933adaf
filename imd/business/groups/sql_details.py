"""Titles, announcements and each member's own wishes, in SQL; see ``sql_steps`` for the locks."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from imd.business.groups.model import UNKNOWN, Announcement, Change, Own, Standing, Wishes
from imd.business.groups.ports import Details
from imd.business.groups.sql_steps import bump, group_of, groups_with, lock, roles_of
from imd.business.permission.rights import Right, require, require_above
from imd.business.tables.groups import group_conversations, group_members
from imd.kernel.errors import Forbidden
from imd.storage.sql import Database

_OWN = (
    groups_with(
        group_members.c.role,
        group_members.c.nickname,
        group_members.c.title,
        group_members.c.muted_until_ms,
        group_members.c.do_not_disturb,
        group_members.c.pinned,
        group_members.c.visible_from_seq,
    )
    .join_from(group_conversations, group_members)
    .where(group_conversations.c.id == bindparam("group"), group_members.c.user_id == bindparam("user"))
)
_MINE = update(group_members).where(
    group_members.c.group_id == bindparam("group"), group_members.c.user_id == bindparam("user")
)
_TITLE_OF = select(group_members.c.title).where(
    group_members.c.group_id == bindparam("group"), group_members.c.user_id == bindparam("user")
)
_SET_TITLE = _MINE.values(title=bindparam("new_title"))
_ANNOUNCE = (
    update(group_conversations)
    .where(group_conversations.c.id == bindparam("group"))
    .values(
        announcement=bindparam("new_text"),
        announced_by=bindparam("new_by"),
        announced_at_ms=bindparam("new_at"),
    )
)


class SqlDetails:
    """See ``Details``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def set_title(self, conversation_id: str, actor_id: int, user_id: int, title: str) -> Change:
        def work(connection: Connection) -> Change:
            standing = lock(connection, conversation_id, actor_id)
            require(standing, Right.MANAGE)
            present = roles_of(connection, conversation_id, [user_id])
            if not present:
                raise Forbidden("this user is not in the group", field="userId", reason="not_member")
            if user_id != actor_id:
                require_above(standing.role, [present[0][1]])
            key = {"group": conversation_id, "user": user_id}
            if connection.execute(_TITLE_OF, key).scalar_one() == title:
                return Change(standing.group)
            connection.execute(_SET_TITLE, {**key, "new_title": title})
            return Change(bump(connection, standing.group), [user_id])

        return await self._database.write(work)

    async def announce(self, conversation_id: str, actor_id: int, text: str, now_ms: int) -> Change:
        def work(connection: Connection) -> Change:
            standing = lock(connection, conversation_id, actor_id)
            require(standing, Right.MANAGE)
            group = standing.group
            if text == group.announcement.text:
                return Change(group)
            announcement = Announcement(text, actor_id, now_ms) if text else Announcement()
            values = {
                "group": conversation_id,
                "new_text": announcement.text,
                "new_by": announcement.by_user_id,
                "new_at": announcement.at_ms,
            }
            connection.execute(_ANNOUNCE, values)
            return Change(bump(connection, group._replace(announcement=announcement)), [actor_id])

        return await self._database.write(work)

    async def own(self, conversation_id: str, user_id: int) -> Own:
        return await self._database.read(lambda c: _own(c, conversation_id, user_id))

    async def wish(self, conversation_id: str, user_id: int, wishes: Wishes) -> Own:
        values: dict[str, Any] = {}
        if wishes.nickname is not None:
            values["nickname"] = wishes.nickname
        if wishes.do_not_disturb is not None:
            values["do_not_disturb"] = int(wishes.do_not_disturb)
        if wishes.pinned is not None:
            values["pinned"] = int(wishes.pinned)

        def work(connection: Connection) -> Own:
            # A member's row goes only under the lock of the group; what is written into one that went is nothing.
            if values:
                connection.execute(_MINE.values(values), {"group": conversation_id, "user": user_id})
            return _own(connection, conversation_id, user_id)

        return await self._database.write(work)


def _own(connection: Connection, conversation_id: str, user_id: int) -> Own:
    row = connection.execute(_OWN, {"group": conversation_id, "user": user_id}).first()
    if row is None:
        raise Forbidden(UNKNOWN)
    return Own(
        Standing(group_of(row), row.role),
        row.nickname,
        row.title,
        row.muted_until_ms,
        bool(row.do_not_disturb),
        bool(row.pinned),
        row.visible_from_seq,
    )


_: type[Details] = SqlDetails
