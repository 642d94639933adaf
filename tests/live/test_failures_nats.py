"""NATS fails under load: connections stay, messages are stored where they arrive, and clients catch up."""

from __future__ import annotations

import time
from typing import Any

from imd.ctl.cluster.node import Node
from tests.dialogue.town import Inhabitant
from tests.live.failing import FAULT_S, PASSWORD, FailureCase
from tests.live.standalone_client import Rest
from tests.live.standalone_wire import TcpWire


class NatsFailures(FailureCase):
    """Down, slow, flapping, partitioned, forgetful."""

    nodes_fall_apart = True

    def test_down(self) -> None:
        """Killed: nobody is cut off, sends are stored; who comes is told to try again."""
        with self.load(ends_first=True) as load:
            cut = load.count("cut")
            self.ground.cluster.nats.kill()
            load.run_for(3)
            self.assertTrue(load.gains(50, over_s=FAULT_S))
            self.assertEqual(load.count("cut"), cut)
            self.assertEqual(self.login(self.ground.cores[0]), "SERVER_BUSY")
        self.assertGreater(load.outcome["resyncs"], 0)

    def test_slow(self) -> None:
        """Half a second each way."""
        with self.load() as load:
            self.ground.fault("slow", self.ground.links("nats"), delay_s=0.5)
            load.run_for(2)
            self.assertTrue(load.gains(50, over_s=FAULT_S))

    def test_flapping(self) -> None:
        """Away and there by turns."""
        with self.load() as load:
            self.ground.fault("flap", self.ground.links("nats"), on_s=1, off_s=1)
            load.run_for(2)
            self.assertTrue(load.gains(50, over_s=FAULT_S * 1.5))

    def test_partitioned(self) -> None:
        """One node of two is cut off, its connection seems alive: both go on, and clients see all in the end."""
        with self.load(ends_first=True) as load:
            self.ground.fault("stall", self.ground.links("nats", self.ground.cores[0]))
            load.run_for(3)
            self.assertTrue(load.gains(50, over_s=FAULT_S))

    def test_bound(self) -> None:
        """Who is at the node that is cut off hears of a message all the same, is told how it stands, and to go."""
        ground = self.ground
        ann, bob = ground.town.next(), ground.town.next()
        here, there = ground.cores
        anns = self._come(here, ann)
        _send(anns, bob, "m1")
        self.wait_for(lambda: _has_status(anns.receive(0.1), "STORED"), "the first message")
        # Bob is told of the conversation as he comes; nobody uses it at his node after that.
        bobs = self._come(there, bob)
        ground.fault("stall", ground.links("nats", there))
        _send(anns, bob, "m2")
        heard: set[str] = set()
        hints: list[dict[str, Any]] = []
        asked = 0.0

        def has_heard(*names: str) -> bool:
            nonlocal asked
            if time.monotonic() - asked > 2:
                asked = time.monotonic()
                bobs.send({"hb": {"sentAt": 1}})
            answer = bobs.receive(0.1) or {}
            heard.update(name for name in answer if name != "header")
            heard.update(name for name in answer.get("hb", {}))
            if "hint" in answer:
                hints.append(answer["hint"])
            return heard.issuperset(names)

        self.wait_for(lambda: has_heard("hint", "degraded"), "a hint at a node that is cut off")
        # Of one conversation; the second look at who has just come may tell of it, too.
        state = hints[0]
        self.assertEqual({hint["conversationId"] for hint in hints}, {state["conversationId"]})
        bobs.send({"historyReq": {"conversationId": state["conversationId"], "fromSeq": "2"}})
        self.wait_for(lambda: has_heard("historyResp"), "the message itself")
        bobs.send({"syncReq": {}})
        self.wait_for(lambda: has_heard("syncResp"), "a sync without the authority")
        self.wait_for(lambda: has_heard("reconnect"), "being told to go")

    def _come(self, node: Node, person: Inhabitant) -> TcpWire:
        wire = TcpWire(node.host, node.ports["tcp"])
        self.addCleanup(wire.close)
        token = self.ground.town.token(person, "phone")
        wire.send({"connect": {"token": token, "deviceId": "phone", "platform": "bot"}})
        self.assertIn("connected", wire.receive(15) or {})
        # How far the others have read may come before it.
        self.wait_for(lambda: "syncResp" in (wire.receive(0.1) or {}), "the first sync")
        return wire

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


def _send(wire: TcpWire, to: Inhabitant, client_msg_id: str) -> None:
    send = {"clientMsgId": client_msg_id, "type": "TEXT", "textContent": client_msg_id}
    wire.send({"send": {"peerUserId": to.account.user_id, **send}})


def _has_status(answer: dict[str, Any] | None, status: str) -> bool:
    return answer is not None and answer.get("ack", {}).get("status") == status


def _is_told_to_go(wire: TcpWire) -> bool:
    answer = wire.receive(0.1)
    return answer is not None and ("kicked" in answer or bool(answer.get("error", {}).get("closing")))
