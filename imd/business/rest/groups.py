"""The operations about conversations: 1:1 ones, groups, and who is in them."""

from __future__ import annotations

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
    Conversation,
    Standing,
)
from imd.business.groups.people import GroupPeople
from imd.business.groups.ports import Memberships
from imd.business.groups.wanted import Wanted
from imd.business.rest.bodies import (
    ConversationAnswer,
    ConversationsAnswer,
    DirectAnswer,
    DirectBody,
    Done,
    UserAnswer,
)
from imd.business.rest.group_bodies import (
    GroupAnswer,
    GroupChangeBody,
    MemberIdsBody,
    MembersAnswer,
    MembersChangedAnswer,
    NewGroupBody,
    RoleBody,
    TransferBody,
)
from imd.business.rest.group_parts import (
    AFTER,
    GROUP_ID,
    KINDS,
    LIMIT,
    POLICIES,
    USER_ID,
    after_conversation,
    after_user,
    changed_answer,
    conversation_id_of,
    group_answer,
    limit_of,
    member_answer,
    user_id_of,
    user_ids_of,
)
from imd.business.rest.operation import Asked, Operation
from imd.kernel.errors import Forbidden, PayloadInvalid


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
            Operation("PATCH", one, "changeGroup", "Change title and rules of a group; owner and admins",
                      self.change, GroupAnswer, body=GroupChangeBody, path_parameters=group),
            Operation("DELETE", one, "dissolveGroup", "End a group; the owner",
                      self.dissolve, Done, path_parameters=group),
            Operation("GET", members, "members", "Who is in a group", self.members, MembersAnswer,
                      path_parameters=group, query_parameters=(AFTER, LIMIT)),
            Operation("POST", members, "addMembers", "Add people, all or none; owner and admins",
                      self.add, MembersChangedAnswer, body=MemberIdsBody, path_parameters=group),
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
            peer = await self._profiles.of(asked.caller, user_id_of(body.userId or "", "userId"))
        conversation_id = await self._open_direct(asked.caller.user_id, peer.user_id)
        return DirectAnswer(conversation_id, UserAnswer(str(peer.user_id), peer.handle, peer.display_name))

    async def conversations(self, asked: Asked) -> ConversationsAnswer:
        limit = limit_of(asked, CONVERSATIONS_PER_PAGE)
        found = await self._memberships.conversations_of(
            asked.caller.user_id, after=after_conversation(asked), limit=limit + 1
        )
        page = [_conversation(one) for one in found[:limit]]
        return ConversationsAnswer(page, page[-1].conversationId if len(found) > limit else "")

    async def create(self, asked: Asked) -> GroupAnswer:
        body: NewGroupBody = asked.body
        member_ids = user_ids_of(body.memberIds, "memberIds")
        change = await self._manage.create(
            asked.caller.user_id, body.title, member_ids, wanted=Wanted(kind=KINDS[body.kind])
        )
        return group_answer(Standing(change.group, OWNER))

    async def group(self, asked: Asked) -> GroupAnswer:
        return group_answer(await self._standing(asked))

    async def change(self, asked: Asked) -> GroupAnswer:
        body: GroupChangeBody = asked.body
        wanted = Wanted(
            title=body.title,
            join_policy=None if body.joinPolicy is None else POLICIES[body.joinPolicy],
            question=body.question,
            answer=body.answer,
            members_invite=body.membersInvite,
            consent=body.consent,
            history_from_join=None if body.history is None else body.history == "from_join",
        )
        await self._manage.change(asked.caller.user_id, conversation_id_of(asked), wanted)
        return group_answer(await self._standing(asked))

    async def dissolve(self, asked: Asked) -> Done:
        await self._manage.dissolve(asked.caller.user_id, conversation_id_of(asked))
        return Done()

    async def members(self, asked: Asked) -> MembersAnswer:
        standing = await self._standing(asked)
        after, limit = after_user(asked), limit_of(asked, MEMBERS_PER_PAGE)
        found = await self._memberships.members(standing.group.conversation_id, after=after, limit=limit + 1)
        page = [member_answer(one) for one in found[:limit]]
        return MembersAnswer(page, page[-1].userId if len(found) > limit else "")

    async def add(self, asked: Asked) -> MembersChangedAnswer:
        body: MemberIdsBody = asked.body
        user_ids = user_ids_of(body.userIds)
        change = await self._people.add(asked.caller.user_id, conversation_id_of(asked), user_ids)
        return changed_answer(change)

    async def kick_many(self, asked: Asked) -> MembersChangedAnswer:
        body: MemberIdsBody = asked.body
        user_ids = user_ids_of(body.userIds)
        change = await self._people.kick(asked.caller.user_id, conversation_id_of(asked), user_ids)
        return changed_answer(change)

    async def kick(self, asked: Asked) -> MembersChangedAnswer:
        user_ids = [user_id_of(asked.path["userId"], "userId")]
        change = await self._people.kick(asked.caller.user_id, conversation_id_of(asked), user_ids)
        return changed_answer(change)

    async def set_role(self, asked: Asked) -> GroupAnswer:
        body: RoleBody = asked.body
        user_id = user_id_of(asked.path["userId"], "userId")
        role = ADMIN if body.role == "admin" else MEMBER
        change = await self._manage.set_role(asked.caller.user_id, conversation_id_of(asked), user_id, role)
        return group_answer(Standing(change.group, OWNER))

    async def leave(self, asked: Asked) -> Done:
        await self._people.leave(asked.caller.user_id, conversation_id_of(asked))
        return Done()

    async def transfer(self, asked: Asked) -> GroupAnswer:
        body: TransferBody = asked.body
        user_id = user_id_of(body.userId, "userId")
        await self._manage.transfer(asked.caller.user_id, conversation_id_of(asked), user_id)
        return group_answer(await self._standing(asked))

    async def _standing(self, asked: Asked) -> Standing:
        standing = await self._memberships.standing(conversation_id_of(asked), asked.caller.user_id)
        if standing is None:
            raise Forbidden(UNKNOWN)
        return standing


def _conversation(one: Conversation) -> ConversationAnswer:
    return ConversationAnswer(
        one.conversation_id,
        "direct" if one.kind == DIRECT else "group",
        one.title,
        one.member_count,
        str(one.peer_user_id) if one.peer_user_id else "",
        bool(one.do_not_disturb),
        bool(one.pinned),
    )
