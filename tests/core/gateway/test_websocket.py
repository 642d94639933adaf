"""Web clients: who may upgrade, and what a WebSocket may carry."""

from __future__ import annotations

import struct
from typing import Any

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from imd.config.address import parse_network
from imd.core.gateway.websocket import (
    FRAMES_PER_TURN,
    MAX_FRAGMENTS,
    MESSAGE_BYTES,
    MESSAGE_FACTOR,
    WebSocketLink,
    WebSocketLinkFactory,
)
from imd.pb.connection_pb2 import Heartbeat
from imd.pb.envelope_pb2 import Envelope
from imd.wire.codec import encode, encode_json
from imd.wire.outbound import Outbound, Priority
from imd.wire.server import UNAUTHENTICATED_FRAME_BYTES
from imd.wire.trusted_proxies import TrustedProxies
from tests.core.gateway.world import NO_RATES, World, connect

HOST = "chat.example.com"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
BEAT = Envelope(hb=Heartbeat(sentAt=1))


def frame(opcode: int, payload: bytes = b"", *, final: bool = True, length: int | None = None) -> bytes:
    """A masked frame of a client; ``length`` is what its header says."""
    length = len(payload) if length is None else length
    head = bytes([opcode | (0x80 if final else 0)])
    if length < 126:
        head += bytes([0x80 | length])
    elif length < 1 << 16:
        head += b"\xfe" + struct.pack("!H", length)
    else:
        head += b"\xff" + struct.pack("!Q", length)
    return head + b"\0\0\0\0" + payload


def frames_in(data: bytes) -> list[tuple[int, bytes]]:
    """What the server sent: opcode and payload of each frame."""
    found = []
    while data:
        length, at = data[1] & 0x7F, 2
        if length == 126:
            length, at = struct.unpack("!H", data[2:4])[0], 4
        elif length == 127:
            length, at = struct.unpack("!Q", data[2:10])[0], 10
        found.append((data[0] & 0x0F, data[at : at + length]))
        data = data[at + length :]
    return found


class SocketTransport(StringTransport):
    """What a link asks of a transport."""

    aborted = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        """As on a socket."""

    def abortConnection(self) -> None:
        self.aborted = True

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None


class Browser:
    """The other side of one WebSocket."""

    def __init__(
        self,
        world: World,
        *,
        origins: tuple[str, ...] = (),
        deflate: bool = False,
        proxies: TrustedProxies = TrustedProxies(),  # noqa: B008 - immutable
    ) -> None:
        self.world = world
        clock: Any = world.clock
        factory = WebSocketLinkFactory(
            gateway=world.gateway,
            clock=clock,
            reactor=clock,
            origins=origins,
            deflate=deflate,
            proxies=proxies,
        )
        factory._batched_timer.call_later = clock.callLater
        self.link: WebSocketLink = factory.buildProtocol(None)
        self.transport = SocketTransport()
        self.link.makeConnection(self.transport)

    def upgrade(self, *, path: str = "/ws", protocols: str = "im.v1.proto", **headers: str) -> str:
        """Ask; the first line of the answer."""
        wanted = {
            "Host": HOST,
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Protocol": protocols,
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in wanted.items() if value)]
        self.link.dataReceived("\r\n".join([*lines, "", ""]).encode("latin-1"))
        self.head: str = self.transport.value().decode("latin-1")
        self.transport.clear()
        status: str = self.head.split("\r\n")[0].removeprefix("HTTP/1.1 ")[:3]
        return status

    def open(self, protocols: str = "im.v1.proto") -> None:
        assert self.upgrade(protocols=protocols) == "101"

    def says(self, *frames: bytes) -> None:
        self.link.dataReceived(b"".join(frames))

    def heard(self) -> list[tuple[int, bytes]]:
        self.world.turn()
        data = self.transport.value()
        self.transport.clear()
        return frames_in(data)

    def closed_with(self) -> int:
        """The code of the server's Close; 0 if there is none."""
        for opcode, payload in self.heard():
            if opcode == CLOSE:
                return int(struct.unpack("!H", payload[:2])[0])
        return 0


