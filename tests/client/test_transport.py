"""URLs and links."""

from __future__ import annotations

from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.test.iosim import connect, makeFakeClient, makeFakeServer
from twisted.trial.unittest import SynchronousTestCase

from imd.client.transport import JSON, PROTO, StreamDial, StreamLink, WebSocketDial, WebSocketLink, dialer


class Ear:
    """A Receiver that remembers."""

    def __init__(self) -> None:
        self.heard: list[bytes | str] = []
        self.lost_because: list[str] = []

    def received(self, data: bytes | str) -> None:
        self.heard.append(data)

    def lost(self, reason: str) -> None:
        self.lost_because.append(reason)


class UrlTests(SynchronousTestCase):
    """What may stand in a URL."""

    def test_kinds(self) -> None:
        """tcp and tls are streams, ws and wss WebSockets, in the codec that is asked for."""
        reactor = MemoryReactorClock()
        for url in ("tcp://h:1", "tls://h"):
            self.assertIsInstance(dialer(url, reactor=reactor), StreamDial)
        for url, json in (
            ("ws://h", False),
            ("wss://h/ws", False),
            ("ws://[::1]:2/ws?codec=json", True),
        ):
            dial = dialer(url, reactor=reactor)
            self.assertIsInstance(dial, WebSocketDial)
            self.assertEqual(dial.json, json)
        self.assertTrue(dialer("ws://h", reactor=reactor, codec="json").json)

    def test_wrong(self) -> None:
        """What cannot work is refused at once."""
        for url in ("http://h", "h:1", "tcp://", "tcp://h:x", "tcp://h?codec=json", "ws://h?codec=xml"):
            self.assertRaises(ValueError, dialer, url, reactor=MemoryReactorClock())


class StreamTests(SynchronousTestCase):
    """TCP and TLS."""

    def test_both_ways(self) -> None:
        """Frames go out in one piece, bytes come in as they come, and the end is told."""
        ear = Ear()
        link = StreamLink(ear)
        transport = StringTransport()
        link.makeConnection(transport)
        link.write([b"ab", b"c"])
        self.assertEqual(transport.value(), b"abc")
        link.dataReceived(b"xy")
        self.assertEqual(ear.heard, [b"xy"])
        link.close()
        self.assertTrue(transport.disconnecting)


class Echo(WebSocketServerProtocol):  # type: ignore[misc, unused-ignore]
    """Says back what it hears, and remembers the subprotocols."""

    def onConnect(self, request: Any) -> str:
        self.factory.offered = request.protocols
        return str(request.protocols[0])

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        send: Any = self.sendMessage
        send(payload, isBinary)


class WebSocketTests(SynchronousTestCase):
    """WebSocket against Autobahn's own server, in memory."""

    def talk(self, *, json: bool, item: bytes | str) -> tuple[Ear, list[str]]:
        clock = MemoryReactorClock()
        ear = Ear()
        links: list[Any] = []
        make_server: Any = WebSocketServerFactory
        server_factory = make_server("ws://h:1", protocols=[PROTO, JSON], reactor=clock)
        server_factory.protocol = Echo
        server = server_factory.buildProtocol(None)

        class Endpoint:
            """Connects to the server above."""

            def connect(self, factory: Any) -> Any:
                client = factory.buildProtocol(None)
                self.pump = connect(
                    server, makeFakeServer(server), client, makeFakeClient(client), greet=False
                )
                self.pump.flush()
                return links_made

        links_made: Deferred[Any] = Deferred()
        endpoint: Any = Endpoint()
        dial = WebSocketDial("ws://h:1/ws", endpoint, reactor=clock, json=json)
        dial(ear).addCallback(links.append)
        endpoint.pump.flush()
        link: WebSocketLink = links[0]
        link.write([item, item])
        endpoint.pump.flush()
        link.close()
        endpoint.pump.flush()
        clock.advance(5)
        endpoint.pump.flush()
        return ear, server_factory.offered

    def test_binary(self) -> None:
        """Frames travel together in one binary message."""
        ear, offered = self.talk(json=False, item=b"frame")
        self.assertEqual((ear.heard, offered), ([b"frameframe"], [PROTO]))
        self.assertEqual(len(ear.lost_because), 1)

    def test_text(self) -> None:
        """JSON texts travel one by one."""
        ear, offered = self.talk(json=True, item='{"a": "é"}')
        self.assertEqual((ear.heard, offered), (['{"a": "é"}', '{"a": "é"}'], [JSON]))
