"""Where the matrix is played: REST and the wire of one server, whatever it is made of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from imd.config.policy import Content
from imd.config.sections import Accounts, Config, Limits, Messages
from imd.core.nodes.report import NodeReports
from imd.core.screening.word_lists import WordLists
from imd.kernel.lifecycle import Stage
from imd.pb.bus_pb2 import NodeReport
from imd.pb.connection_pb2 import ACK_FINAL_ONLY, Connect
from imd.pb.envelope_pb2 import Envelope
from imd.roles.core import build_core
from imd.roles.embedded import embedded_stores
from tests.business.world import OPERATOR_TOKEN, World, at_once
from tests.core.gateway.world import FakeLink

#: Rates are told elsewhere; here everybody has asked for everything.
NO_RATES: dict[str, float] = {
    "user_text_per_min": 0,
    "user_media_per_min": 0,
    "conversation_per_s": 0,
    "device_frames_per_s": 0,
    "ip_frames_per_s": 0,
    "ip_connects_per_s": 0,
    "logins_per_min": 0,
    "registrations_per_hour_per_ip": 0,
    "user_requests_per_s": 0,
}
MANY_GROUPS = 1_000_000
DEVICE = "phone"
#: What the server does not answer, where it does what was asked.
SILENT = frozenset({"read", "deliverAck", "typing"})


class Reply(NamedTuple):
    """What came back over HTTP."""

    status: int
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)


class Person(NamedTuple):
    """Somebody with a good token for ``DEVICE``."""

    user_id: int
    handle: str
    token: str


class Line(Protocol):
    """A connection of somebody; or, if they were not let in, what they were told."""

    @property
    def refused(self) -> Envelope | None:
        """The error with which the server closed instead of a greeting."""
        ...

    def ask(self, envelope: Envelope) -> Envelope | None:
        """The answer to a request, or the final ACK of a message; None: what has none was done."""
        ...

    def close(self) -> None: ...


class Ground(Protocol):
    """One server. All calls block."""

    def person(self) -> Person:
        """Somebody nobody knows yet."""
        ...

    @property
    def operator_token(self) -> str: ...

    def call(self, method: str, path: str, body: Any = None, *, token: str = "") -> Reply:
        """One request; ``path`` is below /api/v1."""
        ...

    def line(self, token: str) -> Line: ...

    def settle(self) -> None:
        """Returns when every node has heard of what was done."""
        ...


def greeting(token: str, device_id: str = DEVICE) -> Envelope:
    """The first frame of a client that wants final ACKs alone."""
    return Envelope(connect=Connect(token=token, deviceId=device_id, platform="bot", acks=ACK_FINAL_ONLY))


def is_answer(envelope: Envelope, to: Envelope) -> bool:
    """Whether this is what was asked for."""
    payload = to.WhichOneof("payload")
    if envelope.WhichOneof("payload") == "ack":
        return bool(
            payload in ("send", "recall")
            and envelope.ack.clientMsgId == getattr(to, str(payload)).clientMsgId
        )
    return envelope.header.requestId == to.header.requestId


class InProcess:
    """All roles of ``twistd im`` on simulated time: SQLite, and nobody else's thread.

    :param words: lines of a word list.
    """

    operator_token = OPERATOR_TOKEN

    def __init__(self, folder: Path, *, words: Sequence[str] = ()) -> None:
        limits: Any = NO_RATES
        config = Config(
            limits=Limits(**limits),
            accounts=Accounts(groups_per_user=MANY_GROUPS, token_ttl_s=24 * 3600, refresh_below_s=24 * 3600),
            messages=Messages(recall_window_s=24 * 3600),
            content=Content(words=list(words)),
        )
        self.config = config
        self.world = World(config=config, core=False)
        folder.mkdir()
        threads: Any = None
        clock: Any = self.world.clock
        core = build_core(
            config,
            reactor=clock,
            clock=clock,
            wall_clock=self.world.now_ms,
            bus=self.world.bus,
            stores=embedded_stores(
                folder=folder, threads=threads, queue=at_once, wall_clock=self.world.now_ms
            ),
            epoch=lambda: "epoch",
        )
        self.gateway = core.gateway
        self.in_force = core.in_force
        self._stages: list[Stage] = [stage for name, stage in core.stages if name != "word list thread"]
        for _, stage in core.stages:
            if isinstance(stage, WordLists):
                stage._threads = at_once
        self._stages.append(
            NodeReports(
                about=NodeReport(maxConnections=1, weight=1, ws="ws://chat.example.com/ws"),
                bus=self.world.bus,
                connections=lambda: 0,
                clock=clock,
                wall_clock=self.world.now_ms,
                cpu_seconds=lambda: 0.0,
                random=lambda: 0.5,
                tasks=self.world.tasks,
            )
        )
        for stage in self._stages:
            self.world.run(stage.start())
        self._people = 0

    def close(self) -> None:
        """In the order of a stop; the gateway's drain waits for nobody."""
        for stage in reversed(self._stages):
            self.world.run(stage.stop())

    def turn(self) -> None:
        """For ``FakeLink``: whatever is due now, and the next flush."""
        for _ in range(12):
            self.world.clock.advance(0)
        self.world.clock.advance(0.002)

    def person(self) -> Person:
        self._people += 1
        session = self.world.register(f"person.{self._people}", device=DEVICE)
        return Person(int(session["userId"]), session["handle"], session["token"])

    def call(self, method: str, path: str, body: Any = None, *, token: str = "") -> Reply:
        reply = self.world.call(method, path, body, token=token)
        # Core hears of it, and of the notice, as it would a moment later.
        self.turn()
        return Reply(reply.status, reply.raw)

    def line(self, token: str) -> Line:
        return _LineInProcess(self, token)

    def settle(self) -> None:
        self.turn()


class _LineInProcess:
    """See ``Line``."""

    def __init__(self, ground: InProcess, token: str) -> None:
        self._ground = ground
        world: Any = ground
        self._link = FakeLink(world)
        self._asked = 0
        self._link.says(greeting(token))
        ground.turn()
        ground.turn()
        self.refused = next((one for one in self._link.sent if one.WhichOneof("payload") == "error"), None)
        assert self.refused or self._link.heard()[:1] == ["connected"], self._link.heard()

    def ask(self, envelope: Envelope) -> Envelope | None:
        self._asked += 1
        envelope.header.requestId = self._asked
        before = len(self._link.sent)
        self._link.says(envelope)
        for _ in range(50):
            self._ground.turn()
            for one in self._link.sent[before:]:
                if is_answer(one, envelope):
                    return one
            if envelope.WhichOneof("payload") in SILENT:
                return None
        raise AssertionError(f"no answer to {envelope}")

    def close(self) -> None:
        if self._link.live.user is not None:
            self._link.leaves()
