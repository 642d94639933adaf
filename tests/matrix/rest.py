"""Every operation of the REST API, as whoever has a role tries it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tests.business.world import PASSWORD
from tests.matrix.ground import Person
from tests.matrix.scene import Scene, befriend

#: Makes somebody ready for a cell; may return a thing of theirs.
Prepare = Callable[[Scene, Person], str | None]


class Row(NamedTuple):
    """One operation, or one way to use it. Path and body may name the ids of the scene."""

    method: str
    path: str
    body: Any = None
    #: Which of the ids is replaced by one that does not exist, to compare the answers.
    hides: str = ""
    prepare: Prepare | None = None


def _active(scene: Scene) -> Person | None:
    """Whoever has the role, if they can do anything."""
    return None if scene.role == "frozen" else scene.person


def _asked(scene: Scene, somebody: Person) -> None:
    if me := _active(scene):
        scene.by(somebody, "POST", "/friend-requests", {"userId": str(me.user_id)})


def _ask(scene: Scene, somebody: Person) -> None:
    if me := _active(scene):
        scene.by(me, "POST", "/friend-requests", {"userId": str(somebody.user_id)})


def _befriended(scene: Scene, somebody: Person) -> None:
    if me := _active(scene):
        befriend(scene.ground, me, somebody)


def _blocked(scene: Scene, somebody: Person) -> None:
    if me := _active(scene):
        scene.by(me, "PUT", f"/blocks/{somebody.user_id}")


def _friend_group(scene: Scene, somebody: Person) -> str | None:
    me = _active(scene)
    if me is None:
        return None
    made = scene.by(me, "POST", "/friend-groups", {"name": "Work"})
    return str(
        made.json["groups"][-1]["friendGroupId"] if "groups" in made.json else made.json["friendGroupId"]
    )


def _applied(scene: Scene, somebody: Person) -> None:
    if scene.role != "applicant":
        scene.by(scene.owner, "PATCH", f"/groups/{scene.group}", {"joinPolicy": "approval"})
    scene.by(somebody, "POST", f"/groups/{scene.group}/join", {})


def _barred(scene: Scene, somebody: Person) -> None:
    scene.by(scene.owner, "POST", f"/conv/{scene.group}/blacklist", {"userIds": [str(somebody.user_id)]})


def _open(scene: Scene, somebody: Person) -> None:
    if scene.role not in ("applicant", "invited"):
        scene.by(scene.owner, "PATCH", f"/groups/{scene.group}", {"joinPolicy": "open"})


#: Every row stands for one operation, or for one way to use it, which is told by what is behind the colon.
ROWS: dict[str, Row] = {
    # People
    "register": Row("POST", "/register", {"handle": "{fresh}", "password": PASSWORD, "deviceId": "phone"}),
    "login": Row("POST", "/login", {"handle": "{handle}", "password": PASSWORD, "deviceId": "laptop"}),
    "login:unknown": Row("POST", "/login", {"handle": "{fresh}", "password": PASSWORD, "deviceId": "laptop"}),
    "refresh": Row("POST", "/refresh"),
    "logout": Row("POST", "/logout", {}),
    "changePassword": Row("POST", "/password", {"oldPassword": PASSWORD, "newPassword": "another one"}),
    "me": Row("GET", "/me"),
    "editMe": Row("PATCH", "/me", {"about": "me"}),
    "deleteMe": Row("DELETE", "/me", {"password": PASSWORD}),
    "findUser": Row("GET", "/users/{handle}"),
    "privacy": Row("GET", "/me/privacy"),
    "setPrivacy": Row("PATCH", "/me/privacy", {"findable": False}),
    "devices": Row("GET", "/devices"),
    "signOutOthers": Row("DELETE", "/devices"),
    "signOut": Row("DELETE", "/devices/tablet"),
    "users": Row("GET", "/users?ids={outsider}"),
    "searchUsers": Row("GET", "/search/users?prefix=person"),
    # Friends and blocks
    "friends": Row("GET", "/friends"),
    "describeFriend": Row("PATCH", "/friends/{somebody}", {"remark": "x"}, prepare=_befriended),
    "describeFriend:stranger": Row("PATCH", "/friends/{outsider}", {"remark": "x"}, hides="outsider"),
    "removeFriend": Row("DELETE", "/friends/{somebody}", prepare=_befriended),
    "removeFriend:stranger": Row("DELETE", "/friends/{outsider}", hides="outsider"),
    "addFriendGroup": Row("POST", "/friend-groups", {"name": "Work"}),
    "changeFriendGroup": Row("PATCH", "/friend-groups/{thing}", {"name": "Home"}, prepare=_friend_group),
    "removeFriendGroup": Row("DELETE", "/friend-groups/{thing}", prepare=_friend_group),
    "friendRequests": Row("GET", "/friend-requests?direction=in"),
    "askFriend": Row("POST", "/friend-requests", {"userId": "{peer}"}, hides="peer"),
    "acceptFriend": Row("POST", "/friend-requests/{somebody}/accept", prepare=_asked),
    "acceptFriend:unasked": Row("POST", "/friend-requests/{outsider}/accept", hides="outsider"),
    "refuseFriend": Row("POST", "/friend-requests/{somebody}/refuse", prepare=_asked),
    "refuseFriend:unasked": Row("POST", "/friend-requests/{outsider}/refuse", hides="outsider"),
    "cancelFriendRequest": Row("DELETE", "/friend-requests/{somebody}", prepare=_ask),
    "cancelFriendRequest:unasked": Row("DELETE", "/friend-requests/{outsider}", hides="outsider"),
    "blocks": Row("GET", "/blocks"),
    "block": Row("PUT", "/blocks/{outsider}", hides="outsider"),
    "liftBlock": Row("DELETE", "/blocks/{somebody}", prepare=_blocked),
    "liftBlock:unblocked": Row("DELETE", "/blocks/{outsider}", hides="outsider"),
    # Conversations
    "openDirect": Row("POST", "/conversations/direct", {"userId": "{outsider}"}),
    "openDirect:reserved": Row("POST", "/conversations/direct", {"userId": "{peer}"}, hides="peer"),
    "conversations": Row("GET", "/conversations"),
    "conversationMembers": Row("GET", "/conv/{group}/members", hides="group"),
    "conversationMembers:direct": Row("GET", "/conv/{direct}/members", hides="direct"),
    "myRole": Row("GET", "/conv/{group}/role/me", hides="group"),
    "myRole:direct": Row("GET", "/conv/{direct}/role/me", hides="direct"),
    # Groups
    "createGroup": Row("POST", "/groups", {"title": "Mine", "memberIds": ["{member}"]}),
    "group": Row("GET", "/groups/{group}", hides="group"),
    "changeGroup": Row("PATCH", "/groups/{group}", {"title": "Ours"}, hides="group"),
    "dissolveGroup": Row("DELETE", "/groups/{group}", hides="group"),
    "members": Row("GET", "/groups/{group}/members", hides="group"),
    "addMembers": Row("POST", "/groups/{group}/members", {"userIds": ["{outsider}"]}, hides="group"),
    "kickMany": Row("DELETE", "/groups/{group}/members", {"userIds": ["{member}"]}, hides="group"),
    "kick": Row("DELETE", "/groups/{group}/members/{member}", hides="group"),
    "setRole": Row("PUT", "/groups/{group}/members/{member}/role", {"role": "admin"}, hides="group"),
    "leave": Row("POST", "/groups/{group}/leave", hides="group"),
    "transfer": Row("POST", "/groups/{group}/transfer", {"userId": "{member}"}, hides="group"),
    "setMemberTitle": Row("PUT", "/groups/{group}/members/{member}/title", {"title": "Star"}, hides="group"),
    "announce": Row("PUT", "/groups/{group}/announcement", {"text": "Hear"}, hides="group"),
    "unannounce": Row("DELETE", "/groups/{group}/announcement", hides="group"),
    "ownMembership": Row("GET", "/groups/{group}/me", hides="group"),
    "changeOwnMembership": Row("PATCH", "/groups/{group}/me", {"pinned": True}, hides="group"),
    # How one gets in
    "door": Row("GET", "/groups/{group}/door", hides="group"),
    "joinGroup": Row("POST", "/groups/{group}/join", {}, hides="group"),
    "joinGroup:open": Row("POST", "/groups/{group}/join", {}, hides="group", prepare=_open),
    "applications": Row("GET", "/groups/{group}/applications", hides="group"),
    "approveApplication": Row(
        "POST", "/groups/{group}/applications/{somebody}/approve", hides="group", prepare=_applied
    ),
    "refuseApplication": Row(
        "POST", "/groups/{group}/applications/{somebody}/refuse", hides="group", prepare=_applied
    ),
    "myApplications": Row("GET", "/me/applications"),
    "cancelApplication": Row("DELETE", "/me/applications/{group}", hides="group"),
    "invite": Row("POST", "/groups/{group}/invitations", {"userIds": ["{outsider}"]}, hides="group"),
    "myInvitations": Row("GET", "/me/invitations"),
    "acceptInvitation": Row("POST", "/me/invitations/{group}/accept", hides="group"),
    "refuseInvitation": Row("POST", "/me/invitations/{group}/refuse", hides="group"),
    # Order in a group
    "mute": Row("POST", "/conv/{group}/mute", {"userIds": ["{member}"], "seconds": 60}, hides="group"),
    "mute:everybody": Row("POST", "/conv/{group}/mute", {"everybody": True, "seconds": 60}, hides="group"),
    "mute:direct": Row("POST", "/conv/{direct}/mute", {"userIds": ["{peer}"], "seconds": 60}, hides="direct"),
    "blacklist": Row("POST", "/conv/{group}/blacklist", {"userIds": ["{member}"]}, hides="group"),
    "blacklisted": Row("GET", "/conv/{group}/blacklist", hides="group"),
    "unblacklist": Row("DELETE", "/conv/{group}/blacklist/{somebody}", hides="group", prepare=_barred),
    # Operators
    "accountState": Row("GET", "/operator/accounts/{somebody}/state"),
    "setAccountState": Row(
        "PUT", "/operator/accounts/{somebody}/state", {"state": "frozen", "reason": "spam"}
    ),
    "setAccountLevel": Row("PUT", "/operator/accounts/{somebody}/level", {"level": 3}),
    "deviceBans": Row("GET", "/operator/device-bans"),
    "liftDeviceBan": Row("DELETE", "/operator/device-bans/phone"),
    "operatorCreateGroup": Row("POST", "/operator/groups", {"title": "School", "ownerId": "{member}"}),
    "operatorGroup": Row("GET", "/operator/groups/{group}"),
    "operatorChangeGroup": Row("PATCH", "/operator/groups/{group}", {"sensitive": True}),
    "operatorDissolveGroup": Row("DELETE", "/operator/groups/{group}"),
    "operatorAddMembers": Row("POST", "/operator/groups/{group}/members", {"userIds": ["{outsider}"]}),
    "operatorRemoveMembers": Row("DELETE", "/operator/groups/{group}/members", {"userIds": ["{member}"]}),
    "operatorTransferGroup": Row("POST", "/operator/groups/{group}/transfer", {"userId": "{member}"}),
    "reviews": Row("GET", "/operator/reviews"),
    "review": Row("GET", "/operator/reviews/1"),
    "decideReview": Row("POST", "/operator/reviews/1", {"decision": "approve"}),
    "deadEvents": Row("GET", "/operator/webhooks/dead"),
    "replayEvents": Row("POST", "/operator/webhooks/dead/replay"),
    "replayEvent": Row("POST", "/operator/webhooks/dead/1/replay"),
    "auditEvents": Row("GET", "/operator/audit"),
    "explainMessage": Row("GET", "/operator/explain?message=g_1:1&user={handle}"),
    # For everybody
    "gateways": Row("GET", "/gateways"),
    "openapi": Row("GET", "/openapi.json"),
}
