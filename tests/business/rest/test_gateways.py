"""GET /gateways, as a client without a login asks it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.bus.subjects import NODE_REPORT
from imd.kernel.errors import Code
from imd.pb.bus_pb2 import NodeReport
from tests.business.world import Reply, World


class Gateways(SynchronousTestCase):
    """A business role that hears of nodes."""

    def setUp(self) -> None:
        self.world = World()

    def report(self, node_id: int, **about: object) -> None:
        whole: dict[str, object] = {"ready": True, "maxConnections": 100, "weight": 1}
        whole |= {"nodeId": node_id, "tls": f"tls://n{node_id}:7701"} | about
        self.world.bus.publish(NODE_REPORT, NodeReport(**whole).SerializeToString())  # type: ignore[arg-type]
        self.world.clock.advance(0)

    def ask(self, query: str = "", *, peer: str = "192.0.2.1") -> Reply:
        return self.world.call("GET", "/gateways" + query, peer=peer)

    def named(self, query: str = "") -> list[str]:
        return [each["tls"] for each in self.ask(query).json["gateways"]]

    def test_answer(self) -> None:
        """All addresses of a gateway, its zone, and when to ask again."""
        self.report(1, zone="east", tcp="tcp://n1:7700", ws="wss://n1/ws")
        reply = self.ask()
        self.assertEqual(reply.status, 200)
        one = {"tcp": "tcp://n1:7700", "tls": "tls://n1:7701", "ws": "wss://n1/ws", "zone": "east"}
        self.assertEqual(reply.json, {"gateways": [one], "ttlS": 60})

    def test_query(self) -> None:
        """Zone first; labels only for those that have them; at most three."""
        for node_id in range(1, 6):
            self.report(node_id, zone="east" if node_id == 3 else "west")
        self.report(9, versionLabels=["2.1"], zone="north")
        for _ in range(10):
            found = self.named("?zone=east")
            self.assertEqual((len(found), found[0]), (3, "tls://n3:7701"))
            self.assertNotIn("tls://n9:7701", found)
            self.assertEqual(self.named("?zone=north&version=2.1")[0], "tls://n9:7701")

    def test_device(self) -> None:
        """A device is sent to the same gateway again, whoever asks without one anywhere."""
        for node_id in range(1, 4):
            self.report(node_id)
        self.assertEqual(len({self.named("?device=phone")[0] for _ in range(20)}), 1)
        self.assertGreater(len({self.named()[0] for _ in range(30)}), 1)

    def test_nobody(self) -> None:
        """Without a gateway: 503 with a time to wait; so too while all drain, or have fallen silent."""
        self.report(1)
        self.report(1, ready=False)
        reply = self.ask()
        self.assertEqual((reply.status, reply.headers["retry-after"]), (503, "5"))
        self.assertEqual(reply.error, (Code.SERVER_BUSY, "SERVER_BUSY", ""))
        self.report(1)
        self.assertEqual(self.ask().status, 200)
        self.world.clock.advance(15.1)
        self.assertEqual(self.ask().status, 503)

    def test_refused(self) -> None:
        """What is not known or too long is refused by name."""
        self.report(1)
        self.assertEqual(self.ask("?city=x").error[2], "city")
        self.assertEqual(self.ask("?device=" + "x" * 65).error[2], "device")

    def test_rate(self) -> None:
        """One address may ask often, not without end; others are not held up."""
        self.report(1)
        answers = [self.ask().status for _ in range(1001)]
        self.assertEqual(answers, [200] * 1000 + [429])
        self.assertEqual(self.ask(peer="192.0.2.2").status, 200)
        self.world.clock.advance(1)
        self.assertEqual(self.ask().status, 200)
