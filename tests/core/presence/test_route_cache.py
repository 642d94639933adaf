"""The routes that fan-out works with: a node too many at times, never one too few."""

from __future__ import annotations

from random import Random

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.core.nodes.model import homes
from tests.core.presence.cluster import Cluster

BO, CY = 2, 3
NOWHERE: frozenset[int] = frozenset()


class RoutesTests(SynchronousTestCase):
    """Node 0 asks; users are at nodes 1 and 2."""

    def setUp(self) -> None:
        self.cluster = Cluster(3)
        self.a, self.b, self.c = self.cluster.nodes

    def test_asked_once(self) -> None:
        """Who was asked for is known from then on, also who is nowhere or only here."""
        self.b.connect(BO)
        self.a.connect(CY)
        self.cluster.passes(0.1)
        self.assertIsNone(self.a.cache.nodes_of([BO, CY]))
        self.assertEqual(self.successResultOf(self.a.asks(BO, CY)), {1})
        self.assertEqual(self.a.cache.nodes_of([CY]), NOWHERE)
        calls = list(self.a.table.calls)
        self.assertEqual(self.successResultOf(self.a.asks(CY, BO)), {1})
        self.assertEqual(self.a.table.calls, calls)

    def test_kept_current(self) -> None:
        """Coming and going counts at once, and raises the version; a second session at the same node does not."""
        self.successResultOf(self.a.asks(BO))
        version = self.a.cache.version
        phone = self.b.connect(BO)
        self.cluster.passes(0.02)
        self.assertEqual(self.a.cache.nodes_of([BO]), {1})
        self.assertGreater(self.a.cache.version, version)
        version = self.a.cache.version
        laptop = self.b.connect(BO, "laptop")
        self.cluster.passes(0.02)
        self.b.leave(phone)
        self.cluster.passes(0.02)
        self.assertEqual((self.a.cache.nodes_of([BO]), self.a.cache.version), ({1}, version))
        self.b.leave(laptop)
        self.cluster.passes(0.02)
        self.assertEqual(self.a.cache.nodes_of([BO]), NOWHERE)
        self.assertGreater(self.a.cache.version, version)

    def test_strangers_change_nothing(self) -> None:
        """The version rises only for users that are remembered."""
        self.successResultOf(self.a.asks(BO))
        version = self.a.cache.version
        self.b.connect(CY)
        self.cluster.passes(0.1)
        self.assertEqual(self.a.cache.version, version)

    def test_came_while_asking(self) -> None:
        """Who comes while the table's answer is under way is not missed, and who went is not found."""
        gone = self.b.connect(CY)
        self.cluster.passes(0.1)
        gate = self.a.table.slow()
        asked = self.a.asks(BO, CY)
        self.c.connect(BO)
        self.b.leave(gone)
        self.cluster.passes(0.1)
        self.a.table.gate = None
        gate.callback(None)
        self.assertEqual(self.successResultOf(asked), {2})
        self.assertEqual(self.a.cache.nodes_of([BO, CY]), {2})

    def test_missed_while_asking(self) -> None:
        """An answer that is older than a gap of the bus is not relied on, nor kept."""
        gate = self.a.table.slow()
        asked = self.a.asks(BO)
        self.a.cache.events_missed()
        self.b.connect(BO)
        self.cluster.passes(0.1)
        self.a.table.gate = None
        gate.callback(None)
        self.assertIn(1, self.successResultOf(asked))
        self.assertEqual(self.successResultOf(self.a.asks(BO)), {1})

    def test_runs_out(self) -> None:
        """After 30 s an entry is asked for again, and what was answered by it is marked as old."""
        self.successResultOf(self.a.asks(BO))
        version = self.a.cache.version
        self.cluster.passes(29)
        self.assertEqual((self.a.cache.nodes_of([BO]), self.a.cache.version), (NOWHERE, version))
        self.cluster.passes(3)
        self.assertIsNone(self.a.cache.nodes_of([BO]))
        self.assertGreater(self.a.cache.version, version)
        self.assertEqual(self.a.cache.counts()["users"], 0)

    def test_bounded(self) -> None:
        """The oldest are forgotten above the limit, which marks answers as old."""
        for user_id in range(100, 110):
            self.successResultOf(self.a.asks(user_id))
        version = self.a.cache.version
        self.successResultOf(self.a.asks(BO, CY))
        self.assertEqual(self.a.cache.counts()["users"], 10)
        self.assertIsNone(self.a.cache.nodes_of([100]))
        self.assertIsNotNone(self.a.cache.nodes_of([102]))
        self.assertGreater(self.a.cache.version, version)

    def test_large_group(self) -> None:
        """More users than half of what is remembered are taken to be everywhere, without asking."""
        calls = list(self.a.table.calls)
        self.assertEqual(self.a.cache.nodes_of(range(100, 106)), {1, 2})
        self.assertEqual(self.successResultOf(self.a.asks(*range(100, 106))), {1, 2})
        self.assertEqual(self.a.table.calls, calls)

    def test_alone(self) -> None:
        """One node alone asks nobody."""
        self.a.live.become([])
        self.assertEqual(self.a.cache.nodes_of([BO]), NOWHERE)

    def test_dead_node(self) -> None:
        """Routes of a node that died do not count, whatever the table still says."""
        self.b.connect(BO)
        self.cluster.passes(0.1)
        self.assertEqual(self.successResultOf(self.a.asks(BO)), {1})
        version = self.a.cache.version
        self.c.table.down = self.a.table.down = True
        self.cluster.dies(self.b)
        self.assertEqual(self.a.cache.nodes_of([BO]), NOWHERE)
        self.assertGreater(self.a.cache.version, version)
        self.a.table.down = False
        self.a.cache.events_missed()
        self.assertEqual(self.successResultOf(self.a.asks(BO)), NOWHERE)
        self.flushLoggedErrors()

    def test_new_life(self) -> None:
        """A node that starts anew has none of its old sessions, and its new ones count at once."""
        self.b.connect(BO)
        self.cluster.passes(0.1)
        self.successResultOf(self.a.asks(BO, CY))
        self.b.bus.cut = True
        self.cluster.nodes.remove(self.b)
        again = self.cluster.returns(self.b, 2)
        self.cluster.passes(0.1)
        self.assertEqual(self.a.cache.nodes_of([BO]), NOWHERE)
        again.connect(CY)
        self.cluster.passes(0.1)
        self.assertEqual(self.a.cache.nodes_of([CY]), {1})

    def test_word_of_an_old_life(self) -> None:
        """What an earlier life of a node said is not believed when it comes late."""
        self.b.bus.holds = True
        self.b.connect(BO)
        self.cluster.passes(0.1)
        self.successResultOf(self.a.asks(CY))
        self.a.cache._users.clear()
        self.cluster.nodes.remove(self.b)
        self.cluster.returns(self.b, 2)
        self.cluster.passes(0.1)
        self.successResultOf(self.c.asks(CY))
        before = self.a.cache.version
        self.successResultOf(self.a.asks(CY))
        self.b.bus.release()
        self.cluster.passes(0.1)
        self.assertEqual(self.a.cache.version, before)
        self.assertEqual(self.a.elsewhere.counts()["kept"], 0)


