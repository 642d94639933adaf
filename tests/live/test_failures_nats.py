"""NATS fails under load: connections stay, messages are stored where they arrive, and clients catch up."""

from __future__ import annotations

from tests.live.failing import FAULT_S, PASSWORD, FailureCase
from tests.live.standalone_client import Rest
from tests.live.standalone_wire import TcpWire


class NatsFailures(FailureCase):
    """Down, slow, flapping, partitioned, forgetful."""

    def test_down(self) -> None:
        """Killed: nobody is cut off, sends are stored; who comes is told to try again."""
        with self.load(ends_first=True) as load:
            cut = load.count("cut")
            self.ground.cluster.nats.kill()
            load.run_for(3)
            self.assertGreater(load.gained(FAULT_S), 50)
            self.assertEqual(load.count("cut"), cut)
            self.assertEqual(self.login(self.ground.cores[0]), "SERVER_BUSY")
        self.assertGreater(load.outcome["resyncs"], 0)

    def test_slow(self) -> None:
        """Half a second each way."""
        with self.load() as load:
            self.ground.fault("slow", self.ground.links("nats"), delay_s=0.5)
            load.run_for(2)
            self.assertGreater(load.gained(FAULT_S), 50)

    def test_flapping(self) -> None:
        """Away and there by turns."""
        with self.load() as load:
            self.ground.fault("flap", self.ground.links("nats"), on_s=1, off_s=1)
            load.run_for(2)
            self.assertGreater(load.gained(FAULT_S * 1.5), 50)

    def test_partitioned(self) -> None:
        """One node of two is cut off, its connection seems alive: both go on, and clients see all in the end."""
        with self.load(ends_first=True) as load:
            self.ground.fault("stall", self.ground.links("nats", self.ground.cores[0]))
            load.run_for(3)
            self.assertGreater(load.gained(FAULT_S), 50)

    def test_forgets(self) -> None:
        """Back with an empty store: what is durable is declared anew, and who is logged out is cut off."""
        ground = self.ground
        nats = ground.cluster.nats
        with self.load() as load:
            nats.kill()
            nats.wipe()
            load.run_for(1)
            ground.restart(nats)
            ground.heal()
            load.run_for(1)
            person = ground.town.next()
            login = Rest(ground.business[0].http_url).login(person.account.handle, PASSWORD, "phone")
            wires = [TcpWire(node.host, node.ports["tcp"]) for node in ground.cores]
            wire = wires[0]
            wire.send({"connect": {"token": login.token, "deviceId": "phone", "platform": "bot"}})
            answer = wire.receive(15)
            self.assertIn("connected", answer or {})
            Rest(ground.business[1].http_url).call("POST", "/logout", {}, token=login.token)
            self.wait_for(lambda: _is_told_to_go(wire), "end of a session that was logged out", load=load)
            for each in wires:
                each.close()


def _is_told_to_go(wire: TcpWire) -> bool:
    answer = wire.receive(0.1)
    return answer is not None and ("kicked" in answer or bool(answer.get("error", {}).get("closing")))
