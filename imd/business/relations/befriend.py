"""Use cases: ask for friendship, answer, take back, part, and put one's friends in order.

Here and in ``block``: the change is committed, then it is told. In doubt whether it was done it is told as well:
whoever cached the old state looks again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from imd.business.relations.doubt import told_if_in_doubt
from imd.business.relations.model import Asking, check_group_name, check_message, check_remark
from imd.business.relations.ports import (
    Announcements,
    FriendGroup,
    FriendPage,
    Friends,
    OpenRequest,
    Outcome,
    Requests,
)
from imd.business.relations.synced import parse_place
from imd.kernel.attempts import Attempts
from imd.kernel.clocks import WallClock
from imd.kernel.errors import PayloadInvalid
from imd.kernel.ids import Snowflake


class AskFriends:
    """Requests for friendship, from both sides."""

    def __init__(
        self, *, requests: Requests, announcements: Announcements, wall_clock: WallClock, asking: Attempts
    ) -> None:
        self._requests = requests
        self._announcements = announcements
        self._wall_clock = wall_clock
        self._asking = asking

    async def ask(self, user_id: int, to_user: int, message: str) -> Asking:
        """What the request is then; counted, for each one costs somebody else's attention."""
        message = check_message(message)
        if user_id == to_user:
            raise PayloadInvalid("nobody is their own friend", field="userId")
        self._asking.check(str(user_id))
        return await self._done(
            user_id, to_user, self._requests.ask(user_id, to_user, message, self._wall_clock())
        )

    async def accept(self, user_id: int, from_user: int) -> Asking:
        return await self._done(
            user_id, from_user, self._requests.accept(user_id, from_user, self._wall_clock())
        )

    async def refuse(self, user_id: int, from_user: int) -> Asking:
        return (await self._requests.refuse(user_id, from_user, self._wall_clock())).state

    async def cancel(self, user_id: int, to_user: int) -> Asking:
        return (await self._requests.cancel(user_id, to_user, self._wall_clock())).state

    async def incoming(self, user_id: int, *, after: int, limit: int) -> Sequence[OpenRequest]:
        return await self._requests.incoming(user_id, after=after, limit=limit, now_ms=self._wall_clock())

    async def outgoing(self, user_id: int, *, after: int, limit: int) -> Sequence[OpenRequest]:
        return await self._requests.outgoing(user_id, after=after, limit=limit, now_ms=self._wall_clock())

    async def _done(self, user_id: int, other_id: int, change: Awaitable[Outcome]) -> Asking:
        outcome = await told_if_in_doubt(self._announcements, user_id, other_id, change)
        if outcome.state is Asking.ACCEPTED:
            await self._announcements.relations_changed(outcome.changed, restricted=False)
        return outcome.state


class FriendLists:
    """A user's friends, as they keep them."""

    def __init__(
        self, *, friends: Friends, announcements: Announcements, ids: Snowflake, wall_clock: WallClock
    ) -> None:
        self._friends = friends
        self._announcements = announcements
        self._ids = ids
        self._wall_clock = wall_clock

    async def since(self, user_id: int, place: str, *, limit: int) -> FriendPage:
        """What a device does not know yet that has read up to this place."""
        return await self._friends.page(user_id, parse_place(place), limit=limit)

    async def part(self, user_id: int, friend_id: int) -> None:
        """No friends any more, on neither side."""
        change = self._friends.part(user_id, friend_id, self._wall_clock())
        changed = await told_if_in_doubt(self._announcements, user_id, friend_id, change)
        await self._announcements.relations_changed(changed, restricted=True)
        await self._announcements.sight_changed(user_id, (friend_id,))

    async def describe(
        self, user_id: int, friend_id: int, *, remark: str | None, friend_group_id: int | None
    ) -> None:
        """A name that only the user sees, and a group of theirs; None leaves what it is."""
        if remark is not None:
            remark = check_remark(remark)
        await self._friends.describe(user_id, friend_id, remark=remark, friend_group_id=friend_group_id)

    async def add_group(self, user_id: int, name: str) -> FriendGroup:
        group = FriendGroup(self._ids.next(), check_group_name(name))
        await self._friends.add_group(user_id, group.group_id, group.name)
        return group

    async def change_group(
        self, user_id: int, group_id: int, *, name: str | None, position: int | None
    ) -> None:
        if name is not None:
            name = check_group_name(name)
        await self._friends.change_group(user_id, group_id, name=name, position=position)

    async def remove_group(self, user_id: int, group_id: int) -> None:
        await self._friends.remove_group(user_id, group_id)