class TableAwayTests(SynchronousTestCase):
    """What is answered while the route table is away."""

    def setUp(self) -> None:
        self.cluster = Cluster(4)
        self.a, self.b, self.c, self.d = self.cluster.nodes

    def tearDown(self) -> None:
        self.flushLoggedErrors()

    def test_homes(self) -> None:
        """The users' homes know, whichever nodes these are."""
        for user_id in range(100, 120):
            self.cluster.nodes[user_id % 3 + 1].connect(user_id)
        self.cluster.passes(0.1)
        self.a.table.down = True
        for user_id in range(100, 120):
            asked = self.a.asks(user_id)
            self.cluster.passes(0.05)
            self.assertEqual(self.successResultOf(asked), {user_id % 3 + 1}, user_id)
        self.assertEqual(self.a.cache.counts()["broadcasts"], 0)

    def test_everywhere(self) -> None:
        """If the homes do not answer either, every node counts, at once, for a second; then it is tried again."""
        self.b.connect(BO)
        self.cluster.passes(0.1)
        self.a.table.down = True
        for node in (self.a, self.b, self.c, self.d):
            node.homes.events_missed()
        asked = self.a.asks(BO)
        self.cluster.passes(0.05)
        self.assertEqual(self.successResultOf(asked), {1, 2, 3})
        version = self.a.cache.version
        self.assertEqual(self.a.cache.nodes_of([CY]), {1, 2, 3})
        self.cluster.passes(2)
        self.assertIsNone(self.a.cache.nodes_of([CY]))
        self.assertGreater(self.a.cache.version, version)

    def test_homes_that_hang(self) -> None:
        """Homes that do not answer hold a message up for 0.2 s, no longer."""
        self.a.table.down = True
        for node in (self.b, self.c, self.d):
            node.bus.cut = True
        strangers = [user_id for user_id in range(100, 120) if 0 not in homes(user_id, range(4))][:5]
        asked = self.a.asks(*strangers)
        self.cluster.passes(0.19)
        self.assertNoResult(asked)
        self.cluster.passes(0.02)
        self.assertEqual(self.successResultOf(asked), {1, 2, 3})

    def test_one_home(self) -> None:
        """One home that is sure is enough."""
        user_id = next(user_id for user_id in range(100, 200) if homes(user_id, range(4)) == [1, 3])
        self.c.connect(user_id)
        self.cluster.passes(0.1)
        self.a.table.down = True
        self.d.bus.cut = True
        asked = self.a.asks(user_id)
        self.cluster.passes(0.25)
        self.assertEqual(self.successResultOf(asked), {2})

    def test_lost_memory(self) -> None:
        """A table that has just lost its memory is not relied on."""
        cluster = Cluster(3, settle_s=10)
        a, b, _ = cluster.nodes
        b.connect(BO)
        cluster.passes(0.1)
        cluster.table.clear()
        asked = a.asks(BO)
        cluster.passes(0.05)
        self.assertEqual(self.successResultOf(asked), {1})
        self.assertEqual(a.lookup.home_questions, 1)

    def test_a_node_that_cannot_write(self) -> None:
        """While one node cannot write to the table, the others do not rely on it, and afterwards they do again."""
        self.b.table.down = True
        self.b.connect(BO)
        self.cluster.passes(0.2)
        asked = self.a.asks(BO)
        self.cluster.passes(0.05)
        self.assertEqual(self.successResultOf(asked), {1})
        self.b.table.down = False
        self.cluster.passes(2)
        questions = self.a.lookup.home_questions
        self.assertEqual(self.successResultOf(self.a.asks(CY)), NOWHERE)
        self.assertEqual(self.a.lookup.home_questions, questions)

    def test_fault_of_ours(self) -> None:
        """A fault while looking up leads to everybody being told, not to an error."""

        async def fail(user_ids: object) -> None:
            raise KeyError("planted")

        self.a.lookup.find = fail  # type: ignore[method-assign, assignment]
        self.assertEqual(self.successResultOf(self.a.asks(BO)), {1, 2, 3})
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)


