"""What hostile and broken clients do to a real server: they get their answer, and nobody else notices."""

from __future__ import annotations

import json
import socket
import struct
import time
from contextlib import ExitStack
from functools import partial

from twisted.trial.unittest import SynchronousTestCase

from imd.client.load.crowd import Crowd
from tests.live.neighbourhood import (
    client_of,
    cpu_s,
    ended_within,
    inhabited_server,
    login_of,
    raw,
    rss_bytes,
    undisturbed,
)
from tests.live.server import LiveServer
from tests.live.standalone_client import Client, Refused, Rest
from tests.live.standalone_proto import Json, varint
from tests.live.standalone_wire import Frames, TcpWire, WebSocketWire, _frame

STALLED = 200
MIB = 1 << 20
_HEARTBEAT = _frame({"hb": {"sentAt": "1"}})


def _upgrade(server: LiveServer, *headers: str, path: str = "/ws", ending: str = "\r\n\r\n") -> bytes:
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{server.http_port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        *headers,
    ]
    return ("\r\n".join(lines) + ending).encode("latin-1")


class AttackTests(SynchronousTestCase):
    """One server for all of them; each test leaves it as it was."""

    server: LiveServer
    crowd: Crowd
    _running = False

    def setUp(self) -> None:
        cls = AttackTests
        if not cls._running:
            # Ends with the test run.
            cls.server, cls.crowd = inhabited_server(people=STALLED + 10, group=STALLED + 2)
            cls.server.start()
            cls._running = True

    def tearDown(self) -> None:
        """No attack may leave a traceback, or fill the log."""
        log = self.server.log
        self.assertFalse("Traceback" in log or "Unhandled" in log, log[-3000:])
        self.assertLess(len(log.splitlines()), 60, log[-3000:])

    def errors(self, came: bytes) -> list[Json]:
        """The errors in what the server said."""
        return [each["error"] for each in Frames().feed(came) if "error" in each]

    def test_noise_on_the_tcp_port(self) -> None:
        """HTTP, a TLS hello and garbage are told PAYLOAD_INVALID or AUTH_FAILED and closed within a second."""
        hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x55" * 600
        http = (
            b"GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: curl/8\r\nAccept: */*\r\nX-Long: "
            + b"y" * 90
            + b"\r\n\r\n"
        )
        with undisturbed(self.server, self.crowd):
            for noise in (hello, http, b"\xff" * 64, b"\x80\x00", b"\x04\xff\xff\xff\xff", b"\n\x0b" * 400):
                for _ in range(10):
                    errors = self.errors(ended_within(raw(self.server, noise), 1))
                    self.assertEqual([error["closing"] for error in errors], [True], noise[:20])
                    self.assertIn(errors[0]["code"], ("PAYLOAD_INVALID", "AUTH_FAILED"))

    def test_cut_in_the_middle(self) -> None:
        """Resets in the middle of a frame leave no session and no open file."""
        with undisturbed(self.server, self.crowd):
            for _ in range(100):
                reached = raw(self.server, _HEARTBEAT + _HEARTBEAT[:2])
                reached.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                reached.close()

    def test_slowloris(self) -> None:
        """500 connections that dribble, on every port, are all closed in time."""
        beginnings = (
            (self.server.tcp_port, b"\x80"),
            (self.server.tcp_port, b"\x20\x0a"),
            (self.server.tcp_port, b""),
        )
        with ExitStack() as stack, undisturbed(self.server, self.crowd):
            slow = [
                stack.enter_context(raw(self.server, data, port=port))
                for port, data in beginnings
                for _ in range(166)
            ]
            web = [
                stack.enter_context(raw(self.server, data, port=self.server.http_port))
                for data in (b"GET /api/v1/me HTTP/1.1\r\nHos", _upgrade(self.server, ending=""))
                for _ in range(50)
            ]
            for reached in slow:
                came = ended_within(reached, 6)
                self.assertEqual(self.errors(came)[0]["code"], "AUTH_FAILED")
            self.assertEqual(len(web), 100)

    def test_ten_thousand_frames_at_once(self) -> None:
        """A segment of 10,000 heartbeats is answered, and the neighbours wait for little of it."""
        login = login_of(self.crowd, 0)
        wire = TcpWire("127.0.0.1", self.server.tcp_port)
        wire.send({"connect": {"token": login.token, "deviceId": login.device_id, "platform": "bot"}})
        wire.receive(5)
        wire.receive(5)
        with undisturbed(self.server, self.crowd, most_s=10) as neighbours:
            began_s = time.monotonic()
            wire.send_raw(_HEARTBEAT * 10_000)
            answers = [wire.receive(10) for _ in range(10_000)]
            took_s = time.monotonic() - began_s
        # A busy machine takes longer for both.
        self.assertLess(neighbours.slow_s, max(0.2, took_s / 2))
        self.assertEqual({next(iter(answer)) for answer in answers if answer}, {"hb"})
        self.assertNotIn(None, answers)
        wire.close()

    def test_empty_frames(self) -> None:
        """Megabytes of empty frames cost little time."""
        with undisturbed(self.server, self.crowd):
            before_s = cpu_s(self.server.pid)
            with raw(self.server) as reached:
                for _ in range(64):
                    reached.sendall(b"\0" * 65536)
                reached.sendall(_HEARTBEAT)
                reached.settimeout(5)
                self.assertEqual(len(Frames().feed(reached.recv(100))), 1)
            self.assertLess(cpu_s(self.server.pid) - before_s, 1.5)

    def test_lengths_that_promise_much(self) -> None:
        """1,000 connections that announce gigabytes are refused by the header, and cost no memory."""
        before = rss_bytes(self.server.pid)
        with undisturbed(self.server, self.crowd):
            for _ in range(1000):
                errors = self.errors(ended_within(raw(self.server, b"\xff\xff\xff\xff\x0f"), 5))
                self.assertEqual(errors[0]["code"], "PAYLOAD_INVALID")
        self.assertLess(rss_bytes(self.server.pid) - before, 16 * MIB)

    def test_stalled_readers(self) -> None:
        """200 members of a busy group who read nothing cost bounded memory; those who read get it all."""
        group = self.crowd.conversations[0]
        stalled = []
        for index in range(STALLED):
            login = login_of(self.crowd, index)
            connect = {"token": login.token, "deviceId": login.device_id, "platform": "bot"}
            reached = socket.socket()
            reached.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reached.connect(("127.0.0.1", self.server.tcp_port))
            reached.sendall(_frame({"connect": connect}))
            stalled.append(reached)
        speaker, reader = (
            client_of(self.server, self.crowd, STALLED),
            client_of(self.server, self.crowd, STALLED + 1),
        )
        before = rss_bytes(self.server.pid)
        with undisturbed(self.server, self.crowd, most_s=1.0):
            for number in range(400):
                send = {
                    "conversationId": group,
                    "clientMsgId": f"s{number}",
                    "type": "TEXT",
                    "textContent": "x" * 9000,
                }
                speaker._put({"send": send})
                if number % 20 == 19:
                    speaker.run_until(partial(_is_stored, speaker, f"s{number}"))
            reader.run_until(lambda: len(reader.log[group]) == 400, timeout_s=30)
        grown = rss_bytes(self.server.pid) - before
        self.assertLess(grown, 250 * MIB)
        self.assertIn(True, [b"read too slowly" in _drained(reached) for reached in stalled[:10]])
        for reached in stalled:
            reached.close()
        speaker.close()
        reader.close()

    def test_tokens(self) -> None:
        """A token that is forged, of another kind or somewhere else than in Connect opens nothing."""
        rest = Rest(self.server.http_url)
        rest.register("mallory", "correct horse battery", "m1")
        session = rest.call(
            "POST", "/login", {"handle": "mallory", "password": "correct horse battery", "deviceId": "m1"}
        )
        good = session["token"]
        head, claims, signature = good.split(".")
        forged = [
            f"{head}.{claims}.{'A' * len(signature)}",
            f"{head}.{claims}.",
            f"{head}.{claims}",
            f"eyJhbGciOiJub25lIn0.{claims}.",
            good + "." + signature,
            "x" * 4000,
            *[
                value
                for name, value in session.items()
                if "token" in name.lower() and value != good and isinstance(value, str)
            ],
        ]
        for token in forged:
            wire = TcpWire("127.0.0.1", self.server.tcp_port)
            wire.send({"connect": {"token": token, "deviceId": "m1", "platform": "bot"}})
            answer = wire.receive(5)
            assert answer is not None
            self.assertEqual(answer["error"]["code"], "AUTH_FAILED", token[:30])
            wire.close()
        for path in (f"/ws?token={good}", f"/ws?access_token={good}"):
            upgrade = _upgrade(self.server, "Sec-WebSocket-Protocol: im.v1.proto", path=path)
            came = ended_within(raw(self.server, upgrade, port=self.server.http_port), 5)
            self.assertTrue(came.startswith(b"HTTP/1.1 400"), came[:60])
        with self.assertRaises(Refused):
            rest.call("GET", f"/me?token={good}")
        self.assertFalse(good in self.server.log)
        self.assertFalse("correct horse" in self.server.log)

    def test_websocket_handshakes(self) -> None:
        """Broken and oversized upgrades are refused; nothing of them is logged."""
        protocol = "Sec-WebSocket-Protocol: im.v1.proto"
        for headers, status in (
            ((protocol, "Origin: null"), b"403"),
            ((protocol, "Origin: https://evil.example"), b"403"),
            ((protocol, "Origin: https://["), b"400"),
            ((), b"400"),
            (("Sec-WebSocket-Protocol: " + ", ".join(f"p{number}" for number in range(1000)),), b"400"),
            ((protocol, "X-Forwarded-For: 10.0.0.1", "X-Name: \xe4\xff"), b"101"),
        ):
            reached = raw(self.server, _upgrade(self.server, *headers), port=self.server.http_port)
            reached.settimeout(5)
            with reached:
                self.assertIn(status, reached.recv(4096)[:16], headers)
        large = _upgrade(self.server, protocol, "X-Large: " + "x" * 17_000)
        self.assertFalse(b"101" in ended_within(raw(self.server, large, port=self.server.http_port), 5))

    def test_wrong_kind_of_message(self) -> None:
        """Text under im.v1.proto is closed with 1003."""
        wire = WebSocketWire(self.server.ws_url, subprotocol="im.v1.proto")
        wire._connection.send("{}")
        try:
            wire.receive(5)
        except Exception as error:
            self.assertIn("1003", str(error))
        else:
            self.fail("it was taken")

    def test_bad_content(self) -> None:
        """Invalid UTF-8, field bombs and deep nesting are refused quickly, and the process stays small."""
        login = login_of(self.crowd, 1)
        connect = {"token": login.token, "deviceId": login.device_id, "platform": "bot"}
        many = b"".join(b"\x12\x00" for _ in range(100_000))
        bombs = (
            b"\x52\x04\x22\x02\xff\xff",
            b"\x0b" * 200,
            _field(44, many),
            _field(60, b"\x08\x01" * 100_000),
            _field(10, b"".join(b"\x32\x04\x0a\x02" + bytes(divmod(n, 100)) for n in range(20_000))),
        )
        before = rss_bytes(self.server.pid)
        with undisturbed(self.server, self.crowd):
            for bomb in bombs:
                wire = TcpWire("127.0.0.1", self.server.tcp_port)
                wire.send({"connect": connect})
                wire.receive(5)
                wire.receive(5)
                wire.send_raw(varint(len(bomb)) + bomb)
                answer = wire.receive(5)
                assert answer is not None
                error = answer.get("error") or answer["ack"]["error"]
                self.assertEqual(error["code"], "PAYLOAD_INVALID", json.dumps(answer))
                wire.close()
        self.assertLess(rss_bytes(self.server.pid) - before, 32 * MIB)


def _is_stored(client: Client, client_msg_id: str) -> bool:
    return bool(client.acks.get(client_msg_id, {}).get("status") == "STORED")


def _field(number: int, payload: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def _drained(reached: socket.socket) -> bytes:
    """What had been sent to a reader who wakes up at last."""
    reached.settimeout(1)
    data = b""
    deadline_s = time.monotonic() + 3
    try:
        while time.monotonic() < deadline_s and b"read too slowly" not in data:
            some = reached.recv(1 << 20)
            if not some:
                break
            data += some
    except (TimeoutError, ConnectionResetError):
        pass
    return data
