"""How people get into a group: by themselves, by application, by invitation; see ``sql_steps`` for the locks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, bindparam, exists, func, insert, select, update

from imd.business.accounts.model import ACTIVE
from imd.business.groups.joining import (
    APPLICATION,
    INVITATION,
    MAX_PENDING_PER_GROUP,
    MAX_PENDING_PER_USER,
    PENDING_MS,
    Admission,
    ApplicationInput,
    ApplicationState,
    InvitationInput,
    InvitationState,
    JoinPolicy,
    application_after,
    application_now,
    invitation_after,
    invitation_now,
)
from imd.business.groups.model import UNKNOWN, Change, Group
from imd.business.groups.ports import Admissions
from imd.business.groups.sql_steps import (
    Admitting,
    is_barred,
    lock,
    lock_group,
    read_group,
    read_standing,
    roles_of,
    standing_of,
)
from imd.business.permission.rights import Right, require, rights_of
from imd.business.tables.groups import group_admissions, group_conversations
from imd.business.tables.people import blocks, users
from imd.kernel.errors import Forbidden
from imd.storage.sql import Database

_PENDING = 1  # of both kinds
_KEPT_OUT = "one of these users is kept out of this group"
_NONE = "there is no such application"

_ADD = insert(group_admissions)
_AGAIN = (
    update(group_admissions)
    .where(
        group_admissions.c.group_id == bindparam("group"),
        group_admissions.c.user_id == bindparam("user"),
        group_admissions.c.kind == bindparam("which"),
    )
    .values(
        state=bindparam("new_state"),
        message=bindparam("new_message"),
        by_user=bindparam("new_by"),
        created_at_ms=bindparam("new_created"),
        decided_at_ms=bindparam("new_decided"),
    )
)


def _admissions() -> Select[Any]:
    return (
        select(
            group_admissions.c.group_id,
            group_conversations.c.title,
            group_admissions.c.user_id,
            users.c.handle,
            users.c.display_name,
            group_admissions.c.kind,
            group_admissions.c.state,
            group_admissions.c.message,
            group_admissions.c.by_user,
            group_admissions.c.created_at_ms,
            group_admissions.c.decided_at_ms,
        )
        .join_from(group_admissions, group_conversations)
        .join(users, users.c.id == group_admissions.c.user_id)
        .where(group_admissions.c.kind == bindparam("which"), group_conversations.c.dissolved_at_ms == 0)
    )


_ONE = _admissions().where(
    group_admissions.c.group_id == bindparam("group"), group_admissions.c.user_id == bindparam("user")
)
_OF_GROUP = (
    _admissions()
    .where(
        group_admissions.c.group_id == bindparam("group"),
        group_admissions.c.state == _PENDING,
        group_admissions.c.created_at_ms > bindparam("since_ms"),
        group_admissions.c.user_id > bindparam("after"),
        # Nobody else can be let in.
        users.c.status == ACTIVE,
    )
    .order_by(group_admissions.c.user_id)
    .limit(bindparam("most"))
)
_FROM_BLOCKED = exists().where(
    blocks.c.user_id == group_admissions.c.user_id,
    blocks.c.blocked_id == group_admissions.c.by_user,
    group_admissions.c.kind == INVITATION,
)
_OF_USER = (
    _admissions()
    .where(
        group_admissions.c.user_id == bindparam("user"),
        group_admissions.c.group_id > bindparam("after"),
        # Like requests for friendship: not to be seen until the block is lifted.
        ~_FROM_BLOCKED,
    )
    .order_by(group_admissions.c.group_id)
    .limit(bindparam("most"))
)
_OPEN = (
    select(func.count())
    .select_from(group_admissions)
    .where(
        group_admissions.c.kind == bindparam("which"),
        group_admissions.c.state == _PENDING,
        group_admissions.c.created_at_ms > bindparam("since_ms"),
    )
)
_OPEN_IN_GROUP = _OPEN.where(group_admissions.c.group_id == bindparam("group"))
_OPEN_OF_USER = _OPEN.where(group_admissions.c.user_id == bindparam("user"))


class SqlAdmissions:
    """See ``Admissions``."""

    def __init__(self, database: Database, *, admitting: Admitting) -> None:
        self._database = database
        self._admitting = admitting

    async def door(self, conversation_id: str, user_id: int) -> Group | None:
        def work(connection: Connection) -> Group | None:
            barred = is_barred(connection, conversation_id, [user_id])
            return None if barred else read_group(connection, conversation_id)

        return await self._database.read(work)

    async def join(
        self,
        conversation_id: str,
        user_id: int,
        *,
        sealed_answer: str,
        message: str,
        now_ms: int,
        visible_from: int,
    ) -> Change | None:
        def work(connection: Connection) -> Change | None:
            group = lock_group(connection, conversation_id)
            if roles_of(connection, conversation_id, [user_id]):
                return Change(group)
            policy = group.rules.join_policy
            if policy == JoinPolicy.INVITATION or is_barred(connection, conversation_id, [user_id]):
                raise Forbidden(UNKNOWN)
            if policy == JoinPolicy.QUESTION and sealed_answer != group.rules.sealed_answer:
                raise Forbidden("this is not the answer", field="answer", reason="wrong_answer")
            self._admitting.lock_users(connection, [user_id], field="id")
            if policy == JoinPolicy.APPROVAL:
                _apply(connection, group, user_id, message, now_ms)
                return None
            return self._let_in(connection, group, user_id, now_ms, visible_from)

        return await self._database.write(work)

    async def decide(
        self,
        conversation_id: str,
        actor_id: int,
        user_id: int,
        happens: ApplicationInput,
        *,
        now_ms: int,
        visible_from: int,
    ) -> Change:
        def work(connection: Connection) -> Change:
            standing = lock(connection, conversation_id, actor_id)
            require(standing, Right.MANAGE)
            application = _read(connection, conversation_id, user_id, APPLICATION)
            if application is None:
                raise Forbidden(_NONE, field="userId", reason="unknown")
            state = application_now(application.state, application.created_at_ms, now_ms)
            after = application_after(state, happens)
            if after is state:
                return Change(standing.group)
            _write(connection, application._replace(state=after, by_user_id=actor_id, decided_at_ms=now_ms))
            if after is not ApplicationState.APPROVED:
                return Change(standing.group)
            self._admitting.lock_users(connection, [user_id], field="userId")
            return self._let_in(connection, standing.group, user_id, now_ms, visible_from)

        return await self._database.write(work)

    async def cancel(self, conversation_id: str, user_id: int, now_ms: int) -> None:
        def work(connection: Connection) -> None:
            lock_group(connection, conversation_id)
            application = _read(connection, conversation_id, user_id, APPLICATION)
            if application is None:
                raise Forbidden(UNKNOWN)
            state = application_now(application.state, application.created_at_ms, now_ms)
            after = application_after(state, ApplicationInput.CANCEL)
            if after is not state:
                _write(connection, application._replace(state=after, decided_at_ms=now_ms))

        await self._database.write(work)

    async def invite(
        self, conversation_id: str, actor_id: int, user_ids: Sequence[int], message: str, now_ms: int
    ) -> tuple[Group, Sequence[int]]:
        def work(connection: Connection) -> tuple[Group, Sequence[int]]:
            standing = lock(connection, conversation_id, actor_id)
            require(standing, Right.INVITE)
            group = standing.group
            present = {user_id for user_id, _ in roles_of(connection, conversation_id, user_ids)}
            new = sorted(set(user_ids) - present)
            if is_barred(connection, conversation_id, new):
                raise Forbidden(_KEPT_OUT, field="userIds", reason="blacklisted")
            self._admitting.lock_users(connection, new, field="userIds", actor_id=actor_id)
            invited = [
                user_id
                for user_id in new
                if _invite(connection, conversation_id, user_id, actor_id, message, now_ms)
            ]
            return group, invited

        return await self._database.write(work)

    async def answer(
        self, conversation_id: str, user_id: int, happens: InvitationInput, *, now_ms: int, visible_from: int
    ) -> Change | None:
        def work(connection: Connection) -> Change | None:
            group = lock_group(connection, conversation_id)
            invitation = _read(connection, conversation_id, user_id, INVITATION)
            if invitation is None:
                raise Forbidden(UNKNOWN)
            state = invitation_now(invitation.state, invitation.created_at_ms, now_ms)
            after = invitation_after(state, happens)
            if after is state:
                return Change(group)
            _write(connection, invitation._replace(state=after, decided_at_ms=now_ms))
            if after is not InvitationState.ACCEPTED:
                return Change(group)
            self._admitting.lock_users(connection, [user_id], field="id")
            if _needs_approval(connection, invitation, group):
                _apply(connection, group, user_id, invitation.message, now_ms)
                return None
            return self._let_in(connection, group, user_id, now_ms, visible_from)

        return await self._database.write(work)

    async def applications(
        self, conversation_id: str, actor_id: int, *, now_ms: int, after: int, limit: int
    ) -> Sequence[Admission]:
        page = {
            "group": conversation_id,
            "which": APPLICATION,
            "since_ms": now_ms - PENDING_MS,
            "after": after,
            "most": limit,
        }

        def work(connection: Connection) -> Sequence[Admission]:
            require(standing_of(connection, conversation_id, actor_id), Right.MANAGE)
            return [Admission(*row) for row in connection.execute(_OF_GROUP, page)]

        return await self._database.read(work)

    async def of_user(self, user_id: int, kind: int, *, after: str, limit: int) -> Sequence[Admission]:
        page = {"user": user_id, "which": kind, "after": after, "most": limit}
        rows = await self._database.read(lambda c: c.execute(_OF_USER, page).all())
        return [Admission(*row) for row in rows]

    def _let_in(
        self, connection: Connection, group: Group, user_id: int, now_ms: int, visible_from: int
    ) -> Change:
        grown, mute = self._admitting.let_in(
            connection, group, [user_id], now_ms=now_ms, visible_from=visible_from
        )
        return Change(grown, [user_id], mute)


def _needs_approval(connection: Connection, invitation: Admission, group: Group) -> bool:
    """Whether the inviter's word is not enough; Forbidden if it is worth nothing any more."""
    inviter = read_standing(connection, group.conversation_id, invitation.by_user_id)
    rights = rights_of(group, inviter.role) if inviter is not None else Right(0)
    if not rights & Right.INVITE:
        raise Forbidden("whoever invited you may not do so any more", reason="settled")
    return group.rules.join_policy == JoinPolicy.APPROVAL and not rights & Right.MANAGE


