"""Changes of groups and of who is in them, in SQL: each is one transaction; see ``sql_steps`` for its locks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update

from imd.business.groups.model import ADMIN, MAX_ADMINS, MEMBER, OPERATOR, OWNER, Change, Group, may_leave
from imd.business.groups.ports import GroupChanges, Groups
from imd.business.groups.sql_steps import (
    Admitting,
    bump,
    dissolve,
    drop,
    is_active,
    is_barred,
    lock,
    member_rows,
    roles_of,
)
from imd.business.permission.rights import Right, require, require_above, require_owner
from imd.business.tables.groups import group_conversations, group_members
from imd.kernel.errors import Forbidden
from imd.storage.sql import Database

_KEPT_OUT = "one of these users is kept out of this group"

# Put together once: building a statement costs more than running it.
_ADD_GROUP, _ADD_MEMBERS = insert(group_conversations), insert(group_members)
_CHANGE = update(group_conversations).where(group_conversations.c.id == bindparam("group"))
_SET_ROLE = (
    update(group_members)
    .where(group_members.c.group_id == bindparam("group"), group_members.c.user_id == bindparam("user"))
    .values(role=bindparam("new_role"))
)
_DEMOTE_OWNER = (
    update(group_members)
    .where(group_members.c.group_id == bindparam("group"), group_members.c.role == OWNER)
    .values(role=ADMIN)
)
_ADMINS = select(func.count()).where(
    group_members.c.group_id == bindparam("group"), group_members.c.role == ADMIN
)


class SqlGroups:
    """See ``Groups``."""

    def __init__(self, database: Database, *, admitting: Admitting) -> None:
        self._database = database
        self._admitting = admitting

    async def create(
        self, group: Group, owner_id: int, member_ids: Sequence[int], *, by_id: int = OPERATOR
    ) -> Change:
        others = sorted(set(member_ids) - {owner_id})

        def work(connection: Connection) -> Change:
            self._admitting.check_size(len(others) + 1)
            self._admitting.lock_users(connection, [owner_id, *others], field="memberIds", actor_id=by_id)
            made = group._replace(version=1, member_count=len(others) + 1)
            connection.execute(_ADD_GROUP, _row(made))
            rows = member_rows(made.conversation_id, [owner_id], OWNER, made.created_at_ms)
            rows += member_rows(made.conversation_id, others, MEMBER, made.created_at_ms)
            connection.execute(_ADD_MEMBERS, rows)
            return Change(made, others)

        return await self._database.write(work)

    async def change(
        self, conversation_id: str, actor_id: int, changes: GroupChanges
    ) -> tuple[Change, Group]:
        def work(connection: Connection) -> tuple[Change, Group]:
            standing = lock(connection, conversation_id, actor_id)
            require(standing, Right.MANAGE)
            changed = changes(standing.group)
            if changed == standing.group:
                return Change(changed), changed
            connection.execute(_CHANGE.values(_columns(changed)), {"group": conversation_id})
            return Change(bump(connection, changed), [actor_id]), standing.group

        return await self._database.write(work)

    async def add(
        self,
        conversation_id: str,
        actor_id: int,
        user_ids: Sequence[int],
        now_ms: int,
        *,
        visible_from: int = 0,
    ) -> Change:
        def work(connection: Connection) -> Change:
            standing = lock(connection, conversation_id, actor_id)
            require(standing, Right.MANAGE)
            group = standing.group
            if group.rules.consent and actor_id != OPERATOR:
                raise Forbidden(
                    "people are invited into this group, and say yes first", reason="consent_needed"
                )
            present = {user_id for user_id, _ in roles_of(connection, conversation_id, user_ids)}
            new = sorted(set(user_ids) - present)
            if not new:
                return Change(group)
            if is_barred(connection, conversation_id, new):
                raise Forbidden(_KEPT_OUT, field="userIds", reason="blacklisted")
            self._admitting.check_size(group.member_count + len(new))
            self._admitting.lock_users(connection, new, field="userIds", actor_id=actor_id)
            grown, mute = self._admitting.let_in(
                connection, group, new, now_ms=now_ms, visible_from=visible_from
            )
            return Change(grown, new, mute)

        return await self._database.write(work)

    async def remove(
        self, conversation_id: str, actor_id: int, user_ids: Sequence[int], now_ms: int
    ) -> Change:
        def work(connection: Connection) -> Change:
            standing = lock(connection, conversation_id, actor_id)
            require(standing, Right.MANAGE)
            present = roles_of(connection, conversation_id, user_ids)
            require_above(standing.role, [their for _, their in present])
            gone = sorted(user_id for user_id, _ in present)
            if not gone:
                return Change(standing.group)
            return Change(drop(connection, standing.group, gone, now_ms), gone)

        return await self._database.write(work)

    async def leave(self, conversation_id: str, actor_id: int, now_ms: int) -> Change:
        def work(connection: Connection) -> Change:
            group, role = lock(connection, conversation_id, actor_id)
            may_leave(role, group.member_count)
            if group.member_count == 1:
                return Change(*dissolve(connection, group, now_ms))
            return Change(drop(connection, group, [actor_id], now_ms, reason="left"), [actor_id])

        return await self._database.write(work)

    async def set_role(self, conversation_id: str, actor_id: int, user_id: int, role: int) -> Change:
        def work(connection: Connection) -> Change:
            standing = lock(connection, conversation_id, actor_id)
            require_owner(standing)
            present = _role_of(connection, conversation_id, user_id)
            if present == OWNER:
                raise Forbidden(
                    "the owner stays owner until the group is transferred", field="userId", reason="owner"
                )
            if present == role:
                return Change(standing.group)
            if role == ADMIN:
                _check_admins(connection, conversation_id)
            _set_role(connection, conversation_id, user_id, role)
            return Change(bump(connection, standing.group), [user_id])

        return await self._database.write(work)

    async def transfer(self, conversation_id: str, actor_id: int, user_id: int) -> Change:
        def work(connection: Connection) -> Change:
            standing = lock(connection, conversation_id, actor_id)
            require_owner(standing)
            if _role_of(connection, conversation_id, user_id) == OWNER:
                return Change(standing.group)
            if not is_active(connection, user_id):
                # A group whose owner cannot come back could not even be dissolved.
                raise Forbidden("this user cannot own a group now", field="userId")
            # Also if that makes one admin more than there may be: nobody had a choice.
            connection.execute(_DEMOTE_OWNER, {"group": conversation_id})
            _set_role(connection, conversation_id, user_id, OWNER)
            return Change(bump(connection, standing.group), [user_id])

        return await self._database.write(work)

    async def dissolve(self, conversation_id: str, actor_id: int, now_ms: int) -> Change:
        def work(connection: Connection) -> Change:
            standing = lock(connection, conversation_id, actor_id)
            require_owner(standing)
            return Change(*dissolve(connection, standing.group, now_ms))

        return await self._database.write(work)


def _row(group: Group) -> dict[str, Any]:
    row = {
        "id": group.conversation_id,
        "version": group.version,
        "member_count": group.member_count,
        "created_at_ms": group.created_at_ms,
        "dissolved_at_ms": 0,
    }
    return row | _columns(group)


def _columns(group: Group) -> dict[str, Any]:
    rules = group.rules
    return {
        "title": group.title,
        "kind": group.kind,
        "sensitive": int(group.sensitive),
        "join_policy": int(rules.join_policy),
        "question": rules.question,
        "answer_hash": rules.sealed_answer,
        "members_invite": int(rules.members_invite),
        "consent": int(rules.consent),
        "history_from_join": int(rules.history_from_join),
    }


def _role_of(connection: Connection, conversation_id: str, user_id: int) -> int:
    present = roles_of(connection, conversation_id, [user_id])
    if not present:
        raise Forbidden("this user is not in the group", field="userId", reason="not_member")
    return present[0][1]


def _set_role(connection: Connection, conversation_id: str, user_id: int, role: int) -> None:
    connection.execute(_SET_ROLE, {"group": conversation_id, "user": user_id, "new_role": role})


def _check_admins(connection: Connection, conversation_id: str) -> None:
    if connection.execute(_ADMINS, {"group": conversation_id}).scalar_one() >= MAX_ADMINS:
        raise Forbidden(f"a group has at most {MAX_ADMINS} admins", reason="full")


_: type[Groups] = SqlGroups
