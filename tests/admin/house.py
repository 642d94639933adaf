"""An admin node without ports and servers: what it is made of, spoken to in raw HTTP."""

from __future__ import annotations

import json
from collections.abc import Coroutine
from typing import Any, NamedTuple, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from imd.admin.schema import create_tables, open_admin
from imd.bus.local import LocalBus
from imd.bus.port import BusRefused
from imd.bus.subjects import ADMIN_CONFIG, ADMIN_MONITOR, AUDIT_LOG
from imd.kernel.lifecycle import Stage
from imd.pb.bus_pb2 import AuditEvent, AuditEvents, SettingsChanged, SettingsReport
from imd.roles.admin import build_admin
from imd.storage.sql import Database
from tests.business.world import at_once

T = TypeVar("T")
#: The bootstrap token.
TOKEN = "t" * 64
NOW_MS = 1_700_000_000_000


class FlakyBus(LocalBus):
    """A bus that sometimes refuses, or never answers."""

    refuses = False
    hangs = False
    #: There is no connection, and nothing that may be lost is even tried.
    is_cut_off = False
    #: What the next event waits for before it is taken.
    late: Deferred[None] | None = None

    def publish(self, subject: str, payload: bytes) -> None:
        if self.is_cut_off:
            raise BusRefused("no connection")
        super().publish(subject, payload)

    async def publish_durable(self, subject: str, payload: bytes) -> None:
        if subject == ADMIN_CONFIG:
            if self.refuses:
                raise BusRefused("no connection")
            if self.hangs:
                await Deferred[None]()
            late, self.late = self.late, None
            if late is not None:
                await late
        await super().publish_durable(subject, payload)


class Answered(NamedTuple):
    """What came back."""

    status: int
    headers: str
    body: Any


class AdminCase(SynchronousTestCase):
    """The whole role on simulated time."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.bus = FlakyBus(clock=self.clock)
        self.database = Database(connect=self.connect, threads=at_once, clock=self.clock)
        self.admin = build_admin(
            database=self.database,
            bus=self.bus,
            node="admin-1",
            bootstrap=lambda: TOKEN,
            clock=self.clock,
            wall_clock=lambda: NOW_MS,
        )
        self.heard: list[SettingsChanged] = []
        self.audited: list[AuditEvent] = []
        self.bus.consume(ADMIN_CONFIG, "core-1", self._hear)
        self.bus.consume(AUDIT_LOG, "business", self._hear_audit)
        self.run_(self.bus.start())
        self.run_(self.database.start())
        self.stages: list[Stage] = [stage for _, stage in self.admin.stages]
        for stage in self.stages:
            self.run_(stage.start())
        root = Resource()
        root.putChild(b"api", self.admin.api)
        make: Any = Site
        self.site = make(root, reactor=self.clock)

    def connect(self) -> Any:
        engine = open_admin(None)
        # The second node finds the tables.
        create_tables(engine, place="memory")
        return engine

    async def _hear(self, _: str, payload: bytes) -> None:
        self.heard.append(SettingsChanged.FromString(payload))

    async def _hear_audit(self, _: str, payload: bytes) -> None:
        self.audited += AuditEvents.FromString(payload).events

    def run_(self, work: Coroutine[Deferred[Any], Any, T]) -> T:
        done: Deferred[T] = Deferred.fromCoroutine(work)
        self.pump()
        result: T = self.successResultOf(done)
        return result

    def pump(self) -> None:
        self.clock.pump([0.0] * 10)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | dict[str, Any] = b"",
        *,
        token: str = TOKEN,
        authorization: str | None = None,
        headers: str = "",
    ) -> Answered:
        """What /api/v1 answers."""
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        if authorization is None:
            authorization = f"Bearer {token}"
        channel = self.site.buildProtocol(None)
        transport = StringTransport()
        channel.makeConnection(transport)
        head = f"{method} /api/v1{path} HTTP/1.0\r\nContent-Length: {len(payload)}\r\n{headers}"
        if authorization:
            head += f"Authorization: {authorization}\r\n"
        channel.dataReceived(head.encode() + b"\r\n" + payload)
        self.pump()
        head_came, _, came = transport.value().partition(b"\r\n\r\n")
        return Answered(int(head_came.split()[1]), head_came.decode().lower(), json.loads(came or b"null"))

    def put(self, settings: object, *, based_on: int, **more: Any) -> Answered:
        """Set the settings."""
        body = {"basedOn": based_on, "comment": "why", "settings": settings}
        return self.ask("PUT", "/settings", body, **more)

    def report(self, **report: Any) -> None:
        """A node says what it runs."""
        self.bus.publish(ADMIN_MONITOR, SettingsReport(**report).SerializeToString())
        self.pump()
