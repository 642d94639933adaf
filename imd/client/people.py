"""People over REST: profiles, privacy, devices, friends, blocks; and a friend list that is kept up to date.

Reached as ``RestClient.people``; failures are the same as there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

#: Method, path, body; see ``RestClient``.
Call = Callable[[str, str, dict[str, Any] | None], Awaitable[dict[str, Any]]]

#: The server tells no more in one answer.
_IDS_PER_REQUEST = 100


class Profile(NamedTuple):
    """Somebody, with what they say of themselves."""

    user_id: int
    handle: str
    display_name: str
    about: str = ""
    avatar_url: str = ""


class Device(NamedTuple):
    """A device on which the caller is logged in."""

    device_id: str
    platform: str
    logged_in_at_ms: int
    refreshed_at_ms: int
    is_this_one: bool


class Friend(NamedTuple):
    """Somebody in a friend list. Group 0: none."""

    user_id: int
    handle: str
    display_name: str
    avatar_url: str
    remark: str
    group_id: int
    since_ms: int


class FriendGroup(NamedTuple):
    """A named part of a friend list."""

    group_id: int
    name: str


class FriendRequest(NamedTuple):
    """A request for friendship; ``user`` is the other one."""

    user: Profile
    state: str
    message: str


class PeopleCalls:
    """One method an operation."""

    def __init__(self, call: Call) -> None:
        self._call = call

    # Oneself.

    async def edit_profile(self, **words: str) -> Profile:
        """Set ``displayName``, ``about`` or ``avatarUrl``."""
        return _profile(await self._call("PATCH", "/me", dict(words)))

    async def delete_account(self, password: str) -> None:
        """For good."""
        await self._call("DELETE", "/me", {"password": password})

    async def privacy(self) -> dict[str, Any]:
        """``messageFrom``, ``addFrom``, ``presenceTo``, ``findable``."""
        return await self._call("GET", "/me/privacy", None)

    async def set_privacy(self, **changes: Any) -> dict[str, Any]:
        """Set some of them; all as they are then."""
        return await self._call("PATCH", "/me/privacy", changes)

    async def devices(self) -> list[Device]:
        """Where the caller is logged in."""
        answer = await self._call("GET", "/devices", None)
        return [
            Device(one["deviceId"], one["platform"], one["loggedInAt"], one["lastRefreshAt"], one["current"])
            for one in answer["devices"]
        ]

    async def sign_out(self, device_id: str) -> None:
        """End the login of one device."""
        await self._call("DELETE", f"/devices/{quote(device_id, safe='')}", None)

    # Others.

    async def users(self, user_ids: Sequence[int]) -> list[Profile]:
        """Those of them who are there."""
        found: list[Profile] = []
        for start in range(0, len(user_ids), _IDS_PER_REQUEST):
            ids = ",".join(map(str, user_ids[start : start + _IDS_PER_REQUEST]))
            answer = await self._call("GET", f"/users?ids={ids}", None)
            found += [_profile(one) for one in answer["users"]]
        return found

    async def search(self, prefix: str) -> tuple[list[Profile], bool]:
        """Some whose handle begins so, and whether there are more."""
        answer = await self._call("GET", "/search/users?" + urlencode({"prefix": prefix}), None)
        return [_profile(one) for one in answer["users"]], bool(answer["more"])

    async def block(self, user_id: int) -> None:
        """Neither hears of the other."""
        await self._call("PUT", f"/blocks/{user_id}", None)

    async def lift_block(self, user_id: int) -> None:
        """As before."""
        await self._call("DELETE", f"/blocks/{user_id}", None)

    async def blocks(self) -> list[Profile]:
        """All who are blocked."""
        return [_profile(one) for one in await self._all("/blocks", "blocks")]

    # Friends.

    async def ask_friend(self, user_id: int, message: str = "") -> str:
        """``pending``, or ``accepted`` by somebody who had asked."""
        body = {"userId": str(user_id), "message": message}
        return str((await self._call("POST", "/friend-requests", body))["state"])

    async def accept_friend(self, user_id: int) -> None:
        """Yes to somebody who asks."""
        await self._call("POST", f"/friend-requests/{user_id}/accept", None)

    async def refuse_friend(self, user_id: int) -> None:
        """No to somebody who asks."""
        await self._call("POST", f"/friend-requests/{user_id}/refuse", None)

    async def cancel_friend_request(self, user_id: int) -> None:
        """Take back what was asked."""
        await self._call("DELETE", f"/friend-requests/{user_id}", None)

    async def friend_requests(self, *, own: bool = False) -> list[FriendRequest]:
        """Those that wait for the caller, or what the caller asked."""
        direction = "out" if own else "in"
        found = await self._all("/friend-requests", "requests", direction=direction)
        return [FriendRequest(_profile(one["user"]), one["state"], one["message"]) for one in found]

    async def remove_friend(self, user_id: int) -> None:
        """No friends any more, on both sides."""
        await self._call("DELETE", f"/friends/{user_id}", None)

    async def describe_friend(
        self, user_id: int, *, remark: str | None = None, group_id: int | None = None
    ) -> None:
        """A private name, and a friend group; 0: none."""
        changes = {"remark": remark, "friendGroupId": None if group_id is None else str(group_id)}
        await self._call("PATCH", f"/friends/{user_id}", _given(changes))

    async def add_friend_group(self, name: str) -> FriendGroup:
        """One more, at the end."""
        return _group(await self._call("POST", "/friend-groups", {"name": name}))

    async def change_friend_group(
        self, group_id: int, *, name: str | None = None, position: int | None = None
    ) -> None:
        """Another name, another place."""
        changes = _given({"name": name, "position": position})
        await self._call("PATCH", f"/friend-groups/{group_id}", changes)

    async def remove_friend_group(self, group_id: int) -> None:
        """Its friends are in none then."""
        await self._call("DELETE", f"/friend-groups/{group_id}", None)

    def friend_list(self, *, version: str = "", friends: Mapping[int, Friend] | None = None) -> FriendList:
        """The caller's friends, to be kept in step; what was kept of an earlier one goes on from there."""
        return FriendList(self._call, version=version, friends=friends)

    async def _all(self, path: str, name: str, **query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            page = await self._call("GET", f"{path}?{urlencode(query)}" if query else path, None)
            found += page[name]
            if not page["next"]:
                return found
            query["after"] = page["next"]


class FriendList:
    """The caller's friends, as of the last ``sync``; ``version`` may be kept with them for the next start."""

    def __init__(self, call: Call, *, version: str = "", friends: Mapping[int, Friend] | None = None) -> None:
        self._call = call
        self.version = version if friends is not None else ""
        self.friends: dict[int, Friend] = dict(friends or {})
        self.groups: list[FriendGroup] = []

    async def sync(self) -> None:
        """Take in what changed since the last time."""
        more = True
        while more:
            query = "?" + urlencode({"since": self.version}) if self.version else ""
            page = await self._call("GET", f"/friends{query}", None)
            self._take(page)
            self.version, more = page["version"], page["more"]

    def _take(self, page: dict[str, Any]) -> None:
        if page["full"]:
            self.friends.clear()
        for one in page["friends"]:
            friend = _friend(one)
            self.friends[friend.user_id] = friend
        for user_id in page["removed"]:
            self.friends.pop(int(user_id), None)
        if page.get("groups") is not None:
            self.groups = [_group(one) for one in page["groups"]]


def _given(changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if value is not None}


def _profile(answer: dict[str, Any]) -> Profile:
    return Profile(
        int(answer["userId"]),
        answer["handle"],
        answer["displayName"],
        answer.get("about", ""),
        answer.get("avatarUrl", ""),
    )


def _friend(answer: dict[str, Any]) -> Friend:
    return Friend(
        int(answer["userId"]),
        answer["handle"],
        answer["displayName"],
        answer["avatarUrl"],
        answer["remark"],
        int(answer["friendGroupId"]),
        answer["since"],
    )


def _group(answer: dict[str, Any]) -> FriendGroup:
    return FriendGroup(int(answer["friendGroupId"]), answer["name"])
