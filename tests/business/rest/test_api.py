"""HTTP itself: whatever comes, the answer is JSON with a code, and nobody else is harmed."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from typing import Any, TypeVar, cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.logger import ILogObserver, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from imd.business.rest.reading import MAX_BODY_BYTES
from imd.config.sections import Config, Gateway, Limits
from imd.kernel.errors import Code
from tests.business.world import PASSWORD, SECRET, Reply, World

T = TypeVar("T")

ORIGIN = "https://chat.example.com"


class Http(SynchronousTestCase):
    """A world, and one person in it."""

    config = Config(gateway=Gateway(origins=[ORIGIN]))

    def setUp(self) -> None:
        self.world = World(config=self.config)
        self.token = str(self.world.register("alice")["token"])

    def post(self, content: bytes, *, kind: str = "application/json", path: str = "/login") -> Reply:
        head = f"POST /api/v1{path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}"
        return self.world.send(f"{head}\r\n\r\n".encode() + content)

    def expect(self, reply: Reply, status: int, code: Code, field: str = "") -> None:
        """A whole error, with the headers that every answer has."""
        self.assertEqual(reply.status, status, reply.raw)
        self.assertEqual(reply.headers["content-type"], "application/json")
        self.assertEqual(reply.headers["x-content-type-options"], "nosniff")
        self.assertEqual(reply.headers["cache-control"], "no-store")
        error = reply.json["error"]
        self.assertEqual(
            set(error), {"code", "name", "message", "retryable", "retryAfterMs", "field", "reason"}
        )
        self.assertEqual((error["code"], error["name"], error["field"]), (code, code.name, field))


class Requests(Http):
    """Wrong as HTTP or as JSON."""

    def test_paths(self) -> None:
        """Unknown paths, foreign versions, doubled and trailing slashes: 404, in JSON, no redirect."""
        for path in (
            "/nothing",
            "/me/",
            "//me",
            "/users/a%2Fb/c",
            "/groups/",
            "/../v1/me",
            "/me/../../x",
            "/.",
        ):
            self.expect(self.world.call("GET", path), 404, Code.PAYLOAD_INVALID)
        for path in ("/api", "/api/", "/api/v2/me", "/api/v1"):
            reply = self.world.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            self.expect(reply, 404, Code.PAYLOAD_INVALID)

    def test_methods(self) -> None:
        """A method that a path does not have: 405, and the ones it has."""
        for method in ("GET", "PUT", "DELETE", "TRACE", "OPTIONS", "CONNECT", "BREW"):
            reply = self.world.call(method, "/login")
            self.expect(reply, 405, Code.PAYLOAD_INVALID)
            self.assertEqual(reply.headers["allow"], "POST")

    def test_unreadable_url(self) -> None:
        """Bytes that are no UTF-8, or a Host that is none, are refused politely."""
        for raw in (b"GET /api/v1/users/%ff", b"GET /api/v1/users/%c3%28", b"GET /api/v1/%ed%a0%80"):
            self.expect(self.world.send(raw + b" HTTP/1.1\r\nHost: x\r\n\r\n"), 400, Code.PAYLOAD_INVALID)
        for host in (b"\xff\xfe", b"a..b", b"a b", b"x" * 300, b"<script>"):
            raw = b"GET /api/v1/me HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"
            self.expect(self.world.send(raw), 400, Code.PAYLOAD_INVALID)
        self.flushLoggedErrors()

    def test_content_types(self) -> None:
        """Anything but JSON: 415; forms, broken ones too, are not even taken apart."""
        body = json.dumps({"handle": "alice", "password": PASSWORD, "deviceId": "d"}).encode()
        for kind in ("text/plain", "", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx",
                     "multipart/form-data; boundary=x", "text/json"):  # fmt: skip
            self.expect(self.post(body, kind=kind), 415, Code.PAYLOAD_INVALID)
        self.assertEqual(self.post(body, kind="Application/JSON; charset=utf-8").status, 200)

    def test_bad_json(self) -> None:
        """What is no JSON, or no UTF-8, or not an object of the right kind."""
        for body in (b"", b"{", b"null", b"[]", b"7", b'"x"', b"{}{}", b"{'a':1}", b"\xff", b'{"handle":"\xff"}',
                     b'{"handle":"\\ud800"}', b"NaN", b"\xef\xbb\xbf{}", b'{"handle":}', b"\x00" * 100):  # fmt: skip
            reply = self.post(body)
            self.expect(reply, 400, Code.PAYLOAD_INVALID, reply.error[2])

    def test_fields(self) -> None:
        """The field at fault is named: missing, of another type, unknown, too long."""
        good = {"handle": "alice", "password": PASSWORD, "deviceId": "d"}
        wrong: dict[str, tuple[str, dict[str, Any]]] = {
            "missing": ("password", {"handle": "alice", "deviceId": "d"}),
            "number": ("handle", {**good, "handle": 7}),
            "null": ("handle", {**good, "handle": None}),
            "operator": ("handle", {**good, "handle": {"$ne": 1}}),
            "list": ("deviceId", {**good, "deviceId": ["d"]}),
            "unknown": ("admin", {**good, "admin": True}),
            "proto": ("__proto__", {**good, "__proto__": {}}),
            "long": ("password", {**good, "password": "x" * 257}),
        }
        for name, (field, body) in wrong.items():
            with self.subTest(name):
                self.expect(self.post(json.dumps(body).encode()), 400, Code.PAYLOAD_INVALID, field)

    def test_depth(self) -> None:
        """Nesting deeper than 32 is refused, in time that does not grow with it."""
        for body in (b"[" * 60_000, b'{"a":' * 10_000, b'{"handle":' + b"[" * 33 + b"]" * 33 + b"}"):
            self.expect(self.post(body), 400, Code.PAYLOAD_INVALID)
        brackets = json.dumps({"handle": "alice", "password": "[" * 200, "deviceId": "d"}).encode()
        self.assertEqual(self.post(brackets).status, 401)

    def test_body_where_none_belongs(self) -> None:
        """An operation without a body does not silently ignore one."""
        self.expect(
            self.world.call("POST", "/refresh", {"x": 1}, token=self.token), 400, Code.PAYLOAD_INVALID
        )

    def test_query(self) -> None:
        """Unknown and repeated parameters are refused; nothing is guessed."""
        for query in (
            "x=1",
            "limit=1&limit=2",
            "%ff=1",
            "limit=1&&",
            "=1",
            "&".join("limit=1" for _ in range(50)),
        ):
            reply = self.world.call("GET", f"/conversations?{query}", token=self.token)
            self.assertEqual((reply.status, reply.error[0]), (400, 1007), query)

    def test_head(self) -> None:
        """HEAD is GET without the body."""
        reply = self.world.call("HEAD", "/me", token=self.token)
        self.assertEqual((reply.status, reply.raw), (200, b""))


class Size(Http):
    """Bodies over 64 KiB."""

    def open(self) -> tuple[Any, StringTransport]:
        channel = self.world.site.buildProtocol(None)
        transport = StringTransport(peerAddress=IPv4Address("TCP", "192.0.2.1", 1))
        channel.makeConnection(transport)
        return channel, transport

    def test_declared(self) -> None:
        """A length over the limit is refused from the header alone, before a byte of it came."""
        for length in (MAX_BODY_BYTES + 1, 1 << 31, 1 << 62):
            raw = f"POST /api/v1/login HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()
            reply = self.world.send(raw)
            self.expect(reply, 413, Code.PAYLOAD_INVALID)
            self.assertEqual(reply.headers["connection"], "close")

    def test_limit_itself(self) -> None:
        """Exactly 64 KiB are read."""
        self.expect(self.post(b" " * MAX_BODY_BYTES), 400, Code.PAYLOAD_INVALID)

    def test_streamed(self) -> None:
        """A chunked body is cut off when it exceeds the limit, and what follows is not kept."""
        channel, transport = self.open()
        channel.dataReceived(b"POST /api/v1/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"
        request = channel._channel.requests[0]
        for _ in range(16):
            channel.dataReceived(chunk)
        self.assertEqual(transport.value(), b"")
        for _ in range(100):
            channel.dataReceived(chunk)
        self.assertTrue(transport.value().startswith(b"HTTP/1.1 413 "))
        self.assertEqual(transport.value().count(b"HTTP/1.1"), 1)
        self.assertTrue(transport.disconnecting)
        self.assertLessEqual(request.content.getbuffer().nbytes, MAX_BODY_BYTES)
        channel.connectionLost(Failure(ConnectionLost()))

    def test_small_chunks(self) -> None:
        """A chunked body below the limit is served."""
        body = json.dumps({"handle": "alice", "password": PASSWORD, "deviceId": "d"}).encode()
        chunks = b"".join(b"%x\r\n%b\r\n" % (1, body[i : i + 1]) for i in range(len(body))) + b"0\r\n\r\n"
        reply = self.world.send(
            b"POST /api/v1/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
            b"Content-Type: application/json\r\n\r\n" + chunks
        )
        self.assertEqual(reply.status, 200)


class Authentication(Http):
    """Where a token may stand."""

    def test_header_only(self) -> None:
        """One Authorization header with one bearer token; nothing else will do."""
        for headers in (
            {},
            {"Authorization": ""},
            {"Authorization": "Bearer"},
            {"Authorization": f"Basic {self.token}"},
            {"Authorization": self.token},
            {"Authorization": f"Bearer {self.token} x"},
            {"Cookie": f"token={self.token}"},
            {"X-Access-Token": self.token},
        ):
            reply = self.world.call("GET", "/me", headers=headers)
            self.expect(reply, 401, Code.AUTH_FAILED)
            self.assertEqual(reply.headers["www-authenticate"], "Bearer")
        twice = self.world.call(
            "GET", "/me", token=self.token, headers={"authorization": f"Bearer {self.token}"}
        )
        self.expect(twice, 401, Code.AUTH_FAILED)
        self.assertEqual(
            self.world.call("GET", "/me", headers={"Authorization": f"bearer {self.token}"}).status, 200
        )

    def test_not_in_the_url(self) -> None:
        """A token in the query is refused even beside a good header, and does not reach the access log."""
        for name in ("token", "access_token", "TOKEN"):
            reply = self.world.call("GET", f"/me?{name}={self.token}", token=self.token)
            self.expect(reply, 400, Code.PAYLOAD_INVALID)

    def test_access_log(self) -> None:
        """The server's own log shows that there was a request, and no token out of its URL."""
        log = StringIO()
        self.world.site.startFactory()
        self.addCleanup(self.world.site.stopFactory)
        self.world.site.logFile = log
        self.world.call("GET", f"/me?token={self.token}")
        self.assertIn("GET /api/v1/me?redacted", log.getvalue())
        self.assertNotIn(self.token, log.getvalue())
        self.world.site.logFile = None


