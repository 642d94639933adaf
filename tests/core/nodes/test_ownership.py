"""Who owns which shard, as nodes come, drain and die."""

from __future__ import annotations

from imd.core.nodes.heartbeat import SLOW_ECHO_S
from imd.core.nodes.model import fair_owners, homes
from imd.kernel.errors import ServerBusy
from imd.kernel.ids import SHARD_COUNT
from tests.core.message.cluster import INTERVAL_S, ClusterCase, ClusterNode


class OwnershipTests(ClusterCase):
    """Two nodes on one registry and one table of leases."""

    def assert_shared(self, *node_ids: int) -> None:
        """All shards have one owner, on which all agree, and nobody has much more than the others."""
        mine = [self.nodes[node_id].ownership.mine for node_id in node_ids]
        self.assertEqual(sum(map(len, mine)), SHARD_COUNT)
        self.assertEqual(frozenset().union(*mine), frozenset(range(SHARD_COUNT)))
        self.assertLess(max(map(len, mine)), 1.5 * SHARD_COUNT / len(mine))

    def test_shared(self) -> None:
        """Two nodes share the shards, within a second of the second one's start."""
        self.assert_shared(1, 2)

    def test_join(self) -> None:
        """A third one gets its share within half a second, and nobody else's moves."""
        before = {node_id: node.ownership.mine for node_id, node in self.nodes.items()}
        self.add(3)
        self.pass_time(0.5)
        self.assert_shared(1, 2, 3)
        for node_id, mine in before.items():
            self.assertLessEqual(self.nodes[node_id].ownership.mine, mine)

    def test_leave(self) -> None:
        """One that drains has given all it had away before it is gone, and the other has it."""
        self.wait(self.nodes[1].leave())
        self.pass_time(0.5)
        self.assert_shared(2)
        self.assertEqual(self.nodes[2].heartbeats.failures, 0)

    def test_die(self) -> None:
        """One that dies is missed after three heartbeats, and the other takes over what it had."""
        had = self.nodes[1].ownership.mine
        inherited: list[frozenset[int]] = []
        self.nodes[2].ownership.on_inherited(inherited.append)
        self.wait(self.nodes[1].die())
        self.pass_time(4 * INTERVAL_S + 1)
        self.assert_shared(2)
        self.assertEqual(frozenset().union(*inherited), had)
        survivor = self.nodes[2]
        self.assertEqual(survivor.heartbeats.failures, 1)
        # From its last heartbeat on, of which three are missed first.
        failover = survivor.ownership.failover_seconds
        self.assertEqual(failover.count, 1)
        self.assertGreater(failover.total, 2 * INTERVAL_S)
        self.assertLess(failover.total, 4 * INTERVAL_S + 1)

    def test_taken(self) -> None:
        """Whoever has to know hears of every shard that a node takes, also from one that gives it back."""
        had = self.nodes[1].ownership.mine
        taken: list[frozenset[int]] = []
        self.nodes[2].ownership.on_taken(taken.append)
        self.wait(self.nodes[1].leave())
        self.pass_time(0.5)
        self.assertEqual(frozenset().union(*taken), had)

    def test_die_and_come_back(self) -> None:
        """One that is back before it was missed takes over from its earlier life, which may have told nobody."""
        had = self.nodes[1].ownership.mine
        self.wait(self.nodes[1].die())
        self.pass_time(1)
        again = self.nodes[1] = ClusterNode(self, 1)
        inherited: list[frozenset[int]] = []
        again.ownership.on_inherited(inherited.append)
        self.wait(again.start())
        self.addCleanup(lambda: self.wait(again.tasks.stop()))
        self.pass_time(1)
        self.assert_shared(1, 2)
        self.assertEqual(inherited, [had])

    def test_left_is_left(self) -> None:
        """A node that has left does not beat any more while it waits for what is under way."""
        leaving = self.nodes[1]
        for stage in reversed(leaving.stages):
            self.wait(stage.stop())
        self.pass_time(2 * INTERVAL_S)
        self.assertEqual(self.nodes[2].heartbeats.others, frozenset())

    def test_overslept(self) -> None:
        """A node knows by itself that it was silent for as long as it takes to be missed."""
        heartbeats = self.nodes[1].heartbeats
        for _ in range(40):
            self.pass_time(0.5)
            self.assertFalse(heartbeats.overslept)
        self.wait(self.nodes[1].tasks.stop())
        self.pass_time(2 * INTERVAL_S)
        self.assertFalse(heartbeats.overslept)
        self.pass_time(2 * INTERVAL_S)
        self.assertTrue(heartbeats.overslept)

    def test_bus_back(self) -> None:
        """A node notices by its own voice that the bus carries again, once, and nothing while it does."""
        told: list[str] = []
        self.nodes[1].heartbeats.on_bus_back(lambda: told.append("back"))
        self.pass_time(5 * INTERVAL_S)
        self.assertEqual(told, [])
        self.nodes[1].cable.frozen = True
        self.pass_time(5 * INTERVAL_S)
        self.assertEqual(told, [])
        self.nodes[1].cable.thaw()
        self.pass_time(5 * INTERVAL_S)
        self.assertEqual(told, ["back"])

    def test_bus_fast_again(self) -> None:
        """A bus that took its time for a while is back as soon as it does not; a moment of it is nothing."""
        told: list[str] = []
        node = self.nodes[1]
        node.heartbeats.on_bus_back(lambda: told.append("back"))
        for slow_s, expected in ((INTERVAL_S, []), (5 * INTERVAL_S, ["back"])):
            node.cable.delay_s = 2 * SLOW_ECHO_S
            self.pass_time(slow_s)
            node.cable.delay_s = 0.0
            self.pass_time(5 * INTERVAL_S)
            self.assertEqual(told, expected)

    def test_listener_fails(self) -> None:
        """Whoever stumbles over a change of the nodes does not stop the heart."""

        def stumble() -> None:
            raise RuntimeError("planted")

        self.nodes[2].heartbeats.on_change(stumble)
        self.wait(self.nodes[1].leave())
        self.add(3)
        self.pass_time(5 * INTERVAL_S)
        self.assert_shared(2, 3)
        self.assertTrue(self.flushLoggedErrors(RuntimeError))

    def lose_registry(self) -> None:
        async def lost(*_: object) -> None:
            raise ServerBusy("planted")

        self.registry.beat = lost  # type: ignore[assignment]
        self.leases.claim = lost  # type: ignore[assignment]

    def assert_fair(self, *node_ids: int) -> None:
        """Each of these nodes sends every conversation to its fair owner among them."""
        fair = fair_owners(node_ids)
        for node_id in node_ids:
            self.assertEqual(self.nodes[node_id].ownership._owners, [fair[n] for n in range(SHARD_COUNT)])

    def test_registry_lost(self) -> None:
        """Without the registry the nodes go on as they were, knowing each other by the bus."""
        before = [node.ownership.mine for node in self.nodes.values()]
        self.lose_registry()
        self.pass_time(10 * INTERVAL_S, step_s=0.5)
        self.assertEqual([node.ownership.mine for node in self.nodes.values()], before)
        self.assertEqual(self.nodes[1].heartbeats.others, {2})
        self.wait(self.nodes[2].die())
        self.pass_time(4 * INTERVAL_S, step_s=0.5)
        self.assertEqual(self.nodes[1].heartbeats.others, frozenset())

    def test_cut_off(self) -> None:
        """Each learns from the registry whether the other is still on the bus: who is cut off has somebody who is
        not, and where both are, nobody has."""
        one, two = self.nodes[1], self.nodes[2]
        self.assertTrue(one.heartbeats.others_on_bus)
        two.cable.cut = True
        self.pass_time(4 * INTERVAL_S, step_s=0.5)
        self.assertEqual(one.heartbeats.others, {2})
        self.assertEqual((one.heartbeats.others_on_bus, two.heartbeats.others_on_bus), (False, True))
        one.cable.cut = True
        self.pass_time(4 * INTERVAL_S, step_s=0.5)
        self.assertEqual((one.heartbeats.others_on_bus, two.heartbeats.others_on_bus), (False, False))

    def test_registry_never_there(self) -> None:
        """Nodes that have never reached the registry still have one owner for each shard, by who is on the bus."""
        for node_id in (1, 2):
            self.wait(self.nodes.pop(node_id).leave())
        self.lose_registry()
        self.add(1)
        self.add(2)
        self.pass_time(INTERVAL_S + 1)
        self.assert_fair(1, 2)
        self.wait(self.nodes[1].die())
        self.pass_time(4 * INTERVAL_S, step_s=0.5)
        self.assert_fair(2)

    def test_holder_leaves_without_registry(self) -> None:
        """What a node held that leaves while the registry is lost has one owner again, at once."""
        self.add(3)
        self.pass_time(INTERVAL_S + 1)
        self.lose_registry()
        taken: list[frozenset[int]] = []
        had = self.nodes[1].ownership.mine
        for node_id in (2, 3):
            self.nodes[node_id].ownership.on_taken(taken.append)
        self.wait(self.nodes[1].leave())
        self.pass_time(1)
        self.assert_fair(2, 3)
        self.assertEqual(frozenset().union(*taken), had)

    def test_namesake(self) -> None:
        """A process whose id another one takes gives its shards back, says so once, and takes none again."""
        first = self.nodes[1]
        told: list[str] = []
        first.heartbeats.on_replaced(lambda: told.append("replaced"))
        second = self.add(1)
        self.pass_time(2 * INTERVAL_S + 1)
        self.assertTrue(first.heartbeats.replaced)
        self.assertEqual(told, ["replaced"])
        self.assertEqual(first.ownership.mine, frozenset())
        self.assert_shared(1, 2)
        self.wait(second.leave())
        self.pass_time(2 * INTERVAL_S + 1)
        self.assertTrue(first.heartbeats.replaced)
        self.assertEqual(first.ownership.mine, frozenset())

    def test_fair(self) -> None:
        """Shares are even, and one node more takes only what becomes its own."""
        before, after = fair_owners([1, 2, 3, 4]), fair_owners([1, 2, 3, 4, 5])
        moved = [shard for shard in range(SHARD_COUNT) if before[shard] != after[shard]]
        self.assertEqual({after[shard] for shard in moved}, {5})
        self.assertLess(len(moved), SHARD_COUNT * 0.35)
        self.assertEqual(fair_owners([]), {})

    def test_homes(self) -> None:
        """Every node names the same two homes of a user."""
        self.assertEqual(homes(7, [1, 2, 3]), homes(7, [3, 2, 1]))
        self.assertEqual(len(set(homes(7, [1, 2, 3]))), 2)
        self.assertEqual(homes(7, [1]), [1])