class NeverTooFewTests(SynchronousTestCase):
    """Whatever happens at whichever moment."""

    def test_random(self) -> None:
        """With people moving between nodes, and tables slow or away, no node is left out for long."""
        for seed in range(10):
            self._play(Random(seed))
        self.flushLoggedErrors()

    def _play(self, random: Random) -> None:
        cluster = Cluster(3)
        a = cluster.nodes[0]
        for _ in range(150):
            node = random.choice(cluster.nodes)
            match random.choice("cccllataw"):
                case "c":
                    node.connect(random.randrange(100, 104), random.choice(["phone", "laptop"]))
                case "l" if node.here:
                    node.leave(random.choice(list(node.here.values())))
                case "t":
                    node.table.down = not node.table.down
                case "w":
                    gate, node.table.gate = node.table.gate, None if node.table.gate else Deferred()
                    if gate is not None:
                        gate.callback(None)
                case _:
                    a.asks(*random.sample(range(100, 104), 2))
            cluster.passes(random.choice([0.0, 0.005, 0.02]))
            if random.random() < 0.2:
                # A tick, a table that is not waited for any longer, and the way over the bus.
                cluster.passes(0.13)
                for user_id in range(100, 104):
                    self._compare(cluster, user_id)

    def _compare(self, cluster: Cluster, user_id: int) -> None:
        known = cluster.nodes[0].cache.nodes_of([user_id])
        there = {
            node.node_id
            for node in cluster.nodes[1:]
            for session in node.here.values()
            if session.user_id == user_id
        }
        if known is not None:
            self.assertLessEqual(there, known)