class Rates(SynchronousTestCase):
    """How much one user may ask."""

    def test_one_user(self) -> None:
        """Above ten seconds' worth a user must wait, on every device; the others need not."""
        world = World(config=Config(limits=Limits(user_requests_per_s=0.5)))
        tokens = [world.register("alice")["token"], world.login("alice", device="laptop").json["token"]]
        bob = world.register("bob")["token"]
        asked = [world.call("GET", "/me", token=tokens[n % 2]).status for n in range(6)]
        self.assertEqual(asked, [200] * 5 + [429])
        refused = world.call("POST", "/groups", {"title": "x"}, token=tokens[0])
        self.assertEqual((refused.error[0], refused.headers["retry-after"]), (Code.RATE_LIMITED, "3"))
        self.assertEqual(world.call("GET", "/me", token=bob).status, 200)
        world.clock.advance(2)
        self.assertEqual(world.call("GET", "/me", token=tokens[0]).status, 200)

    def test_ids_are_not_read_out(self) -> None:
        """Trying user ids one after another is counted as looking up handles is."""
        world = World()
        alice = world.register("alice")
        tried = [
            world.call(
                "POST", "/conversations/direct", {"userId": str(1 << 40 | n)}, token=alice["token"]
            ).status
            for n in range(31)
        ]
        self.assertEqual(tried, [403] * 30 + [429])