def _apply(connection: Connection, group: Group, user_id: int, message: str, now_ms: int) -> None:
    """An open application, the one that is there or a new one."""
    conversation_id = group.conversation_id
    known = _read(connection, conversation_id, user_id, APPLICATION)
    if known is not None and application_now(known.state, known.created_at_ms, now_ms) == _PENDING:
        return
    since_ms = now_ms - PENDING_MS
    mine = {"which": APPLICATION, "since_ms": since_ms, "user": user_id}
    if connection.execute(_OPEN_OF_USER, mine).scalar_one() >= MAX_PENDING_PER_USER:
        raise Forbidden(f"at most {MAX_PENDING_PER_USER} applications can be open", reason="full")
    all_of_them = {"which": APPLICATION, "since_ms": since_ms, "group": conversation_id}
    if connection.execute(_OPEN_IN_GROUP, all_of_them).scalar_one() >= MAX_PENDING_PER_GROUP:
        raise Forbidden("too many people wait to be let into this group", reason="full")
    _open(connection, known, conversation_id, user_id, APPLICATION, message, user_id, now_ms)


def _invite(
    connection: Connection, conversation_id: str, user_id: int, actor_id: int, message: str, now_ms: int
) -> bool:
    """Whether there was no open invitation."""
    known = _read(connection, conversation_id, user_id, INVITATION)
    if known is not None and invitation_now(known.state, known.created_at_ms, now_ms) == _PENDING:
        return False
    theirs = {"which": INVITATION, "since_ms": now_ms - PENDING_MS, "user": user_id}
    if connection.execute(_OPEN_OF_USER, theirs).scalar_one() >= MAX_PENDING_PER_USER:
        raise Forbidden("one of these users has too many invitations", field="userIds", reason="full")
    _open(connection, known, conversation_id, user_id, INVITATION, message, actor_id, now_ms)
    return True


