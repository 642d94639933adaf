"""The REST API of a server, as far as clients need it: accounts, tokens, people and groups.

Every call has a time-out and a bound on the answer, and raises the ImError of the server's code,
``NotFound``, or ``Unreachable``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import treq
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from imd.client.errors import Unreachable
from imd.client.groups import GroupCalls
from imd.client.people import PeopleCalls
from imd.kernel.clocks import WallClock
from imd.kernel.errors import Code, ImError, error_for_code
from imd.kernel.timeouts import with_timeout

#: A password hash takes 0.1 s; logins may queue.
TIMEOUT_S = 20.0
#: The longest answer, a page of members, has some 150 KB.
MAX_ANSWER_BYTES = 1024 * 1024
#: People that the server takes at once (spec 25.5).
MEMBERS_PER_REQUEST = 1_000
#: A token is refreshed when less of it is left; the server allows it from 15 min on.
REFRESH_BELOW_MS = 12 * 60 * 1000
#: Requests for the token that follow one another so closely are one start or one reconnect.
SAME_OCCASION_MS = 20_000


class NotFound(ImError):
    """There is nobody, or nothing, of that name."""

    code = Code.FORBIDDEN


class Login(NamedTuple):
    """A device's login."""

    user_id: int
    handle: str
    display_name: str
    device_id: str
    token: str
    expires_at_ms: int
    refresh_after_ms: int
    login_expires_at_ms: int

    def __repr__(self) -> str:
        return f"Login({self.user_id}, {self.handle!r}, {self.device_id!r})"


class Person(NamedTuple):
    """Somebody."""

    user_id: int
    handle: str
    display_name: str


class Direct(NamedTuple):
    """The 1:1 conversation with somebody."""

    conversation_id: str
    peer: Person


class GroupInfo(NamedTuple):
    """A group the caller is in; ``role`` is the caller's: member, admin or owner."""

    conversation_id: str
    title: str
    member_count: int
    role: str


class GroupMember(NamedTuple):
    """Somebody in a group."""

    person: Person
    role: str


class Gateway(NamedTuple):
    """Where to connect; empty addresses are not there."""

    tcp: str
    tls: str
    ws: str


