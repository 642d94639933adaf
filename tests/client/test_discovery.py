"""Finding a gateway by the REST address alone."""

from __future__ import annotations

from typing import Any

from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.client.discovery import SHORT_LIFE_S, GatewayDial
from imd.client.errors import Unreachable
from imd.client.rest import RestClient
from imd.client.transport import Link, Receiver
from tests.client.test_rest import Scripted

NOT_THERE = (404, {"error": {"code": 1007, "message": "there is nothing at this path"}})
NOBODY = (503, {"error": {"code": 1099, "message": "no gateway", "retryable": True, "retryAfterMs": 5000}})
TTL_S = 60


def answer(*names: str, **also: str) -> tuple[int, Any]:
    """The gateways of these names, with TCP."""
    gateways = [{"tcp": f"tcp://{name}:1", "tls": "", "ws": "", "zone": ""} | also for name in names]
    return 200, {"gateways": gateways, "ttlS": TTL_S}


class Discovering(SynchronousTestCase):
    """A dial whose server answers from a list, in a network where ``down`` cannot be reached."""

    def dialing(self, *answers: tuple[int, Any], server: str = "http://s:1", **labels: Any) -> GatewayDial:
        self.clock = Clock()
        self.resource = Scripted(*answers)
        self.agent = RequestTraversalAgent(self.resource)
        self.down: set[str] = set()
        self.tried: list[str] = []
        rest = RestClient(server=server, reactor=self.clock, agent=self.agent)
        return GatewayDial(
            server=server, rest=rest, device_id="phone", clock=self.clock, dialer=self._to, **labels
        )

    def _to(self, url: str) -> Any:
        def dial(_: Receiver) -> Deferred[Link]:
            self.tried.append(url)
            if url in self.down:
                return fail(Unreachable(f"nobody listens at {url}"))
            link: Any = url
            return succeed(link)

        return dial

    def open(self, dial: GatewayDial) -> Any:
        """The URL that was reached."""
        receiver: Any = None
        opening = dial(receiver)
        self.agent.flush()
        return self.successResultOf(opening)

    def refusal(self, dial: GatewayDial) -> str:
        receiver: Any = None
        opening = dial(receiver)
        self.agent.flush()
        error: Unreachable = self.failureResultOf(opening, Unreachable).value
        return error.message

    def test_best(self) -> None:
        """The first of the answer, asked for with what the client is."""
        dial = self.dialing(answer("a", "b"), zone="east", version="2.1")
        self.assertEqual(self.open(dial), "tcp://a:1")
        self.assertEqual(
            self.resource.asked[0][:2], ("GET", "/api/v1/gateways?device=phone&zone=east&version=2.1")
        )

    def test_next(self) -> None:
        """Who cannot be reached is passed over, and not tried first again."""
        dial = self.dialing(answer("a", "b"))
        self.down = {"tcp://a:1"}
        self.assertEqual(self.open(dial), "tcp://b:1")
        self.clock.advance(SHORT_LIFE_S)
        self.assertEqual(self.open(dial), "tcp://b:1")

    def test_short_life(self) -> None:
        """A line that broke at once is tried elsewhere; one that lived is taken up where it was."""
        dial = self.dialing(answer("a", "b"))
        self.assertEqual([self.open(dial) for _ in range(3)], ["tcp://a:1", "tcp://b:1", "tcp://a:1"])
        self.clock.advance(SHORT_LIFE_S)
        self.assertEqual(self.open(dial), "tcp://a:1")

    def test_asks_again(self) -> None:
        """After the time that the server named, and when none could be reached, it is asked anew."""
        dial = self.dialing(answer("a"), answer("b"), answer("c"))
        self.open(dial)
        self.clock.advance(TTL_S)
        self.assertEqual(self.open(dial), "tcp://b:1")
        self.down = {"tcp://b:1"}
        self.assertIn("nobody listens at tcp://b:1", self.refusal(dial))
        self.assertEqual(self.open(dial), "tcp://c:1")

    def test_rest_away(self) -> None:
        """While the REST API is away the last answer holds; without one there is no connection."""
        dial = self.dialing((502, b"x"), answer("a"), (502, b"x"))
        self.refusal(dial)
        self.open(dial)
        self.clock.advance(TTL_S)
        self.assertEqual(self.open(dial), "tcp://a:1")

    def test_no_discovery(self) -> None:
        """A server without discovery, or one that names nobody, is taken by its usual addresses."""
        dial = self.dialing(NOT_THERE, NOBODY, server="http://127.0.0.1:7780")
        self.assertEqual([self.open(dial), self.open(dial)], ["tcp://127.0.0.1:7700"] * 2)

    def test_encrypted(self) -> None:
        """Whoever came by https goes on by TLS; JSON goes over WebSocket."""
        both = answer("a", tls="tls://a:2", ws="wss://a/ws")
        self.assertEqual(self.open(self.dialing(both, server="https://s")), "tls://a:2")
        self.assertEqual(self.open(self.dialing(both, server="https://s", json=True)), "wss://a/ws")
        self.assertEqual(self.open(self.dialing(both)), "tcp://a:1")
        self.assertIn("no address", self.refusal(self.dialing(answer("a"), server="https://s")))
        self.assertIn("no address", self.refusal(self.dialing(answer("a"), json=True)))
