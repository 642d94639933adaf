"""The operator's server that judges messages, over real HTTP: verdicts, order, and what happens without one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor  # noqa: TID251 -- a real server, on real time
from twisted.internet.threads import deferToThread
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from imd.hooks.breaker import REST_S
from imd.hooks.signature import is_signed
from imd.kernel.errors import Code
from imd.kernel.timeouts import sleep
from tests.dialogue.house import House, ServerHouse
from tests.dialogue.stage import SHORTER, Dialogue, Stage, refused
from tests.dialogue.wire import Transport
from tests.live.server import Settings

reactor: Any = _reactor

SECRET = "0123456789abcdef0123456789abcdef"


class Judge(Resource):
    """Does what the text says: "slow 0.1 ...", "refuse ...", "review ...", "mask ..."; away, it answers 503."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.forged = 0
        self.asked = 0

    def render_POST(self, request: Request) -> Any:
        assert request.content is not None
        body = request.content.read()
        timestamp = request.getHeader("X-Imd-Timestamp") or ""
        if not is_signed(SECRET.encode(), timestamp, request.getHeader("X-Imd-Signature") or "", body):
            self.forged += 1
        self.asked += 1
        if self.away:
            request.setResponseCode(503)
            return b""
        text = json.loads(body)["text"]
        if text.startswith("slow "):
            reactor.callLater(float(text.split()[1]), self._say, request, {"verdict": "allow"})
            return NOT_DONE_YET
        verdict = {"mask": "replace"}.get(text.split()[0], text.split()[0])
        if verdict not in ("replace", "refuse", "review"):
            verdict = "allow"
        return json.dumps({"verdict": verdict, "text": "(hidden)", "reason": "tone"}).encode()

    def _say(self, request: Request, answer: dict[str, str]) -> None:
        if not request._disconnected:
            request.write(json.dumps(answer).encode())
            request.finish()


class HookTests(Dialogue):
    """One server, one judge."""

    transport = Transport.TCP

    async def setUp(self) -> None:  # type: ignore[override]
        self.judge = Judge()
        port = reactor.listenTCP(0, Site(self.judge), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.settings: Settings = {
            **SHORTER,
            "content": {
                "hook_url": f"http://127.0.0.1:{port.getHost().port}/judge",
                "hook_secret_file": _secret_file(self.mktemp()),
                "hook_on_failure": "closed",
            },
        }

    def house_of(self, settings: Settings) -> House:
        house = ServerHouse(settings)
        self.addCleanup(deferToThread, house.kill)
        return house

    async def test_verdicts(self) -> None:
        """Each verdict does what it says, and what was sent in order is seen in order, however long it is judged."""
        stage = await Stage.open(self, self.transport, self.settings)
        alice, bob = await stage.people("alice", "bob")
        sends = alice.begins_to_send(["slow 0.3", "mask this", "slow 0.1", "fine"], to=bob)
        await alice.has_stored(sends)
        await bob.sees_all(["slow 0.3", "(hidden)", "slow 0.1", "fine"])
        await refused(Code.FORBIDDEN, alice.sends("refuse this", to=bob))
        alice.begins_to_send(["review this"], to=bob)[0].addErrback(lambda _: None)
        await alice.sees_held()
        await alice.sends("the end", to=bob)
        await bob.sees("the end", seq=5)
        self.assertEqual(self.judge.forged, 0)

    async def test_no_verdict(self) -> None:
        """Without a verdict a closed gate refuses for now: too slow, or away; then it is left alone, and asked again."""
        stage = await Stage.open(self, self.transport, self.settings)
        alice, bob = await stage.people("alice", "bob")
        error = await refused(Code.SERVER_BUSY, alice.sends("slow 3", to=bob))
        self.assertEqual((error.reason, error.retryable), ("content", True))
        self.judge.away = True
        for _ in range(10):
            await refused(Code.SERVER_BUSY, alice.sends("hello", to=bob))
        self.assertLess(self.judge.asked, 8)
        self.judge.away = False
        await sleep(REST_S, clock=reactor)
        await alice.sends("hello again", to=bob)
        await bob.sees("hello again", seq=1)


def _secret_file(name: str) -> str:
    file = Path(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(SECRET)
    file.chmod(0o600)
    return str(file.resolve())
