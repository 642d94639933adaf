"""SIGTERM: everybody is told, nobody is waited for longer than need be, and nothing is lost."""

from __future__ import annotations

import os
import signal
import time

from twisted.trial.unittest import SynchronousTestCase

from imd.client.load.crowd import Crowd
from tests.live.neighbourhood import inhabited_server, login_of, raw
from tests.live.server import LiveServer
from tests.live.standalone_wire import ConnectionLost, TcpWire, WebSocketWire, Wire


def _enter(wire: Wire, crowd: Crowd, index: int) -> Wire:
    login = login_of(crowd, index)
    wire.send({"connect": {"token": login.token, "deviceId": login.device_id, "platform": "bot"}})
    wire.receive(5)
    wire.receive(5)
    return wire


class DrainTests(SynchronousTestCase):
    """The way down."""

    def setUp(self) -> None:
        self.server, self.crowd = inhabited_server(people=4)
        self.addCleanup(self.server.close)
        self.server.start()

    def terminate(self) -> float:
        os.kill(self.server.pid, signal.SIGTERM)
        return time.monotonic()

    def exit_code(self, server: LiveServer, timeout_s: float) -> int:
        process = server._process
        assert process is not None
        return process.wait(timeout_s)

    def test_alone(self) -> None:
        """Without connections it ends at once, with 0."""
        began_s = self.terminate()
        self.assertEqual(self.exit_code(self.server, 5), 0)
        self.assertLess(time.monotonic() - began_s, 3)

    def test_clients_leave(self) -> None:
        """All are told to reconnect; what they finish is stored; when they have left it ends, with 0."""
        wires = [
            _enter(TcpWire("127.0.0.1", self.server.tcp_port), self.crowd, 0),
            _enter(WebSocketWire(self.server.ws_url, subprotocol="im.v1.proto"), self.crowd, 1),
            _enter(WebSocketWire(self.server.ws_url, subprotocol="im.v1.json"), self.crowd, 2),
        ]
        began_s = self.terminate()
        for wire in wires:
            told = wire.receive(5)
            assert told is not None
            self.assertGreater(told["reconnect"]["spreadMs"], 0)
        with self.assertRaises(OSError):
            raw(self.server)
        send = {
            "peerUserId": login_of(self.crowd, 3).user_id,
            "clientMsgId": "last",
            "type": "TEXT",
            "textContent": "x",
        }
        wires[0].send({"send": send})
        statuses = []
        while "STORED" not in statuses:
            answer = wires[0].receive(5)
            assert answer is not None
            statuses.append(answer["ack"]["status"])
        for wire in wires:
            wire.close()
        self.assertEqual(self.exit_code(self.server, 5), 0)
        self.assertLess(time.monotonic() - began_s, 4)
        self.assertFalse("Traceback" in self.server.log, self.server.log[-3000:])

    def test_clients_stay(self) -> None:
        """Who does not leave is closed at the deadline, with a word; strangers at once."""
        stranger = TcpWire("127.0.0.1", self.server.tcp_port)
        stranger.send({"hb": {}})
        stranger.receive(5)
        wire = _enter(TcpWire("127.0.0.1", self.server.tcp_port), self.crowd, 0)
        began_s = self.terminate()
        turned_away = stranger.receive(2)
        assert turned_away is not None
        self.assertEqual(turned_away["error"]["code"], "SERVER_BUSY")
        wire.receive(2)
        last = wire.receive(10)
        assert last is not None
        self.assertEqual((last["error"]["code"], last["error"]["closing"]), ("SERVER_BUSY", True))
        with self.assertRaises(ConnectionLost):
            wire.receive(5)
        self.assertEqual(self.exit_code(self.server, 10), 0)
        self.assertLess(time.monotonic() - began_s, 9)
        self.assertFalse("Traceback" in self.server.log, self.server.log[-3000:])