def _open(
    connection: Connection,
    known: Admission | None,
    conversation_id: str,
    user_id: int,
    kind: int,
    message: str,
    by_id: int,
    now_ms: int,
) -> None:
    if known is not None:
        again = known._replace(
            state=_PENDING, message=message, by_user_id=by_id, created_at_ms=now_ms, decided_at_ms=0
        )
        _write(connection, again)
        return
    row = {
        "group_id": conversation_id,
        "user_id": user_id,
        "kind": kind,
        "state": _PENDING,
        "message": message,
        "by_user": by_id,
        "created_at_ms": now_ms,
        "decided_at_ms": 0,
    }
    connection.execute(_ADD, row)


def _read(connection: Connection, conversation_id: str, user_id: int, kind: int) -> Admission | None:
    key = {"group": conversation_id, "user": user_id, "which": kind}
    row = connection.execute(_ONE, key).first()
    return None if row is None else Admission(*row)


def _write(connection: Connection, admission: Admission) -> None:
    values = {
        "group": admission.conversation_id,
        "user": admission.user_id,
        "which": admission.kind,
        "new_state": int(admission.state),
        "new_message": admission.message,
        "new_by": admission.by_user_id,
        "new_created": admission.created_at_ms,
        "new_decided": admission.decided_at_ms,
    }
    connection.execute(_AGAIN, values)


_: type[Admissions] = SqlAdmissions
