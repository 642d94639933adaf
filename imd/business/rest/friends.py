"""The operations about friends, requests for friendship, friend groups and blocks."""

from __future__ import annotations

from msgspec import UNSET

from imd.business.relations.befriend import AskFriends, FriendLists
from imd.business.relations.block import BlockPeople
from imd.business.relations.model import PER_PAGE, Asking
from imd.business.relations.ports import Friend, FriendGroup, OpenRequest
from imd.business.rest.bodies import Done, UserAnswer
from imd.business.rest.operation import Asked, Operation, Parameter
from imd.business.rest.parameters import (
    AFTER_ID,
    USER_ID,
    after_id,
    limit_of,
    limit_parameter,
    number_id,
    user_id_of,
)
from imd.business.rest.people_bodies import (
    BlockedAnswer,
    BlocksAnswer,
    FriendAnswer,
    FriendBody,
    FriendGroupAnswer,
    FriendGroupBody,
    FriendGroupChangeBody,
    FriendRequest,
    FriendRequestAnswer,
    FriendRequestBody,
    FriendRequestsAnswer,
    FriendsAnswer,
)
from imd.kernel.errors import PayloadInvalid

SINCE = Parameter(
    "since", {"type": "string"}, "The ``version`` of the answer before; without it: everything."
)
DIRECTION = Parameter(
    "direction",
    {"type": "string", "enum": ["in", "out"]},
    "in: those that wait for the caller; out: the caller's own.",
)
FRIEND_GROUP_ID = Parameter("friendGroupId", {"type": "string"}, "A friend group's id.")
LIMIT = limit_parameter(PER_PAGE)