class UpgradeTests(SynchronousTestCase):
    """Who gets a WebSocket."""

    def answer(self, origin: str, *, origins: tuple[str, ...] = (), **headers: str) -> str:
        return Browser(World(), origins=origins).upgrade(Origin=origin, **headers)

    def test_origins(self) -> None:
        """Pages of this very host, and clients that are no browsers; nobody else."""
        for origin, status in (
            ("", "101"),
            (f"https://{HOST}", "101"),
            (f"http://{HOST}", "101"),
            ("null", "403"),
            ("https://evil.example", "403"),
            (f"https://{HOST}.evil.example", "403"),
            (f"https://evil.{HOST}", "403"),
            (f"https://{HOST}:8443", "403"),
            (f"https://user@{HOST}", "403"),
            ("file:///etc/passwd", "403"),
            ("https://[", "400"),
            ("garbage", "400"),
        ):
            self.assertEqual(self.answer(origin), status, origin)

    def test_listed_origins(self) -> None:
        """With a list the list decides, and the host does not."""
        listed = ("https://web.example.com", "null")
        for origin, status in (
            ("https://web.example.com", "101"),
            ("null", "101"),
            ("http://web.example.com", "403"),
            (f"https://{HOST}", "403"),
            ("", "101"),
        ):
            self.assertEqual(self.answer(origin, origins=listed), status, origin)

    def test_subprotocols(self) -> None:
        """Protobuf is preferred, JSON is served, anything else is refused."""
        for asked, chosen in (
            ("im.v1.proto", "im.v1.proto"),
            ("im.v1.json", "im.v1.json"),
            ("im.v1.json, im.v1.proto", "im.v1.proto"),
            ("other, im.v1.json", "im.v1.json"),
            ("im.v2", None),
            ("", None),
            (", ".join(f"p{number}" for number in range(1000)), None),
        ):
            browser = Browser(World())
            status = browser.upgrade(protocols=asked)
            self.assertEqual(status, "400" if chosen is None else "101", asked[:40])
            if chosen is not None:
                self.assertIn(f"Sec-WebSocket-Protocol: {chosen}\r\n", browser.head)

    def test_token_in_the_url(self) -> None:
        """A token in the address is refused, so that nobody gets used to it."""
        for name in ("token", "access_token"):
            self.assertEqual(Browser(World()).upgrade(path=f"/ws?{name}=secret"), "400")
        self.assertEqual(Browser(World()).upgrade(path="/ws?v=1"), "101")

    def test_proxied(self) -> None:
        """Behind a proxy of ours a client is where that says; without one, where the connection comes from."""
        ours = TrustedProxies([parse_network("192.168.1.0/24")])
        for proxies, address in ((ours, "203.0.113.7"), (TrustedProxies(), "192.168.1.1")):
            browser = Browser(World(), proxies=proxies)
            self.assertEqual(browser.upgrade(X_Forwarded_For="1.1.1.1, 203.0.113.7"), "101")
            self.assertEqual(browser.link.address, address)

    def test_no_deflate(self) -> None:
        """Compression is not agreed to, unless the operator wants it."""
        offer = {"Sec_WebSocket_Extensions": "permessage-deflate"}
        for deflate in (False, True):
            browser = Browser(World(), deflate=deflate)
            self.assertEqual(browser.upgrade(**offer), "101")
            self.assertEqual("permessage-deflate" in browser.head, deflate)

    def test_full(self) -> None:
        """An upgrade too many is cut off."""
        world = World(max_connections=0)
        browser = Browser(world)
        browser.upgrade()
        self.assertTrue(browser.transport.aborted)

    def test_bad_handshakes(self) -> None:
        """A broken request gets 400 and no session; nothing about it is logged."""
        world = World()
        for broken in (
            {"Sec_WebSocket_Key": "short"},
            {"Sec_WebSocket_Version": "12"},
            {"X_Y": "\xe4", "Host": ""},
        ):
            self.assertIn(Browser(world).upgrade(**broken), ("400", "426"))
        self.assertEqual(len(world.registry), 0)


