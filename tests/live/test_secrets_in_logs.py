"""Secrets are planted, everything is said that the server has to say, and nothing of them is found."""

from __future__ import annotations

import secrets
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.live.dialogue import Dialogue
from tests.live.server import NO_LIMITS, LiveServer
from tests.live.standalone_client import Login, Refused, Rest
from tests.live.standalone_proto import Json
from tests.live.standalone_wire import TcpWire, WebSocketWire, Wire
from tests.protocol.vectors import load

#: In everything that people say and that no log may hold.
CANARY = "canary7f3a"
PATIENCE_S = 60.0


class Receiver(BaseHTTPRequestHandler):
    """The operator's server: takes and allows all, or drops every call."""

    calls = 0
    drops = False

    def do_POST(self) -> None:
        type(self).calls += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        if not self.drops:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"verdict": "allow"}')

    def log_message(self, format: str, *args: object) -> None:
        """The test's own output is not looked at."""


def planted_in(steps: Any) -> Any:
    """The same steps, with the canary in whatever people say."""
    if isinstance(steps, list):
        return [planted_in(each) for each in steps]
    if not isinstance(steps, dict):
        return steps
    return {
        name: f"{CANARY} {value}"
        if name == "textContent" and value and not value.startswith("$")
        else planted_in(value)
        for name, value in steps.items()
    }


