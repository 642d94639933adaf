"""The operations about order in a conversation: who is in it, who may do what, who is mute, who is kept out.

Below /conv they take every conversation, as clients know it (spec 3.3); in a 1:1 one there is nothing to keep order
of, and nobody to do it.
"""

from __future__ import annotations

from imd.business.groups.details import GroupDetails
from imd.business.groups.model import (
    BLACKLIST_PER_PAGE,
    MEMBERS_PER_PAGE,
    UNKNOWN,
    Own,
    Standing,
    Wishes,
)
from imd.business.groups.ports import Memberships
from imd.business.groups.restrict import RestrictPeople
from imd.business.permission.rights import DIRECT_RIGHTS, Right, rights_of
from imd.business.rest.bodies import Done
from imd.business.rest.group_bodies import (
    AnnouncementBody,
    BarredAnswer,
    BlacklistAnswer,
    BlacklistBody,
    GroupAnswer,
    MembersAnswer,
    MembersChangedAnswer,
    MemberTitleBody,
    MuteBody,
    OwnAnswer,
    OwnRoleAnswer,
    RightName,
    UserIdsAnswer,
    WishesBody,
)
from imd.business.rest.group_parts import (
    AFTER,
    CONVERSATION_ID,
    GROUP_ID,
    LIMIT,
    ROLE_NAMES,
    USER_ID,
    after_user,
    changed_answer,
    conversation_id_of,
    group_answer,
    limit_of,
    member_answer,
    user_id_of,
    user_ids_of,
    user_name,
)
from imd.business.rest.operation import Asked, Operation
from imd.kernel.errors import Forbidden, PayloadInvalid

_RIGHT_NAMES: dict[Right, RightName] = {
    Right.MESSAGE: "message",
    Right.MEDIA: "media",
    Right.CONTROL: "control",
    Right.INVITE: "invite",
    Right.MUTE: "mute",
    Right.RECALL_OTHERS: "recall_others",
    Right.MANAGE: "manage",
}


