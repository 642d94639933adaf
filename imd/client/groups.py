"""What a server's REST API offers about groups beyond having them: doors, invitations, order, details.

Reached as ``RestClient.groups``; failures are the same as there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

#: Method, path, body; see ``RestClient``.
Call = Callable[[str, str, dict[str, Any] | None], Awaitable[dict[str, Any]]]


class Door(NamedTuple):
    """A group that one can join by oneself, from outside; ``policy`` is open, question or approval."""

    conversation_id: str
    title: str
    member_count: int
    kind: str
    policy: str
    question: str


class Application(NamedTuple):
    """Somebody who wants in; ``state`` is pending, approved, refused, cancelled or expired."""

    conversation_id: str
    group_title: str
    user_id: int
    handle: str
    message: str
    state: str


class Invitation(NamedTuple):
    """A group into which the caller is asked; by 0: an operator."""

    conversation_id: str
    group_title: str
    by_user_id: int
    message: str
    state: str


class OwnRole(NamedTuple):
    """The caller in a conversation; mutes end at milliseconds since 1970."""

    role: str
    rights: frozenset[str]
    muted_until_ms: int
    all_muted_until_ms: int


class OwnMembership(NamedTuple):
    """The caller in a group, and what they want for themselves."""

    role: str
    nickname: str
    title: str
    do_not_disturb: bool
    pinned: bool
    visible_from: int


class GroupCalls:
    """One method an operation; ``group_id`` is the conversation's."""

    def __init__(self, call: Call) -> None:
        self._call = call

    # Getting in.

    async def door(self, group_id: str) -> Door:
        """What one sees from outside."""
        found = await self._call("GET", f"{_group(group_id)}/door", None)
        return Door(
            found["conversationId"],
            found["title"],
            found["memberCount"],
            found["kind"],
            found["joinPolicy"],
            found["question"],
        )

    async def join(self, group_id: str, *, answer: str = "", message: str = "") -> bool:
        """Whether one is in; else an admin has to say yes."""
        body = {"answer": answer, "message": message}
        return _joined(await self._call("POST", f"{_group(group_id)}/join", body))

    async def applications(self, group_id: str) -> list[Application]:
        """Who waits to be let in; for those who manage the group."""
        return await self._applications(f"{_group(group_id)}/applications")

    async def my_applications(self) -> list[Application]:
        """Of the caller, settled ones too for a while."""
        return await self._applications("/me/applications")

    async def approve(self, group_id: str, user_id: int) -> None:
        """Let somebody in."""
        await self._call("POST", f"{_group(group_id)}/applications/{user_id}/approve", None)

    async def refuse(self, group_id: str, user_id: int) -> None:
        """Let somebody not in."""
        await self._call("POST", f"{_group(group_id)}/applications/{user_id}/refuse", None)

    async def cancel(self, group_id: str) -> None:
        """Take the caller's application back."""
        await self._call("DELETE", f"/me/applications/{_quoted(group_id)}", None)

    async def ask_in(self, group_id: str, user_ids: Sequence[int], *, message: str = "") -> list[int]:
        """Those who were not asked, and not in it, yet."""
        body = {"userIds": list(map(str, user_ids)), "message": message}
        answer = await self._call("POST", f"{_group(group_id)}/invitations", body)
        return [int(user_id) for user_id in answer["userIds"]]

    async def my_invitations(self) -> list[Invitation]:
        """Of the caller, settled ones too for a while."""
        return [
            Invitation(
                one["conversationId"],
                one["groupTitle"],
                int(one["byUserId"] or 0),
                one["message"],
                one["state"],
            )
            for one in await self._pages("/me/invitations", "invitations")
        ]

    async def accept(self, group_id: str) -> bool:
        """Whether one is in; else an admin has to say yes as well."""
        return _joined(await self._call("POST", f"/me/invitations/{_quoted(group_id)}/accept", None))

    async def decline(self, group_id: str) -> None:
        """Do not come."""
        await self._call("POST", f"/me/invitations/{_quoted(group_id)}/refuse", None)

    # Order.

    async def change(self, group_id: str, **rules: Any) -> dict[str, Any]:
        """title, joinPolicy, question and answer, membersInvite, consent, history; the group as it is now, as JSON."""
        return await self._call("PATCH", _group(group_id), rules)

    async def role(self, conversation_id: str) -> OwnRole:
        """What the caller may do, in a group or a 1:1 conversation."""
        found = await self._call("GET", f"/conv/{_quoted(conversation_id)}/role/me", None)
        return OwnRole(found["role"], frozenset(found["rights"]), found["mutedUntil"], found["allMutedUntil"])

    async def mute(self, group_id: str, user_ids: Sequence[int], *, seconds: int | None = None) -> None:
        """Members below the caller; 0 lifts it, None: until it is lifted."""
        await self._mute(group_id, {"userIds": list(map(str, user_ids))}, seconds)

    async def mute_all(self, group_id: str, *, seconds: int | None = None) -> None:
        """Everybody below admin."""
        await self._mute(group_id, {"everybody": True}, seconds)

    async def keep_out(self, group_id: str, user_ids: Sequence[int], *, reason: str = "") -> list[int]:
        """Those who were not kept out before; who of them was in it is not any more."""
        body = {"userIds": list(map(str, user_ids)), "reason": reason}
        answer = await self._call("POST", f"/conv/{_quoted(group_id)}/blacklist", body)
        return [int(user_id) for user_id in answer["userIds"]]

    async def kept_out(self, group_id: str) -> list[int]:
        """Who is kept out; for those who manage the group."""
        found = await self._pages(f"/conv/{_quoted(group_id)}/blacklist", "blacklist")
        return [int(one["userId"]) for one in found]

    async def keep_out_no_more(self, group_id: str, user_id: int) -> None:
        """They may come in as anybody may."""
        await self._call("DELETE", f"/conv/{_quoted(group_id)}/blacklist/{user_id}", None)

    # Details.

    async def set_title(self, group_id: str, user_id: int, title: str) -> None:
        """What a member is called; empty: nothing."""
        await self._call("PUT", f"{_group(group_id)}/members/{user_id}/title", {"title": title})

    async def announce(self, group_id: str, text: str) -> None:
        """What everybody should know; empty takes it away."""
        path = f"{_group(group_id)}/announcement"
        if text:
            await self._call("PUT", path, {"text": text})
        else:
            await self._call("DELETE", path, None)

    async def own(self, group_id: str) -> OwnMembership:
        """The caller in a group."""
        return _own(await self._call("GET", f"{_group(group_id)}/me", None))

    async def wish(
        self,
        group_id: str,
        *,
        nickname: str | None = None,
        do_not_disturb: bool | None = None,
        pinned: bool | None = None,
    ) -> OwnMembership:
        """None: as it is."""
        wishes = {"nickname": nickname, "doNotDisturb": do_not_disturb, "pinned": pinned}
        body = {name: wish for name, wish in wishes.items() if wish is not None}
        return _own(await self._call("PATCH", f"{_group(group_id)}/me", body))

    async def _mute(self, group_id: str, body: dict[str, Any], seconds: int | None) -> None:
        if seconds is not None:
            body["seconds"] = seconds
        await self._call("POST", f"/conv/{_quoted(group_id)}/mute", body)

    async def _applications(self, path: str) -> list[Application]:
        return [
            Application(
                one["conversationId"],
                one["groupTitle"],
                int(one["userId"]),
                one["handle"],
                one["message"],
                one["state"],
            )
            for one in await self._pages(path, "applications")
        ]

    async def _pages(self, path: str, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            query = "?" + urlencode({"after": after}) if after else ""
            page = await self._call("GET", path + query, None)
            found += page[name]
            after = page["next"]
            if not after:
                return found


def _quoted(conversation_id: str) -> str:
    return quote(conversation_id, safe="")


def _group(group_id: str) -> str:
    return f"/groups/{_quoted(group_id)}"


def _joined(answer: dict[str, Any]) -> bool:
    return bool(answer["state"] == "joined")


def _own(found: dict[str, Any]) -> OwnMembership:
    return OwnMembership(
        found["role"],
        found["nickname"],
        found["title"],
        found["doNotDisturb"],
        found["pinned"],
        found["visibleFrom"],
    )