class Browsers(Http):
    """Pages of other hosts."""

    def test_allowed(self) -> None:
        """A configured origin may call, preflight included."""
        ask = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
        preflight = self.world.call("OPTIONS", "/login", headers=ask)
        self.assertEqual((preflight.status, preflight.raw), (204, b""))
        for reply in (preflight, self.world.call("GET", "/me", headers={"Origin": ORIGIN})):
            self.assertEqual(reply.headers["access-control-allow-origin"], ORIGIN)
            self.assertEqual(reply.headers["vary"], "Origin")
            self.assertIsNone(reply.headers["access-control-allow-credentials"])

    def test_others(self) -> None:
        """No other page may read an answer."""
        for origin in ("null", "https://evil.example", ORIGIN + ".evil.example", ORIGIN.upper(), "*", ""):
            for method in ("GET", "OPTIONS"):
                headers = {"Origin": origin, "Access-Control-Request-Method": "GET"}
                reply = self.world.call(method, "/me", headers=headers)
                self.assertIsNone(reply.headers["access-control-allow-origin"], origin)


class Secrets(Http):
    """What must not be seen."""

    def test_nothing_leaks(self) -> None:
        """Over every way in and out, and a failure inside, no password, token or key is logged or shown."""
        logged: list[str] = []

        def observe(event: Any) -> None:
            failure = event.get("log_failure")
            logged.append(f"{formatEvent(event)} {event} {failure.getTraceback() if failure else ''}")

        observer = cast(ILogObserver, observe)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        session = self.world.login("alice").json
        wrong = self.world.login("alice", password="canary-wrong-password")
        self.world.run(self.world.database.write(lambda c: c.exec_driver_sql("DROP TABLE logins").rowcount))
        broken = self.world.login("alice")
        self.expect(broken, 503, Code.SERVER_BUSY)
        self.assertEqual(broken.headers["retry-after"], "1")
        seen = "".join(logged) + wrong.raw.decode() + broken.raw.decode()
        self.assertIn("database failed", seen)
        for secret in (PASSWORD, "canary", SECRET.decode(), session["token"], "$argon2", "login_id"):
            self.assertNotIn(secret, seen)

    def test_own_mistake(self) -> None:
        """A mistake of ours is 500 without details; they are in the log."""

        async def mistake(_: object) -> None:
            raise ZeroDivisionError("internal detail")

        self.patch(self.world.parts.passwords, "matches", lambda *_: mistake(0))
        reply = self.world.login("alice")
        self.expect(reply, 500, Code.INTERNAL_ERROR)
        self.assertNotIn("detail", reply.raw.decode())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class Leaving(Http):
    """Clients that go away, and the end."""

    def slow(self) -> list[Callable[[], Any]]:
        """From here on, password hashing ends when the test says."""
        waiting: list[Callable[[], Any]] = []

        def threads(work: Callable[[], T], /) -> Deferred[T]:
            done: Deferred[T] = Deferred()
            waiting.append(lambda: done.callback(work()))
            return done

        self.patch(self.world.parts.passwords, "_threads", threads)
        return waiting

    def begin(self, body: bytes) -> Any:
        channel = self.world.site.buildProtocol(None)
        channel.makeConnection(StringTransport(peerAddress=IPv4Address("TCP", "192.0.2.1", 1)))
        head = f"POST /api/v1/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        channel.dataReceived(f"{head}\r\n\r\n".encode() + body)
        return channel

    def test_gone(self) -> None:
        """What a client began is finished, and announced, although it went away in the middle."""
        waiting = self.slow()
        channel = self.begin(
            json.dumps({"handle": "alice", "password": PASSWORD, "deviceId": "phone"}).encode()
        )
        channel.connectionLost(Failure(ConnectionLost()))
        waiting.pop()()
        self.world.clock.pump([0.0] * 10)
        self.assertEqual([event.revoked.reason for event in self.world.invalidations], ["logged_in_again"])
        self.assertEqual(self.world.call("GET", "/me", token=self.token).status, 401)

    def test_stop(self) -> None:
        """Stopping waits for what runs and takes nothing new."""
        waiting = self.slow()
        channel = self.begin(json.dumps({"handle": "alice", "password": PASSWORD, "deviceId": "d"}).encode())
        stopped = Deferred.fromCoroutine(self.world.parts.api.stop())
        self.assertNoResult(stopped)
        self.expect(self.world.call("GET", "/me", token=self.token), 503, Code.SERVER_BUSY)
        waiting.pop()()
        self.world.clock.pump([0.0] * 10)
        self.successResultOf(stopped)
        self.assertIn(b" 200 OK", channel._channel.transport.value())
        channel.connectionLost(Failure(ConnectionLost()))
