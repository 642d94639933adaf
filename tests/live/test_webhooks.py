"""Webhooks of a cluster under load: kill -9 of business and core, and a receiver that is away, lose nothing."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor  # noqa: TID251 -- real servers, on real time
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from imd.hooks.signature import is_signed
from imd.kernel.errors import ImError
from imd.kernel.timeouts import sleep
from tests.dialogue.device import Device
from tests.dialogue.house import House, ServerHouse
from tests.dialogue.stage import SHORTER, Dialogue, Stage
from tests.dialogue.wire import Transport
from tests.live.cluster import ClusterHouse
from tests.live.server import Settings

reactor: Any = _reactor

SECRET = "0123456789abcdef0123456789abcdef"
#: How long people talk before, between and after what goes wrong.
PHASE_S = 2.0
#: For all events to arrive: the retries of what was refused, the lease of a node that died.
PATIENCE_S = 120.0


class Receiver(Resource):
    """The operator's server: takes what is signed, notes the ids in the order of their coming; away, it answers 503."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.wrong = 0
        self.away = False
        self.turned_away = 0

    def render_POST(self, request: Request) -> bytes:
        assert request.content is not None
        body = request.content.read()
        timestamp = request.getHeader("X-Imd-Timestamp") or ""
        signature = request.getHeader("X-Imd-Signature") or ""
        if self.away:
            self.turned_away += 1
            request.setResponseCode(503)
        elif not is_signed(SECRET.encode(), timestamp, signature, body):
            self.wrong += 1
            request.setResponseCode(401)
        else:
            event = json.loads(body)
            assert event["id"] == request.getHeader("X-Imd-Event-Id")
            self.ids.append(event["id"])
        return b""

    def first_seqs(self) -> dict[str, list[int]]:
        """By conversation, each seq where it came first."""
        seqs: dict[str, list[int]] = defaultdict(list)
        for event_id in dict.fromkeys(self.ids):
            conversation_id, _, seq = event_id.rpartition(":")
            seqs[conversation_id].append(int(seq))
        return seqs


class Talk:
    """People who talk until told to stop; ``stored`` is (conversation, seq) of all that was STORED."""

    def __init__(self, pairs: list[tuple[Device, Device]]) -> None:
        self.stored: set[tuple[str, int]] = set()
        self._going_on = True
        self._talking = [Deferred.fromCoroutine(self._talk(*pair)) for pair in pairs]

    async def _talk(self, one: Device, other: Device) -> None:
        number = 0
        while self._going_on:
            for sender, receiver in ((one, other), (other, one)):
                number += 1
                try:
                    sent = await sender.client.send_text(f"{number}", peer_user_id=receiver.user_id)
                except ImError:
                    # Refused while nobody could judge it; what counts is what was stored.
                    await sleep(0.1, clock=reactor)
                    continue
                self.stored.add((sent.conversation_id, sent.seq))
            await sleep(0.05, clock=reactor)

    async def ends(self) -> None:
        self._going_on = False
        for talking in self._talking:
            await talking


def _secret_file(name: str) -> str:
    file = Path(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(SECRET)
    file.chmod(0o600)
    return str(file.resolve())


class WebhookCase(Dialogue):
    """A server or a cluster whose operator has a server that wants to hear of every message."""

    transport = Transport.TCP
    timeout = 400
    #: Whether core and business have configurations of their own.
    apart = True

    async def setUp(self) -> None:  # type: ignore[override]
        self.receiver = Receiver()
        port = reactor.listenTCP(0, Site(self.receiver), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.settings: Settings = {
            **SHORTER,
            "webhook": {
                **({"enabled": True} if self.apart else {}),
                "url": f"http://127.0.0.1:{port.getHost().port}/hook",
                "secret_file": _secret_file(self.mktemp()),
                "timeout_s": 2.0,
            },
        }
        self.stage = await Stage.open(self, self.transport, self.settings)

    async def talk(self, pairs: int = 4) -> Talk:
        people = await self.stage.people(*[f"p{number}" for number in range(2 * pairs)])
        return Talk(list(zip(people[::2], people[1::2], strict=True)))

    async def all_told(self, talk: Talk) -> None:
        """Every message that was stored has come, and nothing that was not signed."""
        missing: set[tuple[str, int]] = set()
        for _ in range(int(PATIENCE_S)):
            seqs = {name: set(found) for name, found in self.receiver.first_seqs().items()}
            missing = {(name, seq) for name, seq in talk.stored if seq not in seqs.get(name, ())}
            if not missing:
                break
            await sleep(1.0, clock=reactor)
        self.assertEqual(sorted(missing)[:5], [], f"{len(missing)} of {len(talk.stored)} were never told")
        self.assertGreater(len(talk.stored), 100)
        self.assertEqual(self.receiver.wrong, 0)

    def in_order(self) -> None:
        """Each conversation came as 1, 2, 3, ..., repetitions apart."""
        for name, seqs in self.receiver.first_seqs().items():
            self.assertEqual(seqs, list(range(1, len(seqs) + 1)), name)


class OneProcess(WebhookCase):
    """`twistd im`."""

    apart = False

    def house_of(self, settings: Settings) -> House:
        house = ServerHouse(settings)
        self.addCleanup(deferToThread, house.kill)
        return house

    async def test_killed(self) -> None:
        """kill -9 in the middle of it all: what was stored is told after the restart, in order."""
        talk = await self.talk()
        for _ in range(2):
            await sleep(PHASE_S, clock=reactor)
            await self.stage.server_is_killed()
            await self.stage.server_starts()
        await sleep(PHASE_S, clock=reactor)
        await talk.ends()
        await self.all_told(talk)
        self.in_order()


class Failures(WebhookCase):
    """What may go wrong in a cluster between STORED and the operator's server."""

    def house_of(self, settings: Settings) -> House:
        self.house = ClusterHouse(settings)
        self.addCleanup(deferToThread, self.house.cluster.kill)
        return self.house

    async def test_receiver_and_business(self) -> None:
        """A receiver that is away and kill -9 of each business node: all is told, in order, repetitions have the same id."""
        talk = await self.talk()
        await sleep(PHASE_S, clock=reactor)
        self.receiver.away = True
        await sleep(2 * PHASE_S, clock=reactor)
        self.assertGreater(self.receiver.turned_away, 0)
        self.receiver.away = False
        for node in self.house.cluster.of_role("business"):
            await sleep(PHASE_S, clock=reactor)
            await deferToThread(node.kill)
            await sleep(PHASE_S, clock=reactor)
            await deferToThread(node.start)
        await talk.ends()
        await self.all_told(talk)
        self.in_order()

    async def test_core(self) -> None:
        """kill -9 of a core node between commit and telling: whoever takes its shards tells the rest."""
        talk = await self.talk()
        await sleep(PHASE_S, clock=reactor)
        node = self.house.cores[0]
        await deferToThread(node.kill)
        await sleep(2 * PHASE_S, clock=reactor)
        await deferToThread(node.start)
        await sleep(PHASE_S, clock=reactor)
        await talk.ends()
        await self.all_told(talk)
