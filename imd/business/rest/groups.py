"""The operations about conversations: 1:1 ones, groups, and who is in them."""

from __future__ import annotations

from typing import Literal

from imd.business.accounts.model import Account
from imd.business.accounts.profile import Profiles
from imd.business.groups.direct import OpenDirect
from imd.business.groups.manage import ManageGroups
from imd.business.groups.model import (
    ADMIN,
    CONVERSATIONS_PER_PAGE,
    DIRECT,
    MEMBER,
    MEMBERS_PER_PAGE,
    OWNER,
    UNKNOWN,
    Change,
    Conversation,
    Standing,
)
from imd.business.groups.people import GroupPeople
from imd.business.groups.ports import Memberships
from imd.business.rest.bodies import (
    ConversationAnswer,
    ConversationsAnswer,
    DirectAnswer,
    DirectBody,
    Done,
    GroupAnswer,
    GroupChangeBody,
    MemberAnswer,
    MemberIdsBody,
    MembersAnswer,
    MembersChangedAnswer,
    NewGroupBody,
    RoleBody,
    TransferBody,
    UserAnswer,
)
from imd.business.rest.operation import Asked, Operation, Parameter
from imd.kernel.errors import Forbidden, PayloadInvalid
from imd.kernel.ids import is_id

_MAX_ID = (1 << 63) - 1
_ROLE_NAMES: dict[int, Literal["member", "admin", "owner"]] = {
    MEMBER: "member",
    ADMIN: "admin",
    OWNER: "owner",
}

GROUP_ID = Parameter("id", {"type": "string"}, "A group's conversation id.")
USER_ID = Parameter("userId", {"type": "string"}, "A user's id.")
AFTER = Parameter("after", {"type": "string"}, "The page's ``next`` of the page before.")
LIMIT = Parameter(
    "limit",
    {"type": "integer", "minimum": 1, "maximum": min(MEMBERS_PER_PAGE, CONVERSATIONS_PER_PAGE)},
    "At most so many.",
)


