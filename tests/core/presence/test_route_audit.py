"""The route table is kept in accord with the connections, whatever happens to it or to a node."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.core.presence.routes import Route
from tests.core.presence.cluster import AUDIT_S, ROUTE_TTL_S, Cluster, CoreNode

BO, CY = 2, 3


class RefreshTests(SynchronousTestCase):
    """Routes outlive their time in the table, and the table's own life."""

    def setUp(self) -> None:
        self.cluster = Cluster()
        self.a, self.b = self.cluster.nodes

    def test_outlives_its_time(self) -> None:
        """Who stays connected stays in the table, with one write in a third of a route's life."""
        session = self.a.connect(BO)
        self.cluster.passes(0.1)
        self.a.table.calls = []
        published = self.a.bus.published
        self.cluster.passes(2 * ROUTE_TTL_S)
        self.assertEqual(self.cluster.in_table(BO), [session.session_id])
        self.assertIn(self.a.table.calls.count("put"), (5, 6))
        self.assertEqual(self.a.bus.published, published)

    def test_lost_memory(self) -> None:
        """A table that has lost its memory is filled again within seconds, in batches."""
        for user_id in range(100, 1300):
            self.a.connect(user_id)
        self.cluster.passes(0.1)
        self.cluster.table.clear()
        self.a.table.calls = []
        self.cluster.passes(6)
        self.assertEqual(self.a.table.calls.count("put"), 3)
        self.assertEqual(self.a.table.most_routes, 500)
        self.assertEqual(len(self.cluster.in_table(100) + self.cluster.in_table(1299)), 2)

    def test_back_after_an_outage(self) -> None:
        """What came and went while the table was down is in it soon after it is back."""
        stayed, left = self.a.connect(BO), self.a.connect(CY)
        self.cluster.passes(0.1)
        self.a.table.down = True
        came = self.a.connect(CY, "laptop")
        self.a.leave(left)
        self.cluster.passes(30)
        self.a.table.down = False
        self.cluster.passes(1.5)
        self.assertEqual(self.cluster.in_table(BO), [stayed.session_id])
        self.assertEqual(self.cluster.in_table(CY), [came.session_id])
        self.assertEqual(self.a.routes.counts()["unwritten"], 0)
        self.flushLoggedErrors()

    def test_stood_still(self) -> None:
        """A process that stood still, was given up and is there again is known again at once."""
        session = self.a.connect(BO)
        self.cluster.passes(0.1)
        self.successResultOf(self.b.asks(BO))
        self.a.bus.cut = True
        self.b.live.become([])
        self.cluster.passes(0.1)
        self.cluster.table.clear()
        self.b.live.become([0])
        self.cluster.passes(0.1)
        self.assertEqual(self.b.cache.nodes_of([BO]), frozenset())
        self.a.bus.cut = False
        # Nobody asks it to.
        self.b.bus.holds = True
        self.cluster.clock.advance(20)
        self.cluster.passes(1.5)
        self.assertEqual(self.cluster.in_table(BO), [session.session_id])
        self.assertEqual(self.b.cache.nodes_of([BO]), {0})


