"""People of a world, by name, and what they do to each other over REST."""

from __future__ import annotations

from typing import Any

from tests.business.world import Reply, World


class Somebody:
    """One user on one device."""

    def __init__(self, world: World, handle: str) -> None:
        session = world.register(handle)
        self._world = world
        self.session = session
        self.handle = handle
        self.id = int(session["userId"])
        self.token = str(session["token"])

    def call(self, method: str, path: str, body: Any = None) -> Reply:
        return self._world.call(method, path, body, token=self.token)

    def does(self, method: str, path: str, body: Any = None) -> Any:
        """The answer to what must succeed."""
        reply = self.call(method, path, body)
        assert reply.status < 300, reply
        return reply.json

    def refused(self, method: str, path: str, body: Any = None) -> tuple[int, str, str]:
        """Status, reason and field of what must fail."""
        reply = self.call(method, path, body)
        assert reply.status >= 400, reply
        error = reply.json["error"]
        return reply.status, error["reason"], error["field"]

    def asks(self, other: Somebody, message: str = "") -> str:
        body = {"userId": str(other.id), "message": message}
        return str(self.does("POST", "/friend-requests", body)["state"])

    def accepts(self, other: Somebody) -> str:
        return str(self.does("POST", f"/friend-requests/{other.id}/accept")["state"])

    def blocks(self, other: Somebody) -> None:
        self.does("PUT", f"/blocks/{other.id}")

    def befriends(self, other: Somebody) -> None:
        self.asks(other)
        other.accepts(self)

    def opens(self, other: Somebody) -> str:
        body = {"userId": str(other.id)}
        return str(self.does("POST", "/conversations/direct", body)["conversationId"])

    def friends(self, since: str = "") -> Any:
        """The friend list since then, all pages of it."""
        told: dict[str, Any] = {"friends": {}, "removed": set(), "groups": None, "full": False}
        while True:
            page = self.does("GET", f"/friends?limit=2&since={since}")
            told["full"] = told["full"] or page["full"]
            for one in page["friends"]:
                told["friends"][int(one["userId"])] = one
            told["removed"] |= {int(one) for one in page["removed"]}
            if page["groups"] is not None:
                told["groups"] = [one["name"] for one in page["groups"]]
            since = told["version"] = page["version"]
            if not page["more"]:
                return told

    def open_requests(self, direction: str = "in") -> list[tuple[int, str]]:
        page = self.does("GET", f"/friend-requests?direction={direction}")
        return [(int(one["user"]["userId"]), one["state"]) for one in page["requests"]]


def people(world: World, *handles: str) -> list[Somebody]:
    """They register."""
    return [Somebody(world, handle) for handle in handles]
