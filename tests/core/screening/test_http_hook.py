"""The operator's server that judges messages, on a real HTTP stack in memory."""

from __future__ import annotations

import json
from typing import Any

from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from imd.core.screening.http_hook import MAX_WAITING, HttpHook
from imd.core.screening.model import ALLOWED, Action, NoVerdict, Verdict
from imd.hooks.breaker import FAILURES, REST_S, Breaker
from imd.hooks.post import SignedPosts
from imd.hooks.signature import is_signed
from imd.pb.message_pb2 import MediaRef
from tests.core.screening.checks import DRAFT

SECRET = b"0123456789abcdef0123456789abcdef"
NOW_MS = 1_764_000_000_000
CONNECTIONS = 2
TIMEOUT_S = 0.5


class Judge(Resource):
    """Answers with what the test has put down; without anything, when the test says so."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Request] = []
        self.bodies: list[bytes] = []
        self.answer: tuple[int, bytes] | None = (200, b'{"verdict":"allow"}')

    def render_POST(self, request: Request) -> Any:
        assert request.content is not None
        self.requests.append(request)
        self.bodies.append(request.content.read())
        if self.answer is None:
            return NOT_DONE_YET
        request.setResponseCode(self.answer[0])
        return self.answer[1]

    def says(self, **answer: Any) -> None:
        self.answer = (200, json.dumps(answer).encode())


class HookTests(SynchronousTestCase):
    """A question for each message, an answer or none."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.judge = Judge()
        self.agent = RequestTraversalAgent(self.judge)
        self.hook = HttpHook(
            posts=SignedPosts(
                agent=self.agent,
                url="https://judge.example.com/imd?key=1",
                secret=SECRET,
                clock=self.clock,
                wall_clock=lambda: NOW_MS,
                timeout_s=TIMEOUT_S,
                max_answer_bytes=10_000,
            ),
            breaker=Breaker(clock=self.clock),
            connections=CONNECTIONS,
            max_text_bytes=100,
        )

    def asks(self) -> Deferred[Verdict]:
        answer = self.hook.check(DRAFT)
        self.agent.flush()
        return answer

    def verdict(self) -> Verdict:
        return self.successResultOf(self.asks())

    def no_verdict(self, words: str) -> None:
        failure = self.failureResultOf(self.asks(), NoVerdict)
        self.assertIn(words, str(failure.value))

    def test_question(self) -> None:
        """All that is known of the message, as JSON, signed together with the time."""
        self.verdict()
        media = MediaRef(mediaId="m", size=1 << 40)
        self.hook.check(DRAFT._replace(type=2, text="", media=media.SerializeToString()))
        self.agent.flush()
        (request, _), (body, with_media) = self.judge.requests, self.judge.bodies
        self.assertEqual(
            json.loads(body),
            {
                "event": "message.sending",
                "senderId": "7",
                "deviceId": "phone",
                "conversationId": "c",
                "kind": "group",
                "clientMsgId": "m-1",
                "type": "text",
                "text": "what the heck",
                "media": None,
            },
        )
        self.assertEqual(json.loads(with_media)["media"], {"mediaId": "m", "size": 1 << 40})
        timestamp = request.getHeader("X-Imd-Timestamp") or ""
        self.assertEqual(timestamp, str(NOW_MS // 1000))
        signature = request.getHeader("X-Imd-Signature") or ""
        self.assertTrue(is_signed(SECRET, timestamp, signature, body))
        self.assertFalse(is_signed(SECRET, timestamp, signature, body + b" "))
        self.assertFalse(is_signed(SECRET, str(NOW_MS // 1000 + 1), signature, body))

    def test_verdicts(self) -> None:
        """Each of the four answers; what else is in them does not matter."""
        self.assertEqual(self.verdict(), ALLOWED)
        self.judge.says(verdict="replace", text="what the ****", confidence=0.9)
        self.assertEqual(self.verdict(), Verdict(Action.REPLACE, text="what the ****"))
        self.judge.says(verdict="refuse", reason="tone", text="not looked at")
        self.assertEqual(self.verdict(), Verdict(Action.REFUSE, reason="tone"))
        self.judge.says(verdict="review", reason="x" * 1000)
        self.assertEqual(self.verdict(), Verdict(Action.REVIEW, reason="x" * 64))

    def test_no_verdicts(self) -> None:
        """Errors, redirects and nonsense are no verdict."""
        for status, body, words in (
            (500, b"", "500"),
            (302, b"", "302"),
            (404, b'{"verdict":"allow"}', "404"),
            (200, b"", "no verdict"),
        ):
            self.judge.answer = (status, body)
            self.no_verdict(words)
        self.setUp()
        for body in (b'{"verdict":"maybe"}', b"[" * 5_000, b"\xff"):
            self.judge.answer = (200, body)
            self.no_verdict("no verdict")
        self.setUp()
        self.judge.answer = (200, b" " * 20_000)
        self.no_verdict("longer than")

    def test_bad_texts(self) -> None:
        """A text in place of another must be there, and not too long."""
        for text in ("", "x" * 101):
            self.judge.says(verdict="replace", text=text)
            self.no_verdict("empty or too long")
        self.judge.says(verdict="replace", text="no picture")
        answer = self.hook.check(DRAFT._replace(type=2, text="", media=b"\x0a\x01m"))
        self.agent.flush()
        self.assertIn("has none", str(self.failureResultOf(answer, NoVerdict).value))

    def test_too_slow(self) -> None:
        """An answer that does not come in time is none, and its place is free again."""
        self.judge.answer = None
        for _ in range(CONNECTIONS):
            waiting = self.asks()
            self.clock.advance(TIMEOUT_S)
            self.agent.flush()
            failure = self.failureResultOf(waiting, NoVerdict)
            self.assertIn("no answer within", str(failure.value))
        self.judge.says(verdict="allow")
        self.assertEqual(self.verdict(), ALLOWED)

    def test_so_many_at_a_time(self) -> None:
        """More than its connections wait their turn, and one that is given up leaves the queue."""
        self.judge.answer = None
        first = [self.asks() for _ in range(CONNECTIONS + 3)]
        self.assertEqual(len(self.judge.requests), CONNECTIONS)
        first[CONNECTIONS].addErrback(lambda _: None)
        first[CONNECTIONS].cancel()
        for request in self.judge.requests[:CONNECTIONS]:
            request.write(b'{"verdict":"allow"}')
            request.finish()
        self.agent.flush()
        self.assertEqual(len(self.judge.requests), CONNECTIONS + 2)
        for one in first[:CONNECTIONS]:
            self.assertEqual(self.successResultOf(one), ALLOWED)

    def test_too_many_wait(self) -> None:
        """The queue has an end; when the server is given up, all who wait hear it."""
        self.judge.answer = None
        waiting = [self.hook.check(DRAFT) for _ in range(CONNECTIONS + MAX_WAITING)]
        self.no_verdict("too many")
        self.judge.answer = (503, b"")
        for _ in range(FAILURES):
            self.clock.advance(TIMEOUT_S)
            self.agent.flush()
        for one in waiting:
            self.failureResultOf(one, NoVerdict)

    def test_left_alone(self) -> None:
        """After failures in a row it is not asked for a while; then one question decides."""
        self.judge.answer = (503, b"")
        for _ in range(FAILURES):
            self.assertFalse(self.hook.is_resting)
            self.no_verdict("503")
        self.no_verdict("left alone")
        self.assertEqual(len(self.judge.requests), FAILURES)
        self.assertTrue(self.hook.is_resting)
        self.assertEqual(self.hook.failures, FAILURES, "what was not asked has not failed")
        self.clock.advance(REST_S)
        self.no_verdict("503")
        self.no_verdict("left alone")
        self.clock.advance(REST_S)
        self.judge.says(verdict="allow")
        self.assertEqual(self.verdict(), ALLOWED)
        self.assertEqual(self.verdict(), ALLOWED)
        self.assertFalse(self.hook.is_resting)
