"""The REST calls, against a scripted resource in memory."""

from __future__ import annotations

import json
from typing import Any

from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from imd.client.errors import Unreachable
from imd.client.rest import MAX_ANSWER_BYTES, TIMEOUT_S, Login, NotFound, RefreshingToken, RestClient
from imd.kernel.errors import AuthFailed, PayloadInvalid, RateLimited
from tests.client.scripted import run

LOGIN = {
    "userId": "9007199254740993",
    "handle": "alice",
    "displayName": "Alice",
    "deviceId": "d",
    "token": "fresh",
    "expiresAt": 3_600_000,
    "refreshAfter": 2_700_000,
    "loginExpiresAt": 9_000_000,
}


class Scripted(Resource):
    """Answers every request with the next thing of a list; remembers what was asked."""

    isLeaf = True

    def __init__(self, *answers: tuple[int, Any]) -> None:
        super().__init__()
        self.answers = list(answers)
        self.asked: list[tuple[str, str, Any, str | None]] = []

    def render(self, request: Request) -> Any:
        assert request.content is not None
        body = request.content.read()
        self.asked.append(
            (
                request.method.decode(),
                request.uri.decode(),
                json.loads(body) if body else None,
                request.getHeader("authorization"),
            )
        )
        status, answer = self.answers.pop(0)
        if answer is None:
            return NOT_DONE_YET
        request.setResponseCode(status)
        return answer if isinstance(answer, bytes) else json.dumps(answer).encode()


class RestTests(SynchronousTestCase):
    """One call at a time."""

    def ask(self, *answers: tuple[int, Any], token: str = "") -> RestClient:
        self.resource = Scripted(*answers)
        self.agent = RequestTraversalAgent(self.resource)
        self.clock = Clock()
        return RestClient(server="http://s:1/", reactor=self.clock, token=token, agent=self.agent)

    def result(self, call: Any) -> Any:
        running: Deferred[Any] = run(call)
        self.agent.flush()
        return self.successResultOf(running)

    def refusal(self, kind: type[Exception], call: Any) -> Any:
        running: Deferred[Any] = run(call)
        self.agent.flush()
        return self.failureResultOf(running, kind).value

    def test_login(self) -> None:
        """A login is kept: its token goes with what is asked next; ids survive as whole numbers."""
        rest = self.ask((200, LOGIN), (200, {"userId": "5", "handle": "bob", "displayName": "B"}))
        login = self.result(rest.login("alice", "secret", device_id="d"))
        self.assertEqual(login.user_id, 9007199254740993)
        self.assertEqual(self.result(rest.find_user("b/b")).user_id, 5)
        self.assertEqual(self.resource.asked[0][:2], ("POST", "/api/v1/login"))
        self.assertEqual(self.resource.asked[1], ("GET", "/api/v1/users/b%2Fb", None, "Bearer fresh"))

    def test_refusals(self) -> None:
        """Refusals come as the errors of their codes; a 404 as NotFound."""
        busy = {"error": {"code": 1005, "message": "slow", "retryAfterMs": 900}}
        rest = self.ask(
            (429, busy),
            (400, {"error": {"code": 1007, "message": "short", "field": "password"}}),
            (404, {"error": {"code": 1003, "message": "nobody"}}),
            (401, {"error": {"code": 1001, "message": "expired"}}),
        )
        self.assertEqual(self.refusal(RateLimited, rest.me()).retry_after_ms, 900)
        self.assertEqual(self.refusal(PayloadInvalid, rest.me()).field, "password")
        self.refusal(NotFound, rest.me())
        self.refusal(AuthFailed, rest.me())

    def test_not_the_server(self) -> None:
        """An answer that is not ours, or has no end, is no answer."""
        rest = self.ask((200, b"<html>"), (502, b"{}"), (200, b" " * (MAX_ANSWER_BYTES + 1)))
        self.assertIn("without JSON", self.refusal(Unreachable, rest.me()).message)
        self.refusal(Unreachable, rest.me())
        self.refusal(Unreachable, rest.me())

    def test_silence(self) -> None:
        """A server that does not answer is given up after the time-out."""
        rest = self.ask((200, None))
        asking = run(rest.me())
        self.agent.flush()
        self.clock.advance(TIMEOUT_S)
        self.failureResultOf(asking, Unreachable)

    def test_members(self) -> None:
        """All pages of a group's members."""

        def page(number: int, after: str) -> dict[str, Any]:
            one = {"userId": str(number), "handle": f"h{number}", "displayName": "", "role": "member"}
            return {"members": [one], "next": after}

        rest = self.ask((200, page(1, "1")), (200, page(2, "")))
        self.assertEqual([m.person.user_id for m in self.result(rest.members("g_1"))], [1, 2])
        self.assertTrue(self.resource.asked[1][1].endswith("/groups/g_1/members?after=1"))

    def test_refreshing_token(self) -> None:
        """A token is refreshed once it is due, not before, and the new login is kept."""
        rest = self.ask((200, LOGIN | {"token": "newer", "expiresAt": 9_000_000, "refreshAfter": 8_000_000}))
        now_ms = [1_000]
        kept: list[Login] = []
        old = Login(1, "alice", "", "d", "old", 3_600_000, 2_700_000, 9_000_000)
        tokens = RefreshingToken(rest=rest, login=old, wall_clock=lambda: now_ms[0], keep=kept.append)
        self.assertEqual(self.result(tokens()), "old")
        now_ms[0] = 3_000_000
        self.assertEqual(self.result(tokens()), "newer")
        self.assertEqual(self.result(tokens()), "newer")
        self.assertEqual([login.token for login in kept], ["newer"])
        self.assertEqual(len(self.resource.asked), 1)

    def test_clock_ahead(self) -> None:
        """A clock that is hours ahead asks in vain once, is told how long to wait, and keeps to it."""
        early = {"error": {"code": 1005, "message": "too early", "retryAfterMs": 2_000_000}}
        rest = self.ask((429, early))
        now_ms = [50_000_000]
        old = Login(1, "alice", "", "d", "old", 3_600_000, 2_700_000, 9_000_000)
        tokens = RefreshingToken(rest=rest, login=old, wall_clock=lambda: now_ms[0])
        for _ in range(3):
            self.assertEqual(self.result(tokens()), "old")
            now_ms[0] += 60_000
        self.assertEqual(len(self.resource.asked), 1)

    def test_clock_behind(self) -> None:
        """A clock that is hours behind does not keep the token from being refreshed when it is wanted."""
        rest = self.ask((200, LOGIN | {"token": "newer"}))
        now_ms = [1_000]
        old = Login(1, "alice", "", "d", "old", 53_600_000, 52_700_000, 99_000_000)
        tokens = RefreshingToken(rest=rest, login=old, wall_clock=lambda: now_ms[0])
        self.assertEqual(self.result(tokens()), "old")
        self.assertEqual(self.result(tokens()), "old")
        now_ms[0] += 3_000_000
        self.assertEqual(self.result(tokens()), "newer")

    def test_no_rest(self) -> None:
        """While the REST API is away, the old token is as good as it ever was."""
        rest = self.ask((502, b"{}"))
        old = Login(1, "alice", "", "d", "old", 3_600_000, 2_700_000, 9_000_000)
        tokens = RefreshingToken(rest=rest, login=old, wall_clock=lambda: 3_000_000)
        self.assertEqual(self.result(tokens()), "old")