class Canaries(SynchronousTestCase):
    """`twistd im` at debug level."""

    timeout = 240

    def setUp(self) -> None:
        self.planted: dict[str, str] = {}
        self.receiver = HTTPServer(("127.0.0.1", 0), Receiver)
        self.addCleanup(self.receiver.server_close)
        Thread(target=self.receiver.serve_forever, daemon=True).start()
        self.addCleanup(self.receiver.shutdown)
        url = f"http://127.0.0.1:{self.receiver.server_port}/{CANARY}-path"
        settings = {
            **NO_LIMITS,
            "log": {"level": "debug", "lines_per_s": 0},
            "gateway": {"auth_timeout_s": 1},
            "content": {
                "hook_url": url,
                "hook_secret_file": self.secret("hook secret"),
                "words": [f"{CANARY}word\treplace"],
            },
            "webhook": {"url": url, "secret_file": self.secret("webhook secret"), "timeout_s": 1},
        }
        self.server = LiveServer(settings=settings)
        self.addCleanup(self.server.close)
        self.server.start()
        self.rest = Rest(self.server.http_url)

    def secret(self, what: str) -> str:
        path = Path(self.mktemp()).absolute()
        path.touch(mode=0o600)
        self.planted[what] = secrets.token_hex(32)
        path.write_text(self.planted[what])
        return str(path)

    def entered(self, handle: str) -> Login:
        """Somebody, whose password and token are planted."""
        password = self.planted[f"password of {handle}"] = f"{CANARY}-{secrets.token_hex(8)}"
        login = self.rest.register(handle, password, f"{handle}-phone")
        self.planted[f"token of {handle}"] = login.token
        self.planted[f"signature of the token of {handle}"] = login.token.rpartition(".")[2]
        return login

    def refused(self, method: str, path: str, body: Json | None = None, *, token: str = "") -> None:
        self.assertRaises(Refused, self.rest.call, method, path, body, token=token)

    def test_nothing_is_found(self) -> None:
        """Dialogues over two transports, wrong passwords, tokens and bodies, a hook that fails, a kill, a stop: the
        log, the standard output and error, and the metrics hold none of the passwords, tokens, secrets and words."""
        people = {seat: self.entered(handle) for seat, handle in (("C", "carol"), ("B", "bob"), ("E", "eve"))}
        people["D"] = self.rest.login("carol", self.planted["password of carol"], "carols-desk")
        bound = self.opened(people)
        for vector in load("sessions.json")["sessions"]:
            if "tcp" in vector.get("transports", ["tcp"]):
                Dialogue(people=people, bound=bound, reach=self.tcp).play(planted_in(vector["steps"]))
        self.talk(people, lambda: WebSocketWire(self.server.ws_url, subprotocol="im.v1.json"))
        Receiver.drops = True
        self.talk(people, self.tcp)
        self.bad_requests(people["C"])
        self.operate()
        page = urllib.request.urlopen(self.server.metrics_url, timeout=30).read().decode()
        self.server.kill()
        self.server.start()
        self.talk(people, self.tcp)
        self.server.stop()
        for name in ("token.key", "operator.token"):
            self.planted[name] = (self.server.data_dir / "secrets" / name).read_text().strip()
        self.assertGreater(Receiver.calls, 0)
        self.assertIn("connect is refused: 1001", self.server.log)
        self.assertIn("debug    imd.business.rest.api.Api: login is refused: 1007", self.server.log)
        found = [
            f"{what} is in {where}: {line[:300]}"
            for where, text in (("the log", self.server.log), ("the metrics", page))
            for line in text.splitlines()
            for what, secret in [*self.planted.items(), ("what somebody said", CANARY)]
            if secret in line
        ]
        self.assertEqual(found, [], "\n".join(found))

    def talk(self, people: dict[str, Login], reach: Any) -> None:
        """What people say holds the canary, in text, meta and a medium's name, and once it is a word that is replaced."""
        said: list[dict[str, Any]] = [
            {"textContent": f"{CANARY} for you"},
            {"textContent": f"a {CANARY}word"},
            {"textContent": f"{CANARY} {'x' * 40_000}"},
            {"textContent": CANARY, "meta": {CANARY: CANARY}},
        ]
        steps: list[Json] = [{"who": "C", "login": {"acks": "ACK_FINAL_ONLY"}}]
        for content in said:
            send = {
                "peerUserId": "$B.user",
                "clientMsgId": f"{CANARY}-{secrets.token_hex(4)}",
                "type": "TEXT",
                **content,
            }
            steps.append({"who": "C", "send": {"send": send}})
            steps.append({"who": "C", "expect": {"ack": {}}, "within_s": PATIENCE_S})
        Dialogue(people=people, bound={}, reach=reach).play(steps)

    def tcp(self) -> Wire:
        return TcpWire("127.0.0.1", self.server.tcp_port)

    def opened(self, people: dict[str, Login]) -> Json:
        """What the vectors go on from: a conversation, and one that is foreign to who plays."""
        found: Json = {}
        for name, sender, receiver in (("conversation", "C", "B"), ("foreign", "B", "E")):
            send = {
                "peerUserId": f"${receiver}.user",
                "clientMsgId": "$id1",
                "type": "TEXT",
                "textContent": CANARY,
            }
            steps: list[Json] = [
                {"who": sender, "login": {"acks": "ACK_FINAL_ONLY"}},
                {"who": sender, "send": {"send": send}},
                {"who": sender, "expect": {"ack": {"status": "STORED", "conversationId": "$conversation"}}},
            ]
            played = Dialogue(people=people, bound={}, reach=self.tcp).play(steps)
            found[name] = played["conversation"]
        return found

    def bad_requests(self, carol: Login) -> None:
        """What is refused, and what is no request at all."""
        self.refused("POST", "/login", {"handle": "carol", "password": f"{CANARY}-wrong", "deviceId": "x"})
        self.refused("POST", "/login", {"handle": "carol", "password": [CANARY], "deviceId": CANARY * 100})
        self.refused("GET", "/gateways/none", token=f"{CANARY}.token")
        self.refused("GET", "/operator/audit", token=f"{CANARY}-operator")
        self.refused("PUT", "/settings", {"settings": {CANARY: CANARY}}, token=carol.token)
        request = urllib.request.Request(
            f"{self.server.http_url}/api/v1/login?password={CANARY}&token={carol.token}",
            data=b"\xff{" + CANARY.encode(),
        )
        self.assertRaises(urllib.error.HTTPError, urllib.request.urlopen, request, timeout=30)
        for raw in (b"\x05\xff\xff", CANARY.encode() * 10, b"GET / HTTP/1.1\r\n\r\n"):
            wire = TcpWire("127.0.0.1", self.server.tcp_port)
            wire.send_raw(raw)
            wire.close()
        wire = TcpWire("127.0.0.1", self.server.tcp_port)
        wire.send({"connect": {"token": f"{CANARY}.{carol.token}", "deviceId": "x", "platform": CANARY}})
        wire.receive(PATIENCE_S)
        wire.close()

    def operate(self) -> None:
        """An operator changes settings, rightly and wrongly, with the token that is made at first start."""
        token = (self.server.data_dir / "secrets" / "operator.token").read_text().strip()
        for body in (
            {"basedOn": 0, "settings": {"log": {"levels": ["imd.bus=debug"]}}},
            {"settings": {"limits": CANARY}},
        ):
            try:
                self.rest.call("PUT", "/settings", body, token=token)
            except Refused:
                continue
        time.sleep(0.5)