class FriendApi:
    """Bodies in, use cases, answers out."""

    def __init__(self, *, asking: AskFriends, friends: FriendLists, blocks: BlockPeople) -> None:
        self._asking = asking
        self._friends = friends
        self._blocks = blocks

    def operations(self) -> list[Operation]:
        """All of them."""
        return [*self._friend_operations(), *self._request_operations(), *self._block_operations()]

    def _friend_operations(self) -> list[Operation]:
        user, group = (USER_ID,), (FRIEND_GROUP_ID,)
        one, groups = "/friends/{userId}", "/friend-groups"
        return [
            Operation("GET", "/friends", "friends", "What changed in the friend list",
                      self.since, FriendsAnswer, query_parameters=(SINCE, LIMIT)),
            Operation("PATCH", one, "describeFriend", "A private name for a friend, and their friend group",
                      self.describe, Done, body=FriendBody, path_parameters=user),
            Operation("DELETE", one, "removeFriend", "No friends any more, on both sides",
                      self.part, Done, path_parameters=user),
            Operation("POST", groups, "addFriendGroup", "One more friend group, at the end",
                      self.add_group, FriendGroupAnswer, body=FriendGroupBody, status=201),
            Operation("PATCH", groups + "/{friendGroupId}", "changeFriendGroup", "Rename or move a friend group",
                      self.change_group, Done, body=FriendGroupChangeBody, path_parameters=group),
            Operation("DELETE", groups + "/{friendGroupId}", "removeFriendGroup", "Its friends are in none then",
                      self.remove_group, Done, path_parameters=group),
        ]  # fmt: skip

    def _request_operations(self) -> list[Operation]:
        user, requests = (USER_ID,), "/friend-requests"
        return [
            Operation("GET", requests, "friendRequests", "Who asks, or what became of what was asked",
                      self.requests, FriendRequestsAnswer, query_parameters=(DIRECTION, AFTER_ID, LIMIT)),
            Operation("POST", requests, "askFriend", "Ask somebody; whoever asked the caller before is a friend then",
                      self.ask, FriendRequestAnswer, body=FriendRequestBody),
            Operation("POST", requests + "/{userId}/accept", "acceptFriend", "Yes to somebody who asks",
                      self.accept, FriendRequestAnswer, path_parameters=user),
            Operation("POST", requests + "/{userId}/refuse", "refuseFriend", "No to somebody who asks",
                      self.refuse, FriendRequestAnswer, path_parameters=user),
            Operation("DELETE", requests + "/{userId}", "cancelFriendRequest", "Take back what was asked",
                      self.cancel, FriendRequestAnswer, path_parameters=user),
        ]  # fmt: skip

    def _block_operations(self) -> list[Operation]:
        user = (USER_ID,)
        return [
            Operation("GET", "/blocks", "blocks", "Whom the caller has blocked",
                      self.blocks, BlocksAnswer, query_parameters=(AFTER_ID, LIMIT)),
            Operation("PUT", "/blocks/{userId}", "block", "Neither hears of the other",
                      self.block, Done, path_parameters=user),
            Operation("DELETE", "/blocks/{userId}", "liftBlock", "As before",
                      self.lift, Done, path_parameters=user),
        ]  # fmt: skip

    async def since(self, asked: Asked) -> FriendsAnswer:
        page = await self._friends.since(
            asked.caller.user_id, asked.query.get("since", ""), limit=limit_of(asked, PER_PAGE)
        )
        return FriendsAnswer(
            str(page.place),
            page.full,
            [_friend(one) for one in page.friends if not one.ended],
            [str(one.user_id) for one in page.friends if one.ended],
            page.more,
            None if page.groups is None else [_group(one) for one in page.groups],
        )

    async def describe(self, asked: Asked) -> Done:
        body: FriendBody = asked.body
        await self._friends.describe(
            asked.caller.user_id,
            user_id_of(asked),
            remark=None if body.remark is UNSET else body.remark,
            friend_group_id=None if body.friendGroupId is UNSET else _group_id(body.friendGroupId),
        )
        return Done()

    async def part(self, asked: Asked) -> Done:
        await self._friends.part(asked.caller.user_id, user_id_of(asked))
        return Done()

    async def add_group(self, asked: Asked) -> FriendGroupAnswer:
        body: FriendGroupBody = asked.body
        return _group(await self._friends.add_group(asked.caller.user_id, body.name))

    async def change_group(self, asked: Asked) -> Done:
        body: FriendGroupChangeBody = asked.body
        await self._friends.change_group(
            asked.caller.user_id,
            number_id(asked.path["friendGroupId"], "friendGroupId"),
            name=None if body.name is UNSET else body.name,
            position=None if body.position is UNSET else body.position,
        )
        return Done()

    async def remove_group(self, asked: Asked) -> Done:
        group_id = number_id(asked.path["friendGroupId"], "friendGroupId")
        await self._friends.remove_group(asked.caller.user_id, group_id)
        return Done()

    async def requests(self, asked: Asked) -> FriendRequestsAnswer:
        direction = asked.query.get("direction", "in")
        if direction not in ("in", "out"):
            raise PayloadInvalid("direction is in or out", field="direction")
        limit = limit_of(asked, PER_PAGE)
        listed = self._asking.incoming if direction == "in" else self._asking.outgoing
        found = await listed(asked.caller.user_id, after=after_id(asked), limit=limit + 1)
        page = [_request(one, asked.caller.user_id) for one in found[:limit]]
        return FriendRequestsAnswer(page, page[-1].user.userId if len(found) > limit else "")

    async def ask(self, asked: Asked) -> FriendRequestAnswer:
        body: FriendRequestBody = asked.body
        to_user = number_id(body.userId, "userId")
        return _state(await self._asking.ask(asked.caller.user_id, to_user, body.message))

    async def accept(self, asked: Asked) -> FriendRequestAnswer:
        return _state(await self._asking.accept(asked.caller.user_id, user_id_of(asked)))

    async def refuse(self, asked: Asked) -> FriendRequestAnswer:
        return _state(await self._asking.refuse(asked.caller.user_id, user_id_of(asked)))

    async def cancel(self, asked: Asked) -> FriendRequestAnswer:
        return _state(await self._asking.cancel(asked.caller.user_id, user_id_of(asked)))

    async def blocks(self, asked: Asked) -> BlocksAnswer:
        limit = limit_of(asked, PER_PAGE)
        found = await self._blocks.page(asked.caller.user_id, after=after_id(asked), limit=limit + 1)
        page = [
            BlockedAnswer(str(one.user_id), one.handle, one.display_name, one.since_ms)
            for one in found[:limit]
        ]
        return BlocksAnswer(page, page[-1].userId if len(found) > limit else "")

    async def block(self, asked: Asked) -> Done:
        await self._blocks.block(asked.caller.user_id, user_id_of(asked))
        return Done()

    async def lift(self, asked: Asked) -> Done:
        await self._blocks.lift(asked.caller.user_id, user_id_of(asked))
        return Done()


def _group_id(text: str) -> int:
    return 0 if text == "0" else number_id(text, "friendGroupId")


def _friend(one: Friend) -> FriendAnswer:
    return FriendAnswer(
        str(one.user_id),
        one.handle,
        one.display_name,
        one.avatar_url,
        one.remark,
        str(one.friend_group_id),
        one.since_ms,
    )


def _group(one: FriendGroup) -> FriendGroupAnswer:
    return FriendGroupAnswer(str(one.group_id), one.name)


def _state(state: Asking) -> FriendRequestAnswer:
    return FriendRequestAnswer(state.name.lower())  # type: ignore[arg-type]


def _request(one: OpenRequest, user_id: int) -> FriendRequest:
    request = one.request
    other_id = request.from_user if request.to_user == user_id else request.to_user
    return FriendRequest(
        UserAnswer(str(other_id), one.handle, one.display_name, avatarUrl=one.avatar_url),
        request.state.name.lower(),  # type: ignore[arg-type]
        request.message,
        request.created_at_ms,
        request.decided_at_ms,
    )