class OrderApi:
    """Bodies in, use cases, answers out."""

    def __init__(self, *, details: GroupDetails, restrict: RestrictPeople, memberships: Memberships) -> None:
        self._details = details
        self._restrict = restrict
        self._memberships = memberships

    def operations(self) -> list[Operation]:
        """All of them."""
        conversation, group, page = (CONVERSATION_ID,), (GROUP_ID,), (AFTER, LIMIT)
        one, announcement = "/groups/{id}", "/groups/{id}/announcement"
        conv = "/conv/{id}"
        return [
            Operation("GET", conv + "/members", "conversationMembers", "Who is in a conversation",
                      self.members, MembersAnswer, path_parameters=conversation, query_parameters=page),
            Operation("GET", conv + "/role/me", "myRole", "What the caller may do in a conversation",
                      self.role, OwnRoleAnswer, path_parameters=conversation),
            Operation("POST", conv + "/mute", "mute", "Mute, or unmute, members or everybody; owner and admins",
                      self.mute, MembersChangedAnswer, body=MuteBody, path_parameters=conversation),
            Operation("POST", conv + "/blacklist", "blacklist", "Keep people out of a group; owner and admins",
                      self.bar, UserIdsAnswer, body=BlacklistBody, path_parameters=conversation),
            Operation("GET", conv + "/blacklist", "blacklisted", "Who is kept out; owner and admins",
                      self.barred, BlacklistAnswer, path_parameters=conversation, query_parameters=page),
            Operation("DELETE", conv + "/blacklist/{userId}", "unblacklist", "Keep somebody out no more",
                      self.unbar, Done, path_parameters=(CONVERSATION_ID, USER_ID)),
            Operation("PUT", one + "/members/{userId}/title", "setMemberTitle", "What a member is called; owner and admins",
                      self.set_title, Done, body=MemberTitleBody, path_parameters=(GROUP_ID, USER_ID)),
            Operation("PUT", announcement, "announce", "Say what everybody should know; owner and admins",
                      self.announce, GroupAnswer, body=AnnouncementBody, path_parameters=group),
            Operation("DELETE", announcement, "unannounce", "Take the announcement away; owner and admins",
                      self.unannounce, GroupAnswer, path_parameters=group),
            Operation("GET", one + "/me", "ownMembership", "The caller in a group, and what they want for themselves",
                      self.own, OwnAnswer, path_parameters=group),
            Operation("PATCH", one + "/me", "changeOwnMembership", "Nickname, do not disturb, pinned",
                      self.wish, OwnAnswer, body=WishesBody, path_parameters=group),
        ]  # fmt: skip

    async def members(self, asked: Asked) -> MembersAnswer:
        conversation_id, after = conversation_id_of(asked), after_user(asked)
        limit = limit_of(asked, MEMBERS_PER_PAGE)
        user_id = asked.caller.user_id
        found = await self._memberships.pair(conversation_id)
        if found:
            if user_id not in {one.user_id for one in found}:
                raise Forbidden(UNKNOWN)
            return MembersAnswer([member_answer(one) for one in found if one.user_id > after][:limit], "")
        if await self._memberships.standing(conversation_id, user_id) is None:
            raise Forbidden(UNKNOWN)
        found = await self._memberships.members(conversation_id, after=after, limit=limit + 1)
        page = [member_answer(one) for one in found[:limit]]
        return MembersAnswer(page, page[-1].userId if len(found) > limit else "")

    async def role(self, asked: Asked) -> OwnRoleAnswer:
        conversation_id, user_id = conversation_id_of(asked), asked.caller.user_id
        pair = await self._memberships.pair(conversation_id)
        if user_id in {one.user_id for one in pair}:
            return OwnRoleAnswer(conversation_id, "member", _names(DIRECT_RIGHTS), 0, 0)
        own = await self._details.own(user_id, conversation_id)
        group, role = own.standing
        return OwnRoleAnswer(
            conversation_id,
            ROLE_NAMES[role],
            _names(rights_of(group, role)),
            own.muted_until_ms,
            group.all_muted_until_ms,
        )

    async def mute(self, asked: Asked) -> MembersChangedAnswer:
        body: MuteBody = asked.body
        if bool(body.userIds) == body.everybody:
            raise PayloadInvalid("give userIds or everybody, one of the two", field="userIds")
        conversation_id = await self._group_of(asked)
        if body.everybody:
            change = await self._restrict.mute_all(asked.caller.user_id, conversation_id, body.seconds)
            return changed_answer(change._replace(user_ids=()))
        user_ids = user_ids_of(body.userIds)
        return changed_answer(
            await self._restrict.mute(asked.caller.user_id, conversation_id, user_ids, body.seconds)
        )

    async def bar(self, asked: Asked) -> UserIdsAnswer:
        body: BlacklistBody = asked.body
        user_ids = user_ids_of(body.userIds)
        conversation_id = await self._group_of(asked)
        barred = await self._restrict.bar(asked.caller.user_id, conversation_id, user_ids, body.reason)
        return UserIdsAnswer([str(user_id) for user_id in barred])

    async def barred(self, asked: Asked) -> BlacklistAnswer:
        after, limit = after_user(asked), limit_of(asked, BLACKLIST_PER_PAGE)
        conversation_id = await self._group_of(asked)
        found = await self._restrict.barred(
            asked.caller.user_id, conversation_id, after=after, limit=limit + 1
        )
        page = [
            BarredAnswer(str(one.user_id), user_name(one.by_user_id), one.reason, one.at_ms)
            for one in found[:limit]
        ]
        return BlacklistAnswer(page, page[-1].userId if len(found) > limit else "")

    async def unbar(self, asked: Asked) -> Done:
        user_id = user_id_of(asked.path["userId"], "userId")
        await self._restrict.unbar(asked.caller.user_id, await self._group_of(asked), user_id)
        return Done()

    async def set_title(self, asked: Asked) -> Done:
        body: MemberTitleBody = asked.body
        user_id = user_id_of(asked.path["userId"], "userId")
        await self._details.set_title(asked.caller.user_id, conversation_id_of(asked), user_id, body.title)
        return Done()

    async def announce(self, asked: Asked) -> GroupAnswer:
        body: AnnouncementBody = asked.body
        return await self._announced(asked, body.text)

    async def unannounce(self, asked: Asked) -> GroupAnswer:
        return await self._announced(asked, "")

    async def own(self, asked: Asked) -> OwnAnswer:
        return _own(await self._details.own(asked.caller.user_id, conversation_id_of(asked)))

    async def wish(self, asked: Asked) -> OwnAnswer:
        body: WishesBody = asked.body
        wishes = Wishes(body.nickname, body.doNotDisturb, body.pinned)
        return _own(await self._details.wish(asked.caller.user_id, conversation_id_of(asked), wishes))

    async def _announced(self, asked: Asked, text: str) -> GroupAnswer:
        conversation_id, user_id = conversation_id_of(asked), asked.caller.user_id
        change = await self._details.announce(user_id, conversation_id, text)
        standing = await self._memberships.standing(conversation_id, user_id)
        return group_answer(Standing(change.group, standing.role if standing is not None else 0))

    async def _group_of(self, asked: Asked) -> str:
        """The group in the path; in a 1:1 conversation the answer names what it is, to those two."""
        conversation_id = conversation_id_of(asked)
        pair = await self._memberships.pair(conversation_id)
        if asked.caller.user_id in {one.user_id for one in pair}:
            raise Forbidden("this is no group: block the other one instead", reason="no_group")
        return conversation_id


def _names(rights: Right) -> list[RightName]:
    return [name for right, name in _RIGHT_NAMES.items() if right & rights]


def _own(own: Own) -> OwnAnswer:
    return OwnAnswer(
        own.standing.group.conversation_id,
        ROLE_NAMES[own.standing.role],
        own.nickname,
        own.title,
        own.muted_until_ms,
        own.do_not_disturb,
        own.pinned,
        own.visible_from_seq,
    )