class GroupApi:
    """Bodies in, use cases, answers out."""

    def __init__(
        self,
        *,
        open_direct: OpenDirect,
        manage: ManageGroups,
        people: GroupPeople,
        memberships: Memberships,
        profiles: Profiles,
    ) -> None:
        self._open_direct = open_direct
        self._manage = manage
        self._people = people
        self._memberships = memberships
        self._profiles = profiles

    def operations(self) -> list[Operation]:
        """All of them."""
        group, member = (GROUP_ID,), (GROUP_ID, USER_ID)
        one, members = "/groups/{id}", "/groups/{id}/members"
        return [
            Operation("POST", "/conversations/direct", "openDirect", "The 1:1 conversation with somebody",
                      self.direct, DirectAnswer, body=DirectBody),
            Operation("GET", "/conversations", "conversations", "All conversations of the caller",
                      self.conversations, ConversationsAnswer, query_parameters=(AFTER, LIMIT)),
            Operation("POST", "/groups", "createGroup", "Make a group, owned by the caller",
                      self.create, GroupAnswer, body=NewGroupBody, status=201),
            Operation("GET", one, "group", "A group the caller is in",
                      self.group, GroupAnswer, path_parameters=group),
            Operation("PATCH", one, "renameGroup", "Rename a group; owner and admins",
                      self.rename, GroupAnswer, body=GroupChangeBody, path_parameters=group),
            Operation("DELETE", one, "dissolveGroup", "End a group; the owner",
                      self.dissolve, Done, path_parameters=group),
            Operation("GET", members, "members", "Who is in a group", self.members, MembersAnswer,
                      path_parameters=group, query_parameters=(AFTER, LIMIT)),
            Operation("POST", members, "invite", "Add people, all or none; owner and admins",
                      self.invite, MembersChangedAnswer, body=MemberIdsBody, path_parameters=group),
            Operation("DELETE", members, "kickMany", "Remove people, all or none; those below the caller",
                      self.kick_many, MembersChangedAnswer, body=MemberIdsBody, path_parameters=group),
            Operation("DELETE", members + "/{userId}", "kick", "Remove somebody below the caller",
                      self.kick, MembersChangedAnswer, path_parameters=member),
            Operation("PUT", members + "/{userId}/role", "setRole", "Make admin, or member again; the owner",
                      self.set_role, GroupAnswer, body=RoleBody, path_parameters=member),
            Operation("POST", one + "/leave", "leave", "Leave a group; the last one ends it",
                      self.leave, Done, path_parameters=group),
            Operation("POST", one + "/transfer", "transfer", "Give a group to another member; the owner",
                      self.transfer, GroupAnswer, body=TransferBody, path_parameters=group),
        ]  # fmt: skip

    async def direct(self, asked: Asked) -> DirectAnswer:
        body: DirectBody = asked.body
        if (body.userId is None) == (body.handle is None):
            raise PayloadInvalid("give userId or handle, one of the two", field="userId")
        peer: Account
        if body.handle is not None:
            peer = await self._profiles.find(asked.caller, body.handle)
        else:
            peer = await self._profiles.of(asked.caller, _user_id(body.userId or "", "userId"))
        conversation_id = await self._open_direct(asked.caller.user_id, peer.user_id)
        return DirectAnswer(conversation_id, UserAnswer(str(peer.user_id), peer.handle, peer.display_name))

    async def conversations(self, asked: Asked) -> ConversationsAnswer:
        after = asked.query.get("after", "")
        if after and not is_id(after):
            raise PayloadInvalid("after is no conversation id", field="after")
        limit = _limit(asked, CONVERSATIONS_PER_PAGE)
        found = await self._memberships.conversations_of(asked.caller.user_id, after=after, limit=limit + 1)
        page = [_conversation(one) for one in found[:limit]]
        return ConversationsAnswer(page, page[-1].conversationId if len(found) > limit else "")

    async def create(self, asked: Asked) -> GroupAnswer:
        body: NewGroupBody = asked.body
        member_ids = [_user_id(one, "memberIds") for one in body.memberIds]
        change = await self._manage.create(asked.caller.user_id, body.title, member_ids)
        return _group(Standing(change.group, OWNER))

    async def group(self, asked: Asked) -> GroupAnswer:
        return _group(await self._standing(asked))

    async def rename(self, asked: Asked) -> GroupAnswer:
        body: GroupChangeBody = asked.body
        await self._manage.rename(asked.caller.user_id, _group_id(asked), body.title)
        return _group(await self._standing(asked))

    async def dissolve(self, asked: Asked) -> Done:
        await self._manage.dissolve(asked.caller.user_id, _group_id(asked))
        return Done()

    async def members(self, asked: Asked) -> MembersAnswer:
        standing = await self._standing(asked)
        after = asked.query.get("after", "")
        limit = _limit(asked, MEMBERS_PER_PAGE)
        found = await self._memberships.members(
            standing.group.conversation_id, after=_user_id(after, "after") if after else 0, limit=limit + 1
        )
        page = [
            MemberAnswer(
                str(one.user_id), one.handle, one.display_name, _ROLE_NAMES[one.role], one.joined_at_ms
            )
            for one in found[:limit]
        ]
        return MembersAnswer(page, page[-1].userId if len(found) > limit else "")

    async def invite(self, asked: Asked) -> MembersChangedAnswer:
        body: MemberIdsBody = asked.body
        user_ids = [_user_id(one, "userIds") for one in body.userIds]
        return _changed(await self._people.invite(asked.caller.user_id, _group_id(asked), user_ids))

    async def kick_many(self, asked: Asked) -> MembersChangedAnswer:
        body: MemberIdsBody = asked.body
        user_ids = [_user_id(one, "userIds") for one in body.userIds]
        return _changed(await self._people.kick(asked.caller.user_id, _group_id(asked), user_ids))

    async def kick(self, asked: Asked) -> MembersChangedAnswer:
        user_ids = [_user_id(asked.path["userId"], "userId")]
        return _changed(await self._people.kick(asked.caller.user_id, _group_id(asked), user_ids))

    async def set_role(self, asked: Asked) -> GroupAnswer:
        body: RoleBody = asked.body
        user_id = _user_id(asked.path["userId"], "userId")
        role = ADMIN if body.role == "admin" else MEMBER
        change = await self._manage.set_role(asked.caller.user_id, _group_id(asked), user_id, role)
        return _group(Standing(change.group, OWNER))

    async def leave(self, asked: Asked) -> Done:
        await self._people.leave(asked.caller.user_id, _group_id(asked))
        return Done()

    async def transfer(self, asked: Asked) -> GroupAnswer:
        body: TransferBody = asked.body
        user_id = _user_id(body.userId, "userId")
        await self._manage.transfer(asked.caller.user_id, _group_id(asked), user_id)
        return _group(await self._standing(asked))

    async def _standing(self, asked: Asked) -> Standing:
        standing = await self._memberships.standing(_group_id(asked), asked.caller.user_id)
        if standing is None:
            raise Forbidden(UNKNOWN)
        return standing


def _group_id(asked: Asked) -> str:
    conversation_id = asked.path["id"]
    if not is_id(conversation_id):
        raise Forbidden(UNKNOWN)
    return conversation_id


def _user_id(text: str, field: str) -> int:
    # isdigit alone would take other scripts' digits, and int() far longer numbers than an id has.
    if not (text.isascii() and text.isdigit() and len(text) <= 19) or not 0 < int(text) <= _MAX_ID:
        raise PayloadInvalid(f"{field} is no user id", field=field)
    return int(text)


def _limit(asked: Asked, most: int) -> int:
    text = asked.query.get("limit", str(most))
    if not (text.isascii() and text.isdigit() and len(text) <= 4) or not 1 <= int(text) <= most:
        raise PayloadInvalid(f"limit must be 1 to {most}", field="limit")
    return int(text)


def _group(standing: Standing) -> GroupAnswer:
    group = standing.group
    return GroupAnswer(
        group.conversation_id,
        group.title,
        group.member_count,
        group.version,
        _ROLE_NAMES[standing.role],
        group.created_at_ms,
    )


def _changed(change: Change) -> MembersChangedAnswer:
    return MembersChangedAnswer(
        [str(user_id) for user_id in change.user_ids], change.group.member_count, change.group.version
    )


def _conversation(one: Conversation) -> ConversationAnswer:
    return ConversationAnswer(
        one.conversation_id,
        "direct" if one.kind == DIRECT else "group",
        one.title,
        one.member_count,
        str(one.peer_user_id) if one.peer_user_id else "",
    )