class CarryingTests(SynchronousTestCase):
    """What goes through an open WebSocket."""

    def setUp(self) -> None:
        self.world = World()
        self.browser = Browser(self.world)

    def login(self) -> None:
        self.browser.open()
        self.browser.says(frame(BINARY, encode(connect())))
        self.assertEqual([opcode for opcode, _ in self.browser.heard()], [BINARY])

    def test_binary(self) -> None:
        """Frames in binary messages, several in one, and in both directions."""
        self.browser.open()
        self.browser.says(frame(BINARY, encode(BEAT) * 2))
        self.assertEqual(b"".join(payload for _, payload in self.browser.heard()), encode(BEAT) * 2)

    def test_text(self) -> None:
        """One JSON Envelope a text message, in both directions."""
        self.browser.open("im.v1.json")
        self.browser.says(*[frame(TEXT, encode_json(BEAT).encode())] * 2)
        self.assertEqual(self.browser.heard(), [(TEXT, encode_json(BEAT).encode())] * 2)

    def test_wrong_kind(self) -> None:
        """Text under the binary subprotocol, and the reverse, closes with 1003 and serves nothing more."""
        for protocol, opcode in (("im.v1.proto", TEXT), ("im.v1.json", BINARY)):
            browser = Browser(self.world)
            browser.open(protocol)
            browser.says(frame(opcode, b"{}"), frame(3 - opcode, encode(BEAT)))
            self.assertEqual(browser.closed_with(), 1003)
            self.assertEqual(browser.heard(), [])

    def test_violations(self) -> None:
        """What RFC 6455 forbids closes with its code."""
        unmasked = b"\x82\x01x"
        for data, code in (
            (frame(TEXT, b"\xff"), 1007),
            (unmasked, 1002),
            (frame(3), 1002),
            (frame(0, b"x"), 1002),
            (frame(PING, b"x", final=False), 1002),
            (frame(PING, b"x" * 126), 1002),
            (b"\xc2" + frame(BINARY)[1:], 1002),
            (frame(BINARY, final=False) + frame(BINARY), 1002),
            (frame(CLOSE, b"\x03"), 1002),
            (frame(CLOSE, struct.pack("!H", 1000)), 1000),
        ):
            browser = Browser(self.world)
            browser.open()
            browser.says(data)
            self.assertEqual(browser.closed_with(), code, data)

    def test_stranger_size(self) -> None:
        """A stranger's message is judged by its header, and by all headers of its fragments."""
        limit = UNAUTHENTICATED_FRAME_BYTES * MESSAGE_FACTOR
        part = frame(0, b"x" * 1000, final=False)
        for data, code in (
            (frame(BINARY, b"", length=limit), 0),
            (frame(BINARY, b"", length=limit + 1), 1009),
            (frame(BINARY, b"", length=1 << 62), 1009),
            (frame(BINARY, final=False) + part * (limit // 1000 + 1), 1009),
        ):
            browser = Browser(self.world)
            browser.open()
            browser.says(data)
            for _ in range(3):
                self.world.turn()
            self.assertEqual(browser.closed_with(), code)

    def test_size_after_login(self) -> None:
        """Who is known may send an Envelope's worth."""
        self.login()
        self.browser.says(frame(BINARY, b"", length=260 * 1024))
        self.assertEqual(self.browser.closed_with(), 0)

    def test_fragments(self) -> None:
        """A message in a few fragments is one message; in too many it closes with 1008."""
        data = encode(BEAT)
        self.browser.open()
        self.browser.says(frame(BINARY, data[:1], final=False), frame(PING, b"p"), frame(0, data[1:]))
        self.assertEqual(self.browser.heard(), [(PONG, b"p"), (BINARY, data)])
        self.browser.says(frame(BINARY, final=False), frame(0, final=False) * MAX_FRAGMENTS)
        self.assertEqual(self.browser.closed_with(), 1008)

    def test_half_a_message(self) -> None:
        """A message that was begun must end in time."""
        self.login()
        self.browser.says(frame(BINARY, b"x", final=False))
        self.world.scan(8)
        self.browser.says(frame(0, b"x", final=False))
        self.assertEqual(self.browser.closed_with(), 0)
        self.world.scan(9)
        self.assertEqual(self.browser.closed_with(), 1000)

    def test_frames_per_turn(self) -> None:
        """A segment of 1,000 small messages takes many turns, and is not read on meanwhile."""
        self.login()
        self.browser.says(frame(BINARY, encode(BEAT)) * 1000)
        self.assertLessEqual(len(frames_in(self.browser.transport.value())), FRAMES_PER_TURN)
        self.assertEqual(self.browser.transport.producerState, "paused")
        answers = b"".join(payload for _, payload in self.browser.heard())
        self.assertEqual(answers, encode(BEAT) * 1000)
        self.assertEqual(self.browser.transport.producerState, "producing")

    def test_ping_flood(self) -> None:
        """Pings and pongs are charged like heartbeats; too many close with 1008."""
        for opcode in (PING, PONG):
            browser = Browser(World(rates=NO_RATES._replace(device_frames_per_s=5)))
            browser.open()
            browser.says(frame(opcode, b"p") * 11)
            self.assertEqual(browser.closed_with(), 1008)

    def test_back_pressure(self) -> None:
        """While the transport is full nothing is sent or read; then it goes out in messages of some size."""
        self.login()
        session = self.world.registry.of_user(1)[0]
        self.browser.link.pauseProducing()
        for _ in range(20):
            session.push(Outbound(b"x" * 20_000, Priority.CONTROL))
        self.assertEqual((self.browser.heard(), self.browser.transport.producerState), ([], "paused"))
        self.browser.link.resumeProducing()
        messages = self.browser.heard()
        self.assertEqual(sum(len(payload) for _, payload in messages), 400_000)
        self.assertLessEqual(max(len(payload) for _, payload in messages), MESSAGE_BYTES)
        self.assertEqual(self.browser.transport.producerState, "producing")

    def test_large_batches(self) -> None:
        """What is larger than a client may send goes out all the same."""
        self.login()
        self.world.registry.of_user(1)[0].push(Outbound(b"x" * 3_000_000, Priority.NORMAL))
        self.assertEqual([len(payload) for _, payload in self.browser.heard()], [3_000_000])

    def test_kicked(self) -> None:
        """The last frame is sent, then Close; who does not answer is cut off."""
        self.login()
        self.world.gateway.revoke(1, device_id="", except_device_id="", reason="x", age_ms=0)
        self.assertEqual([opcode for opcode, _ in self.browser.heard()], [BINARY, CLOSE])
        self.browser.says(frame(BINARY, encode(BEAT)))
        self.assertEqual(self.browser.heard(), [])
        self.world.clock.advance(6)
        self.assertTrue(self.browser.transport.aborted or self.browser.transport.disconnecting)

    def test_nothing_is_left(self) -> None:
        """After the end there is no session."""
        self.login()
        self.browser.link.connectionLost()
        self.world.turn()
        self.assertEqual(len(self.world.registry), 0)
