"""im-core nodes fail under load: each owns half of the conversations, and none of the truth."""

from __future__ import annotations

from tests.live.failing import FAULT_S, LONG, FailureCase


class CoreFailures(FailureCase):
    """Down, slow, flapping, partitioned; paused, and in two minds about who owns what."""

    nodes_fall_apart = True

    def test_down(self) -> None:
        """Owner of half of the shards, killed with -9: its clients go to the other node, which writes for it."""
        with self.load(ends_first=True) as load:
            self.ground.cores[0].kill()
            load.run_for(3)
            self.assertTrue(load.gains(50, over_s=FAULT_S))
            self.assertGreater(load.count("cut"), 0)

    def test_slow(self) -> None:
        """It gets one tenth of a second in two."""
        node = self.ground.cores[0]
        with self.load() as load:
            for _ in range(int(FAULT_S / 0.2)):
                node.pause()
                load.run_for(0.1)
                node.resume()
                load.run_for(0.1)

    def test_flapping(self) -> None:
        """Killed and started again, by turns: clients go to and fro."""
        with self.load() as load:
            for node in self.ground.cores * (3 if LONG else 1):
                node.kill()
                load.run_for(1)
                node.launch()
                self.wait_ready(node, load)
                load.run_for(1)
            self.assertGreater(load.count("cut"), 28)

    def test_partitioned_from_the_bus(self) -> None:
        """It hears nobody and may write: the leases still say who owns what; the other one is not kept waiting."""
        with self.load() as load:
            self.ground.fault("stall", self.ground.links("nats", self.ground.cores[1]))
            load.run_for(3)
            self.assertTrue(load.gains(50, over_s=FAULT_S))

    def test_partitioned_from_the_database(self) -> None:
        """It is reached by everybody and cannot write; what the other one owns goes on."""
        with self.load() as load:
            self.ground.fault("down", self.ground.links("mongo", self.ground.cores[1]))
            load.run_for(3)
            self.assertTrue(load.gains(20, over_s=FAULT_S))

    def test_isolated(self) -> None:
        """It reaches none of the servers; its clients wait, everybody else goes on."""
        with self.load() as load:
            node = self.ground.cores[0]
            self.ground.fault(
                "stall",
                [link for what in ("nats", "redis", "mongo") for link in self.ground.links(what, node)],
            )
            load.run_for(FAULT_S * 2)

    def test_two_owners(self) -> None:
        """Cut off from bus and leases, it keeps the shards that the other one takes: both write, one order."""
        first, second = self.ground.cores
        with self.load(ends_first=True) as load:
            self.ground.fault(
                "stall", [link for what in ("nats", "redis") for link in self.ground.links(what, first)]
            )
            self.wait_for(
                lambda: self.ground.log(second).count("is gone") > 0, "word that the node is gone", load=load
            )
            self.assertTrue(load.gains(100, over_s=FAULT_S))

    def test_paused(self) -> None:
        """SIGSTOP to the owner of half of the shards; it goes on where it stood, when others have what was its."""
        node = self.ground.cores[0]
        with self.load() as load:
            node.pause()
            load.run_for(3)
            self.assertTrue(load.gains(20, over_s=20 if LONG else 6))

    def test_node_id_twice(self) -> None:
        """Another process comes with its node_id: it sends its clients away, and is itself again when restarted."""
        node = self.ground.cores[0]
        namesake = self.ground.namesake(node)
        self.addCleanup(namesake.kill)
        with self.load() as load:
            namesake.launch()
            self.wait_for(
                lambda: "takes this one's place" in self.ground.log(node), "word of the namesake", load=load
            )
            self.wait_ready(namesake, load)
            self.assertTrue(load.gains(50, over_s=FAULT_S))
            self.assertGreater(load.count("told_to_leave"), 0)
            self.assertIn("node_id", node.missing())
            namesake.stop()
            load.run_for(1)
            self.assertIn("node_id", node.missing())
            node.stop()
            node.launch()
            self.wait_ready(node, load)