@implementer(IBodyProducer)
class Body:
    """A small body, written at once; Twisted's own would use the global reactor to write it in pieces."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.length = len(content)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._content)
        return succeed(None)

    def pauseProducing(self) -> None:
        """It is over already."""

    def resumeProducing(self) -> None:
        """It is over already."""

    def stopProducing(self) -> None:
        """It is over already."""


class RestClient:
    """One server; ``token`` is sent with what needs one and may be replaced at any time."""

    def __init__(self, *, server: str, reactor: Any, token: str = "", agent: Any = None) -> None:
        """``server`` is http://host:port or https://host:port; ``agent`` replaces the network in tests."""
        parts = urlsplit(server)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{server!r} is not http://host:port or https://host:port")
        self._base = server.rstrip("/") + "/api/v1"
        self._reactor = reactor
        self._pool = HTTPConnectionPool(reactor, persistent=agent is None)
        self._http = HTTPClient(agent or Agent(reactor, connectTimeout=10, pool=self._pool))
        self.token = token
        #: Of groups what is more than having them.
        self.groups = GroupCalls(self._call)
        #: Profiles, privacy, devices, friends, blocks.
        self.people = PeopleCalls(self._call)

    async def close(self) -> None:
        """Close what is kept open."""
        await self._pool.closeCachedConnections()

    # Accounts.

    async def register(
        self, handle: str, password: str, *, device_id: str, display_name: str = "", platform: str = ""
    ) -> Login:
        """Make an account and log in."""
        body = {
            "handle": handle,
            "password": password,
            "deviceId": device_id,
            "displayName": display_name,
            "platform": platform,
        }
        return self._login(await self._call("POST", "/register", body))

    async def login(self, handle: str, password: str, *, device_id: str, platform: str = "") -> Login:
        """A token for this device; ends an older login of the same device."""
        body = {"handle": handle, "password": password, "deviceId": device_id, "platform": platform}
        return self._login(await self._call("POST", "/login", body))

    async def refresh(self) -> Login:
        """A new token for the one that soon runs out."""
        return self._login(await self._call("POST", "/refresh"))

    async def logout(self, *, everywhere: bool = False) -> None:
        """End this device's login, or all."""
        await self._call("POST", "/logout", {"everywhere": everywhere})

    async def sign_out_others(self) -> Login:
        """End all other logins; this device goes on with a new token."""
        return self._login(await self._call("DELETE", "/devices"))

    async def change_password(self, old: str, new: str) -> Login:
        """Ends all other logins."""
        body = {"oldPassword": old, "newPassword": new}
        return self._login(await self._call("POST", "/password", body))

    async def me(self) -> dict[str, Any]:
        """The caller's profile and devices, as JSON."""
        return await self._call("GET", "/me")

    async def find_user(self, handle: str) -> Person:
        """Somebody to write to."""
        return _person(await self._call("GET", f"/users/{quote(handle, safe='')}"))

    async def gateways(
        self, *, device_id: str = "", zone: str = "", version: str = ""
    ) -> tuple[list[Gateway], float]:
        """Where to connect, the best first, and for how many seconds this holds. Needs no token."""
        labels = {"device": device_id, "zone": zone, "version": version}
        query = urlencode({name: label for name, label in labels.items() if label})
        answer = await self._call("GET", "/gateways" + ("?" + query if query else ""))
        found = [Gateway(one["tcp"], one["tls"], one["ws"]) for one in answer["gateways"]]
        return found, float(answer["ttlS"])

    # Conversations.

    async def open_direct(self, *, handle: str = "", user_id: int = 0) -> Direct:
        """The 1:1 conversation with somebody, made if need be."""
        body = {"handle": handle} if handle else {"userId": str(user_id)}
        answer = await self._call("POST", "/conversations/direct", body)
        return Direct(answer["conversationId"], _person(answer["peer"]))

    async def create_group(self, title: str, member_ids: Sequence[int] = ()) -> GroupInfo:
        """A group owned by the caller; a large one is filled piece by piece."""
        first = list(map(str, member_ids[:MEMBERS_PER_REQUEST]))
        group = _group(await self._call("POST", "/groups", {"title": title, "memberIds": first}))
        if len(member_ids) > MEMBERS_PER_REQUEST:
            await self.invite(group.conversation_id, member_ids[MEMBERS_PER_REQUEST:])
        return group

    async def group(self, group_id: str) -> GroupInfo:
        """A group the caller is in."""
        return _group(await self._call("GET", _group_path(group_id)))

    async def rename_group(self, group_id: str, title: str) -> GroupInfo:
        """Owner and admins."""
        return _group(await self._call("PATCH", _group_path(group_id), {"title": title}))

    async def dissolve_group(self, group_id: str) -> None:
        """The owner."""
        await self._call("DELETE", _group_path(group_id))

    async def members(self, group_id: str) -> list[GroupMember]:
        """All of them, page by page."""
        found: list[GroupMember] = []
        after = ""
        while True:
            query = "?" + urlencode({"after": after}) if after else ""
            page = await self._call("GET", f"{_group_path(group_id)}/members{query}")
            found.extend(GroupMember(_person(one), one["role"]) for one in page["members"])
            after = page["next"]
            if not after:
                return found

    async def invite(self, group_id: str, user_ids: Sequence[int]) -> list[int]:
        """Those who were not in it yet."""
        added: list[int] = []
        for start in range(0, len(user_ids), MEMBERS_PER_REQUEST):
            body = {"userIds": list(map(str, user_ids[start : start + MEMBERS_PER_REQUEST]))}
            answer = await self._call("POST", f"{_group_path(group_id)}/members", body)
            added += [int(user_id) for user_id in answer["userIds"]]
        return added

    async def kick(self, group_id: str, user_id: int) -> None:
        """Remove somebody below the caller."""
        await self._call("DELETE", f"{_group_path(group_id)}/members/{user_id}")

    async def set_role(self, group_id: str, user_id: int, role: str) -> None:
        """``admin`` or ``member``; the owner."""
        await self._call("PUT", f"{_group_path(group_id)}/members/{user_id}/role", {"role": role})

    async def leave(self, group_id: str) -> None:
        """The last one ends it."""
        await self._call("POST", f"{_group_path(group_id)}/leave")

    async def transfer(self, group_id: str, user_id: int) -> None:
        """Give it to another member; the owner."""
        await self._call("POST", f"{_group_path(group_id)}/transfer", {"userId": str(user_id)})

    # The wire.

    def _login(self, answer: dict[str, Any]) -> Login:
        login = Login(
            int(answer["userId"]),
            answer["handle"],
            answer["displayName"],
            answer["deviceId"],
            answer["token"],
            answer["expiresAt"],
            answer["refreshAfter"],
            answer["loginExpiresAt"],
        )
        self.token = login.token
        return login

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            status, answer = await with_timeout(
                self._exchange(method, path, body), timeout_s=TIMEOUT_S, clock=self._reactor
            )
        except (ImError, CancelledError):
            raise
        except Exception as error:
            raise Unreachable(f"{self._base}: {_reason(error)}") from error
        if 200 <= status < 300:
            return answer
        raise _problem(status, answer)

    async def _exchange(
        self, method: str, path: str, body: dict[str, Any] | None
    ) -> tuple[int, dict[str, Any]]:
        headers: dict[bytes | str, bytes | str] = {"Accept": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        data: Body | None = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = Body(json.dumps(body).encode())
        response = await self._http.request(method, self._base + path, headers=headers, data=data)
        received = bytearray()

        def collect(part: bytes) -> None:
            received.extend(part)
            if len(received) > MAX_ANSWER_BYTES:
                raise Unreachable(f"the answer has more than {MAX_ANSWER_BYTES} bytes")

        await treq.collect(response, collect)
        try:
            answer = json.loads(bytes(received) or b"{}")
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise Unreachable(f"{self._base} answers {response.code} without JSON: is this the server?")
        return response.code, answer


class RefreshingToken:
    """A token source that refreshes by REST when little is left, and tells each new login to ``keep``.

    This machine's clock may be wrong, so it alone never decides: whoever asks a second time, later,
    gets a try, and only the server's word that it is too early keeps from the next one. While the
    REST API is away the old token is given; whether it is still good is for the server to say.
    """

    def __init__(self, *, rest: RestClient, login: Login, wall_clock: WallClock, keep: Any = None) -> None:
        self._rest = rest
        self._login = login
        self._wall_clock = wall_clock
        self._keep = keep
        self._asked_ms: int | None = None
        self._refused_ms = 0
        self._pause_ms = 0

    async def __call__(self) -> str:
        """The token that is good for longest; AuthFailed if the login has ended."""
        login = self._login
        now_ms = self._wall_clock()
        due_ms = max(login.refresh_after_ms, login.expires_at_ms - REFRESH_BELOW_MS)
        again = self._asked_ms is not None and not 0 <= now_ms - self._asked_ms < SAME_OCCASION_MS
        self._asked_ms = now_ms
        if (due_ms <= now_ms or again) and not 0 <= now_ms - self._refused_ms < self._pause_ms:
            await self._refresh(now_ms)
        return self._login.token

    async def _refresh(self, now_ms: int) -> None:
        self._rest.token = self._login.token
        try:
            self._login = await self._rest.refresh()
        except ImError as error:
            if not error.retryable:
                raise
            self._refused_ms, self._pause_ms = now_ms, error.retry_after_ms
            return
        self._asked_ms = None
        if self._keep is not None:
            self._keep(self._login)


def _person(answer: dict[str, Any]) -> Person:
    return Person(int(answer["userId"]), answer["handle"], answer["displayName"])


def _group(answer: dict[str, Any]) -> GroupInfo:
    return GroupInfo(answer["conversationId"], answer["title"], answer["memberCount"], answer["role"])


def _group_path(group_id: str) -> str:
    return f"/groups/{quote(group_id, safe='')}"


def _problem(status: int, answer: dict[str, Any]) -> ImError:
    detail = answer.get("error")
    if not isinstance(detail, dict):
        return Unreachable(f"HTTP {status} without a reason: is this the server?")
    message = str(detail.get("message") or f"HTTP {status}")
    if status == 404:
        return NotFound(message)
    return error_for_code(
        int(detail.get("code") or Code.INTERNAL_ERROR),
        message,
        field=str(detail.get("field") or ""),
        retry_after_ms=int(detail.get("retryAfterMs") or 0),
        reason=str(detail.get("reason") or ""),
    )


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