class AuditTests(SynchronousTestCase):
    """Every ten minutes the table is compared with what is here."""

    def setUp(self) -> None:
        self.cluster = Cluster()
        self.a, self.b = self.cluster.nodes

    def put(self, *routes: Route) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.cluster.table.put(routes)))

    def test_orphans(self) -> None:
        """Routes of sessions that are not here are removed and counted, others' are left alone."""
        mine, other = self.a.connect(BO), self.b.connect(BO, "laptop")
        self.cluster.passes(0.1)
        self.put(
            Route(BO, "ghost", 0, 77, "ios", 1),
            *(Route(u, "ghost", 0, u, "ios", 1) for u in range(100, 1700)),
        )
        self.successResultOf(self._audit())
        self.cluster.passes(1.5)
        self.assertEqual(self.cluster.in_table(BO), [mine.session_id, other.session_id])
        self.assertEqual((self.cluster.in_table(100), self.cluster.in_table(1699)), ([], []))
        self.assertEqual(self.a.audit.counts()["orphaned_route_count"], 1601)
        self.assertAlmostEqual(self.a.audit.inconsistency_rate, 1601 / 1602)

    def _audit(self) -> Deferred[None]:
        audited = Deferred.fromCoroutine(self.a.audit.audit())
        self.cluster.passes(1.5)
        return audited

    def test_missing(self) -> None:
        """Routes that are missing are put again; the next audit finds nothing."""
        session = self.a.connect(BO)
        self.cluster.passes(0.1)
        route = self.a.routes.of_user(BO)[0]
        self.successResultOf(Deferred.fromCoroutine(self.cluster.table.remove([route])))
        self.successResultOf(self._audit())
        self.assertEqual(self.cluster.in_table(BO), [session.session_id])
        self.assertEqual(
            self.a.audit.counts(),
            {"route_inconsistency_rate": 1.0, "route_repair_count": 1, "orphaned_route_count": 0},
        )
        self.successResultOf(self._audit())
        self.assertEqual(self.a.audit.inconsistency_rate, 0.0)

    def test_on_its_way(self) -> None:
        """Who comes or goes during the audit is neither missing nor an orphan."""
        leaving = self.a.connect(BO)
        self.cluster.passes(0.1)
        gate = self.a.table.slow()
        audited = Deferred.fromCoroutine(self.a.audit.audit())
        self.a.leave(leaving)
        self.a.connect(CY)
        self.a.table.gate = None
        gate.callback(None)
        self.successResultOf(audited)
        self.assertEqual(self.a.audit.counts()["route_repair_count"], 0)

    def test_by_itself(self) -> None:
        """It happens at start, since an earlier life may have left something, and then every ten minutes."""
        self.put(Route(BO, "ghost", 1, 77, "ios", 1))
        self.cluster.nodes.remove(self.b)
        self.b.bus.cut = True
        again = self.cluster.returns(self.b, 2)
        self.cluster.passes(0.1)
        self.assertEqual(self.cluster.in_table(BO), [])
        again.table.calls = []
        self.cluster.passes(AUDIT_S, 0.5)
        self.assertEqual(again.table.calls.count("of_node"), 1)

    def test_table_down(self) -> None:
        """An audit that cannot be made is put off."""
        self.a.table.down = True
        self.cluster.passes(AUDIT_S, 0.5)
        self.a.table.down = False
        self.a.table.calls = []
        self.cluster.passes(AUDIT_S, 0.5)
        self.assertEqual(self.a.table.calls.count("of_node"), 1)
        self.flushLoggedErrors()


class DeadNodeTests(SynchronousTestCase):
    """A node that dies leaves its routes behind."""

    def setUp(self) -> None:
        self.cluster = Cluster(3)
        self.a, self.b, self.c = self.cluster.nodes

    def test_cleared_up(self) -> None:
        """One of those that are left removes them, and notes when their users were last seen."""
        for user_id in range(100, 800):
            self.c.connect(user_id)
        kept = self.b.connect(100, "laptop")
        self.cluster.passes(0.1)
        self.a.table.calls, self.b.table.calls = [], []
        self.cluster.dies(self.c)
        self.cluster.passes(1)
        self.assertEqual(self.cluster.in_table(100), [kept.session_id])
        self.assertEqual(self.cluster.in_table(799), [])
        self.assertEqual((self.a.table.calls.count("remove"), self.b.table.calls.count("remove")), (2, 0))
        self.cluster.passes(6)
        self.assertGreater(self.cluster.last_seen.seen[799], 1_020_000)

    def test_it_comes_back(self) -> None:
        """What a node writes in its new life is left alone, even before it is known to be back."""
        old = self.c.connect(BO)
        self.cluster.passes(0.1)
        gate = self.a.table.slow()
        self.cluster.dies(self.c)
        self.cluster.passes(0.1)
        again = CoreNode(self.cluster, self.c.node_id, {0, 1}, 2)
        again.start()
        new = again.connect(CY)
        self.cluster.passes(0.1)
        self.a.table.gate = None
        gate.callback(None)
        self.cluster.passes(0.5)
        self.assertEqual(self.cluster.in_table(CY), [new.session_id])
        self.assertNotIn(old.session_id, self.cluster.in_table(BO))

    def test_known_to_be_back(self) -> None:
        """Once it is known to be back, it is left to look after its routes itself."""
        self.c.connect(BO)
        self.cluster.passes(0.1)
        gate = self.a.table.slow()
        self.cluster.dies(self.c)
        self.cluster.returns(self.c, 2)
        self.a.table.calls = []
        self.a.table.gate = None
        gate.callback(None)
        self.cluster.passes(0.5)
        self.assertNotIn("remove", self.a.table.calls)
        self.assertEqual(self.cluster.in_table(BO), [])

    def test_a_node_that_was_but_away(self) -> None:
        """A node that was given up by mistake has its sessions known again once it is heard of."""
        session = self.c.connect(BO)
        self.cluster.passes(0.1)
        self.cluster.nodes.remove(self.c)
        self.c.bus.cut = True
        self.cluster.tell_who_lives()
        self.cluster.passes(1)
        self.assertEqual(self.cluster.in_table(BO), [])
        self.c.bus.cut = False
        self.cluster.nodes.append(self.c)
        self.successResultOf(self.b.asks(BO))
        self.cluster.tell_who_lives()
        self.cluster.passes(1.5)
        self.assertEqual(self.b.cache.nodes_of([BO]), {2})
        self.cluster.passes(45)
        self.assertEqual(self.cluster.in_table(BO), [session.session_id])
