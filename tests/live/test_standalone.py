"""A client that was written from protocol/ alone against a real ``twistd im`` process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from tests.live.server import NO_LIMITS, ROOT, LiveServer, Settings
from tests.live.standalone_client import Client, Login, Refused, Rest
from tests.live.standalone_wire import ConnectionLost, TcpWire, WebSocketWire, Wire

PASSWORD = "correct horse battery"
MESSAGES = 20

Reach = Callable[[LiveServer], Wire]


def _tcp(server: LiveServer) -> Wire:
    return TcpWire("127.0.0.1", server.tcp_port)


def _tls(server: LiveServer) -> Wire:
    return TcpWire("127.0.0.1", server.tls_port, certificate_file=server.certificate_file)


def _json(server: LiveServer) -> Wire:
    return WebSocketWire(server.ws_url, subprotocol="im.v1.json")


def _protobuf(server: LiveServer) -> Wire:
    return WebSocketWire(server.ws_url, subprotocol="im.v1.proto")


def _secure_json(server: LiveServer) -> Wire:
    url = f"wss://127.0.0.1:{server.https_port}/ws"
    return WebSocketWire(url, subprotocol="im.v1.json", certificate_file=server.certificate_file)


class StandaloneTests(SynchronousTestCase):
    """Two people talk; the server is killed, and nothing is lost, doubled or out of order."""

    def test_knows_nothing_of_the_server(self) -> None:
        """The client works without imd, Twisted and the protobuf library."""
        code = (
            "import sys, tests.live.standalone_client\n"
            "roots = {name.partition('.')[0] for name in sys.modules}\n"
            "sys.exit(' '.join(roots & {'imd', 'twisted', 'google', 'autobahn'}))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
        )
        self.assertEqual(done.stderr.strip(), "")

    def test_tcp(self) -> None:
        """Over TCP."""
        self.talk(_tcp)

    def test_tls(self) -> None:
        """Over TLS."""
        self.talk(_tls, tls=True)

    def test_websocket_json(self) -> None:
        """Over WebSocket, in JSON."""
        self.talk(_json)

    def test_websocket_json_over_tls(self) -> None:
        """Over WebSocket with TLS, in JSON."""
        self.talk(_secure_json, tls=True)

    def test_websocket_protobuf(self) -> None:
        """Over WebSocket, in protobuf."""
        self.talk(_protobuf)

    def test_hints(self) -> None:
        """Where the server only hints, the client pulls, and holds the same in the end."""
        self.talk(_tcp, settings={**NO_LIMITS, "messages": {"hint_members_online": 1}})

    def test_tokens(self) -> None:
        """A new token prolongs a live connection; the end of the login ends it, with the reason."""
        with LiveServer(settings={"accounts": {"refresh_below_s": 3599}}) as server:
            rest = Rest(server.http_url)
            login = rest.register("alice", PASSWORD, "phone")
            wire = _tcp(server)
            self.addCleanup(wire.close)
            wire.send({"connect": {"token": login.token, "deviceId": login.device_id}})
            self.assertIn("connected", wire.receive(5) or {})
            self.assertIn("syncResp", wire.receive(5) or {})
            with self.assertRaises(Refused) as early:
                rest.call("POST", "/refresh", token=login.token)
            self.assertEqual(early.exception.error["code"], 1005)
            time.sleep(early.exception.error["retryAfterMs"] / 1000)
            new = rest.call("POST", "/refresh", token=login.token)
            wire.send({"refreshToken": {"token": new["token"]}})
            refreshed = wire.receive(5) or {}
            self.assertEqual(refreshed["tokenRefreshed"]["tokenExpiresAt"], str(new["expiresAt"]))
            rest.call("POST", "/logout", {}, token=new["token"])
            self.assertEqual(wire.receive(5), {"kicked": {"reason": "logged_out"}})
            self.assertRaises(ConnectionLost, wire.receive, 5)

    def talk(self, reach: Reach, *, tls: bool = False, settings: Settings = NO_LIMITS) -> None:
        """Send and receive; one is away; the server is killed in the middle; all come back and are equal."""
        with LiveServer(settings=settings, tls=tls) as server:
            rest = Rest(server.http_url)
            alice = self.person(rest, server, "alice", reach)
            bob = self.person(rest, server, "bob", reach)
            alice.connect()
            bob.connect()
            sent = self.say(alice, bob, "first")
            conversation_id = self.settle(alice)
            bob.run_until(lambda: bob.texts(conversation_id) == sent)
            self.answered_and_read(alice, bob, conversation_id)
            sent += ["answer"]
            bob.close()
            sent += self.say(alice, bob, "away")
            self.settle(alice)
            self.kill_while_sending(server, alice, bob, sent)
            bob.reconnect()
            bob.run_until(lambda: len(bob.texts(conversation_id)) == len(sent))
            self.assertEqual(bob.texts(conversation_id), sent)
            self.assertEqual(alice.texts(conversation_id), sent)
            self.newcomer(rest, reach, server, sent)

    def person(self, rest: Rest, server: LiveServer, handle: str, reach: Reach) -> Client:
        """A registered user's first device, logged in anew, not connected."""
        device_id = f"{handle}-phone"
        rest.register(handle, PASSWORD, device_id)
        client = Client(rest.login(handle, PASSWORD, device_id), lambda: reach(server))
        self.addCleanup(client.close)
        return client

    def say(self, who: Client, to: Client, what: str) -> list[str]:
        """Many messages at once, no waiting."""
        texts = [f"{what} {number} \U0001f600" for number in range(MESSAGES)]
        for text in texts:
            who.send_text(to.login.user_id, text)
        return texts

    def settle(self, who: Client) -> str:
        """Wait until everything is acknowledged; the conversation's id."""
        who.run_until(lambda: not who.unacked)
        (conversation_id,) = who.log
        return conversation_id

    def answered_and_read(self, alice: Client, bob: Client, conversation_id: str) -> None:
        """Bob answers and reads; Alice learns both."""
        bob.send_text(alice.login.user_id, "answer")
        self.settle(bob)
        bob.read(conversation_id)
        last = str(MESSAGES + 1)
        alice.run_until(lambda: alice.texts(conversation_id)[-1] == "answer")
        told = alice.receipts[conversation_id]
        alice.run_until(lambda: told.get(bob.login.user_id, {}).get("readSeq") == last)

    def kill_while_sending(self, server: LiveServer, alice: Client, bob: Client, sent: list[str]) -> None:
        """``kill -9`` with messages on their way; Alice comes back and sends again what had no ACK."""
        sent += self.say(alice, bob, "killed")
        alice.run_until(lambda: len(alice.unacked) < MESSAGES)
        server.kill()
        with self.assertRaises(ConnectionLost):
            alice.run_until(lambda: False)
        alice.close()
        sent += self.say(alice, bob, "offline")
        server.start()
        alice.reconnect()
        self.settle(alice)

    def newcomer(self, rest: Rest, reach: Reach, server: LiveServer, sent: list[str]) -> None:
        """Bob's second device, which holds nothing, gets everything by sync and history."""
        login: Login = rest.login("bob", PASSWORD, "bob-desk")
        desk = Client(login, lambda: reach(server))
        self.addCleanup(desk.close)
        desk.connect()
        desk.run_until(lambda: [len(log) for log in desk.log.values()] == [len(sent)])
        (conversation_id,) = desk.log
        self.assertEqual(desk.texts(conversation_id), sent)
