"""The whole business role in memory, on simulated time, spoken to in raw HTTP and over a real local bus."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from email.parser import BytesHeaderParser
from typing import Any, NamedTuple, TypeVar

from argon2 import PasswordHasher
from google.protobuf.message import Message
from sqlalchemy import Engine
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, execute
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from imd.bus.local import LocalBus
from imd.bus.port import NoResponder
from imd.bus.subjects import AUTH_INVALIDATE, AUTH_TOKEN, MESSAGE_SEND_ANY
from imd.business.schema import open_business
from imd.business.webhooks.dispatch import Posts
from imd.config.sections import Config
from imd.kernel.tasks import Tasks
from imd.pb.bus_pb2 import Invalidation, SystemAppend, SystemAppended, TokenCheck, TokenVerdict
from imd.roles.business import BusinessParts, assemble
from imd.storage.sql import Database
from tests.contract.driving import drive

T = TypeVar("T")

START_MS = 1_764_000_000_000
SECRET = b"0123456789abcdef0123456789ABCDEF-canary"
OPERATOR_TOKEN = "0123456789abcdef0123456789abcdef-operators"
PASSWORD = "correct horse battery"
#: argon2 at its cheapest: these tests are not about its strength.
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def at_once(work: Callable[[], T]) -> Deferred[T]:
    """A thread pool that has no threads."""
    return execute(work)


class Reply(NamedTuple):
    """What came back over HTTP."""

    status: int
    headers: Any
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def error(self) -> tuple[int, str, str]:
        """Code, name and field of the error."""
        error = self.json["error"]
        return error["code"], error["name"], error["field"]


class World:
    """One business role. ``changed`` and ``notices`` are what core would have heard, in order."""

    def __init__(
        self,
        *,
        config: Config | None = None,
        core: bool = True,
        connect: Callable[[], Engine] = lambda: open_business(None),
        posts: Posts | None = None,
    ) -> None:
        self.clock = Clock()
        self.bus = LocalBus(clock=self.clock)
        self.database = Database(connect=connect, threads=at_once, clock=self.clock)
        self.tasks = Tasks()
        self.parts: BusinessParts = assemble(
            config or Config(),
            database=self.database,
            hasher=CHEAP,
            hash_threads=at_once,
            secret=lambda: SECRET,
            is_operator=lambda token: token == OPERATOR_TOKEN,
            posts=posts,
            clock=self.clock,
            wall_clock=self.now_ms,
            bus=self.bus,
            tasks=self.tasks,
        )
        self.heard: list[tuple[str, Any]] = []
        root = Resource()
        root.putChild(b"api", self.parts.api)
        self.site = Site(root, requestFactory=self.parts.request_factory, reactor=self.clock)
        self.run(self._start(core))

    async def _start(self, core: bool) -> None:
        await self.bus.start()
        await self.database.start()
        await self.parts.passwords.start()
        await self.parts.audit.start()
        await self.parts.keep_audit.start()
        await self.parts.recheck.start()
        await self.parts.authority.start()
        await self.parts.board.start()
        for _, stage in self.parts.other_stages:
            await stage.start()
        self.bus.consume(AUTH_INVALIDATE, "core", self._hear_invalidation)
        if core:
            self.answer_for_core()

    def answer_for_core(self) -> None:
        """From here on there is a core that takes what is written into conversations."""
        self.bus.respond(MESSAGE_SEND_ANY, self._write_notice)

    async def _hear_invalidation(self, _: str, payload: bytes) -> None:
        self.heard.append(("invalidation", Invalidation.FromString(payload)))

    async def _write_notice(self, payload: bytes) -> bytes:
        self.heard.append(("notice", SystemAppend.FromString(payload)))
        return SystemAppended(seq=len(self.heard)).SerializeToString()

    @property
    def invalidations(self) -> list[Invalidation]:
        return [event for kind, event in self.heard if kind == "invalidation"]

    @property
    def notices(self) -> list[SystemAppend]:
        return [event for kind, event in self.heard if kind == "notice"]

    def now_ms(self) -> int:
        return START_MS + int(self.clock.seconds() * 1000)

    def run(self, work: Coroutine[Deferred[Any], Any, T]) -> T:
        """``work``'s result, and what it set off has arrived."""
        result = drive(self.clock, work)
        self.clock.pump([0.0] * 4)
        return result

    def ask(self, subject: str, query: Message, answer: type[T]) -> T:
        """What the authority answers on the bus."""
        payload = self.run(self.bus.request(subject, query.SerializeToString(), timeout_s=1.0))
        return answer.FromString(payload)  # type: ignore[attr-defined, no-any-return]

    def ticket(self, session: Any) -> bytes:
        """What a core node gets to show for the session of ``register`` or ``login``."""
        check = TokenCheck(token=session["token"], deviceId=session["deviceId"])
        return self.ask(AUTH_TOKEN, check, TokenVerdict).ticket

    def operate(self, method: str, path: str, body: Any = None) -> Reply:
        """``call`` by an operator; ``path`` is below /api/v1/operator."""
        return self.call(method, f"/operator{path}", body, token=OPERATOR_TOKEN)

    def send(self, raw: bytes, *, address: IAddress | None = None) -> Reply:
        """The reply to these very bytes."""
        channel = self.site.buildProtocol(address)
        transport = StringTransport(peerAddress=address or IPv4Address("TCP", "192.0.2.1", 50000))
        channel.makeConnection(transport)
        channel.dataReceived(raw)
        self.clock.pump([0.0] * 30)
        head, _, body = transport.value().partition(b"\r\n\r\n")
        status, _, fields = head.partition(b"\r\n")
        headers = BytesHeaderParser().parsebytes(fields + b"\r\n\r\n")
        if headers.get("transfer-encoding") == "chunked":
            body = _unchunk(body)
        channel.connectionLost(_GONE)
        return Reply(int(status.split()[1]), headers, body)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str = "",
        peer: str = "192.0.2.1",
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """One request, as a well-behaved client makes it; ``path`` is below /api/v1."""
        lines = [f"{method} /api/v1{path} HTTP/1.1", "Host: chat.example.com", "Connection: close"]
        if token:
            lines.append(f"Authorization: Bearer {token}")
        content = b""
        if body is not None:
            content = json.dumps(body).encode()
            lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        raw = "\r\n".join(lines).encode() + b"\r\n\r\n" + content
        return self.send(raw, address=IPv4Address("TCP", peer, 50000))

    def register(self, handle: str, *, device: str = "phone", peer: str = "") -> Any:
        """The session of somebody new."""
        body = {"handle": handle, "password": PASSWORD, "deviceId": device}
        reply = self.call("POST", "/register", body, peer=peer or "192.0.2.1")
        assert reply.status == 201, reply
        return reply.json

    def login(self, handle: str, *, device: str = "phone", password: str = PASSWORD) -> Reply:
        """What logging in answers."""
        return self.call("POST", "/login", {"handle": handle, "password": password, "deviceId": device})


class WorldCase(SynchronousTestCase):
    """Tests that hold on whatever the business data is kept: in memory, or see tests/live/test_mariadb_business.py."""

    def make_world(self, *, config: Config | None = None, core: bool = True) -> World:
        """A world in which nobody lives yet."""
        return World(config=config, core=core)


def _unchunk(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        whole += body[:length]
        body = body[length + 2 :]
    return whole


_GONE = Failure(ConnectionDone())

__all__ = ["CHEAP", "PASSWORD", "SECRET", "START_MS", "NoResponder", "Reply", "World", "WorldCase", "at_once"]
