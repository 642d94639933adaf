"""People for a server that is already running: registered through its REST interface."""

from __future__ import annotations

import http.client
import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from imd.client.load.crowd import ConversationWish, Crowd, CrowdWish, Person
from imd.kernel.errors import StartupError

#: The server hashes passwords in a small pool; more at once only wait.
_AT_ONCE: Final = 4
_TIMEOUT_S: Final = 60.0
_API: Final = "/api/v1"
_DEVICE: Final = "bench"
_MEMBERS_PER_REQUEST: Final = 500


class RestSeeder:
    """Registers everybody anew, with bounded concurrency; about ten a second."""

    def __init__(self, *, address: tuple[str, int]) -> None:
        self._address = address
        self._run = secrets.token_hex(5)

    def seed(self, wish: CrowdWish) -> Crowd:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            people = list(pool.map(self._register, range(wish.users)))
            names = list(pool.map(lambda one: self._converse(one, people), wish.conversations))
        return Crowd(people, names)

    def _register(self, index: int) -> Person:
        session = self._post(
            "/register",
            {
                "handle": f"bench_{self._run}_{index}",
                "password": secrets.token_urlsafe(16),
                "deviceId": _DEVICE,
                "platform": "bot",
            },
        )
        return Person(int(session["userId"]), session["token"], _DEVICE)

    def _converse(self, wish: ConversationWish, people: list[Person]) -> str:
        first, *others = (people[member] for member in wish.members)
        ids = [str(other.user_id) for other in others]
        if wish.kind == "p2p":
            return str(self._post("/conversations/direct", {"userId": ids[0]}, first.token)["conversationId"])
        body = {"title": "Bench", "memberIds": ids[:_MEMBERS_PER_REQUEST]}
        name = str(self._post("/groups", body, first.token)["conversationId"])
        for start in range(_MEMBERS_PER_REQUEST, len(ids), _MEMBERS_PER_REQUEST):
            more = {"userIds": ids[start : start + _MEMBERS_PER_REQUEST]}
            self._post(f"/groups/{name}/members", more, first.token)
        return name

    def _post(self, path: str, body: object, token: str = "") -> Any:
        connection = http.client.HTTPConnection(*self._address, timeout=_TIMEOUT_S)
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            connection.request("POST", _API + path, json.dumps(body), headers)
            answer = connection.getresponse()
            data = answer.read()
        except OSError as error:
            raise StartupError(f"POST {path} at {self._address}: {error}") from None
        finally:
            connection.close()
        if answer.status not in (200, 201):
            hint = (
                "; raise limits.registrations_per_hour_per_ip, or give --tokens"
                if answer.status == 429
                else ""
            )
            raise StartupError(
                f"POST {path} answers {answer.status}: {data[:300].decode(errors='replace')}{hint}"
            )
        return json.loads(data)
