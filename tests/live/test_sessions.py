"""protocol/vectors/sessions.json against a real server, over every transport."""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from tests.live.dialogue import Departed, Dialogue
from tests.live.server import NO_LIMITS, LiveServer
from tests.live.standalone_client import Login, Rest
from tests.live.standalone_proto import Json
from tests.live.standalone_wire import TcpWire, WebSocketWire, Wire
from tests.protocol.vectors import load

PASSWORD = "correct horse battery"
#: Alice on two devices, Bob, and Eve, who is not in their conversation.
_SEATS = {
    "C": ("alice", "alice-phone"),
    "D": ("alice", "alice-desk"),
    "B": ("bob", "bob-phone"),
    "E": ("eve", "eve-phone"),
}


def _people(rest: Rest) -> dict[str, Login]:
    for handle in ("alice", "bob", "eve"):
        rest.register(handle, PASSWORD, "first")
    return {seat: rest.login(handle, PASSWORD, device) for seat, (handle, device) in _SEATS.items()}


def _opening(sender: str, receiver: str) -> list[Json]:
    send = {"peerUserId": f"${receiver}.user", "clientMsgId": "$id1", "type": "TEXT", "textContent": "first"}
    return [
        {"who": sender, "login": {"acks": "ACK_FINAL_ONLY"}},
        {"who": sender, "send": {"send": send}},
        {"who": sender, "expect": {"ack": {"status": "STORED", "conversationId": "$conversation"}}},
    ]


class SessionsTests(SynchronousTestCase):
    """Each vector, as a client sees it."""

    def play_all(self, transport: str, reach: Callable[[LiveServer], Wire], *, tls: bool = False) -> None:
        """All vectors that go with a transport; what departs is told together."""
        settings = {**NO_LIMITS, "gateway": {"auth_timeout_s": 1}}
        with LiveServer(settings=settings, tls=tls) as server:
            people = _people(Rest(server.http_url))
            bound: Json = {}
            for name, pair in (("conversation", ("C", "B")), ("foreign", ("B", "E"))):
                opened = Dialogue(people=people, bound={}, reach=lambda: reach(server)).play(_opening(*pair))
                bound[name] = opened["conversation"]
            wrong = []
            for vector in load("sessions.json")["sessions"]:
                if transport in vector.get("transports", [transport]):
                    dialogue = Dialogue(people=people, bound=bound, reach=lambda: reach(server))
                    try:
                        dialogue.play(vector["steps"])
                    except Departed as error:
                        wrong.append(f"{vector['name']}: {error}")
            if "Traceback" in server.log:
                wrong.append(f"the server's log holds a traceback:\n{server.log[-3000:]}")
        self.assertEqual(wrong, [], "\n" + "\n".join(wrong))

    def test_tcp(self) -> None:
        """Over TCP the server answers as the vectors say."""
        self.play_all("tcp", lambda server: TcpWire("127.0.0.1", server.tcp_port))

    def test_tls(self) -> None:
        """Over TLS, the same as over TCP."""

        def reach(server: LiveServer) -> Wire:
            return TcpWire("127.0.0.1", server.tls_port, certificate_file=server.certificate_file)

        self.play_all("tcp", reach, tls=True)

    def test_websocket_protobuf(self) -> None:
        """Over WebSocket, with frames in binary messages."""
        self.play_all("im.v1.proto", lambda server: WebSocketWire(server.ws_url, subprotocol="im.v1.proto"))

    def test_websocket_json(self) -> None:
        """Over WebSocket, with JSON in text messages."""
        self.play_all("im.v1.json", lambda server: WebSocketWire(server.ws_url, subprotocol="im.v1.json"))
