"""Every operation about people once, for whoever holds answers against their description."""

from __future__ import annotations

from typing import Any, Protocol

from tests.business.world import OPERATOR_TOKEN, PASSWORD, Reply


class Driver(Protocol):
    """Calls operations and checks what they answer."""

    def drive(
        self, method: str, path: str, body: Any = None, *, token: str = "", query: str = "", **names: str
    ) -> Reply: ...

    def enter(self, handle: str) -> tuple[str, str]: ...


def drive_people(driver: Driver) -> None:
    """All of them, each accepted."""
    (_, olga), (paul_id, paul) = driver.enter("olga"), driver.enter("paul")
    _profiles(driver, olga, paul_id)
    _friends(driver, olga, paul, paul_id)
    _blocks(driver, olga, paul_id)
    _operators(driver, paul_id)
    driver.drive("DELETE", "/me", {"password": PASSWORD}, token=olga)


def _profiles(driver: Driver, token: str, other_id: str) -> None:
    profile = {"displayName": "Olga", "about": "at sea", "avatarUrl": "https://img.example.com/o.png"}
    driver.drive("PATCH", "/me", profile, token=token)
    driver.drive("GET", "/me/privacy", token=token)
    driver.drive("PATCH", "/me/privacy", {"messageFrom": "friends", "findable": False}, token=token)
    driver.drive("GET", "/devices", token=token)
    driver.drive("DELETE", "/devices/{deviceId}", token=token, deviceId="tablet")
    driver.drive("GET", "/users", token=token, query=f"?ids={other_id}")
    driver.drive("GET", "/search/users", token=token, query="?prefix=pau")


def _friends(driver: Driver, asking: str, asked: str, asked_id: str) -> None:
    body, user = {"userId": asked_id, "message": "hello"}, {"userId": asked_id}
    driver.drive("POST", "/friend-requests", body, token=asking)
    (request,) = driver.drive("GET", "/friend-requests", token=asked).json["requests"]
    asking_id = request["user"]["userId"]
    driver.drive("POST", "/friend-requests/{userId}/refuse", token=asked, userId=asking_id)
    driver.drive("POST", "/friend-requests", {"userId": asking_id}, token=asked)
    driver.drive("DELETE", "/friend-requests/{userId}", token=asked, userId=asking_id)
    driver.drive("POST", "/friend-requests", {"userId": asking_id}, token=asked)
    driver.drive("POST", "/friend-requests/{userId}/accept", token=asking, **user)
    group = driver.drive("POST", "/friend-groups", {"name": "Work"}, token=asking).json
    named = {"friendGroupId": group["friendGroupId"]}
    driver.drive("PATCH", "/friends/{userId}", {"remark": "P.", **named}, token=asking, **user)
    driver.drive("GET", "/friends", token=asking, query="?limit=10")
    driver.drive("PATCH", "/friend-groups/{friendGroupId}", {"position": 0}, token=asking, **named)
    driver.drive("DELETE", "/friend-groups/{friendGroupId}", token=asking, **named)
    driver.drive("DELETE", "/friends/{userId}", token=asking, **user)


def _blocks(driver: Driver, token: str, other_id: str) -> None:
    driver.drive("PUT", "/blocks/{userId}", token=token, userId=other_id)
    driver.drive("GET", "/blocks", token=token, query="?limit=1")
    driver.drive("DELETE", "/blocks/{userId}", token=token, userId=other_id)


def _operators(driver: Driver, user_id: str) -> None:
    state = "/operator/accounts/{userId}/state"
    driver.drive("PUT", state, {"state": "frozen", "reason": "spam"}, token=OPERATOR_TOKEN, userId=user_id)
    driver.drive("GET", state, token=OPERATOR_TOKEN, userId=user_id)
    level = "/operator/accounts/{userId}/level"
    driver.drive("PUT", level, {"level": 3}, token=OPERATOR_TOKEN, userId=user_id)
    driver.drive("GET", "/operator/device-bans", token=OPERATOR_TOKEN, query="?limit=5")
    driver.drive("DELETE", "/operator/device-bans/{deviceId}", token=OPERATOR_TOKEN, deviceId="tablet")
    _, token = driver.enter("quinn")
    driver.drive("DELETE", "/devices", token=token)
