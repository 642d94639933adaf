"""One live session a device, and so many devices, whichever nodes they are connected to."""

from __future__ import annotations

from itertools import permutations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.bus.port import BusRefused
from imd.core.presence.routes import Route
from imd.pb.bus_pb2 import SessionEvents
from tests.core.presence.cluster import MAX_DEVICES, Cluster, CoreNode

BO = 2


def survivors(cluster: Cluster, user_id: int = BO) -> list[int]:
    return sorted(
        session.session_id
        for node in cluster.nodes
        for session in node.here.values()
        if session.user_id == user_id
    )


class SameDeviceTests(SynchronousTestCase):
    """A device that is connected to two nodes."""

    def setUp(self) -> None:
        self.cluster = Cluster()
        self.a, self.b = self.cluster.nodes

    def test_moves(self) -> None:
        """Who connects to another node is kicked where it was; the table knows the new place only."""
        self.a.connect(BO)
        self.cluster.passes(1)
        new = self.b.connect(BO)
        self.cluster.passes(0.1)
        self.assertEqual((self.a.kicked, self.b.kicked), ([("phone", "same_device")], []))
        self.assertEqual(survivors(self.cluster), [new.session_id])
        self.assertEqual(self.cluster.in_table(BO), [new.session_id])

    def test_and_back(self) -> None:
        """It may come back at once."""
        self.a.connect(BO)
        self.cluster.passes(0.1)
        self.b.connect(BO)
        self.cluster.passes(0.1)
        back = self.a.connect(BO)
        self.cluster.passes(0.1)
        self.assertEqual(survivors(self.cluster), [back.session_id])
        self.assertEqual(self.cluster.in_table(BO), [back.session_id])

    def test_clocks_that_differ(self) -> None:
        """Who comes later stays, even at a node whose clock is behind."""
        self.a.skew_ms = 5_000
        self.a.connect(BO)
        self.cluster.passes(0.1)
        new = self.b.connect(BO)
        self.cluster.passes(0.1)
        self.assertEqual(survivors(self.cluster), [new.session_id])

    def test_another_device(self) -> None:
        """Other devices and other users stay."""
        self.a.connect(BO, "phone")
        self.a.connect(BO + 1, "laptop")
        self.b.connect(BO, "laptop")
        self.cluster.passes(0.1)
        self.assertEqual(self.a.kicked + self.b.kicked, [])

    def test_at_the_same_time(self) -> None:
        """Exactly one of two that come at the same moment stays, the same for every order of what is heard."""
        for first in (0, 1):
            for order in sorted(set(permutations("aabbt"))):
                cluster = Cluster()
                self._collide(cluster, cluster.nodes[first], cluster.nodes[1 - first], order)
                self.assertEqual(len(survivors(cluster)), 1, (first, order))
                self.assertEqual(cluster.in_table(BO), survivors(cluster), (first, order))

    def _collide(self, cluster: Cluster, first: CoreNode, second: CoreNode, order: tuple[str, ...]) -> None:
        for node in cluster.nodes:
            node.bus.holds = True
        first.connect(BO)
        if order[0] == "t":
            # Or else within the same tick.
            cluster.passes(0.02)
        second.connect(BO)
        for what in (*order, *"abtabtabt"):
            if what == "t":
                cluster.passes(0.02)
                continue
            node = cluster.nodes["ab".index(what)]
            if node.bus.held:
                # The newest first: the bus may bring what two calls sent in either order.
                node.bus.release(-1)
                cluster.passes(0.005)
        for node in cluster.nodes:
            node.bus.holds = False
            while node.bus.held:
                node.bus.release()
        cluster.passes(1)

    def test_lost_event(self) -> None:
        """When the bus loses what was said, the next refresh ends the older session."""
        self.a.connect(BO)
        self.cluster.passes(0.1)
        self.b.bus.cut = True
        new = self.b.connect(BO)
        self.cluster.passes(0.1)
        self.b.bus.cut = False
        self.assertEqual(len(survivors(self.cluster)), 2)
        self.cluster.passes(45)
        self.assertEqual(survivors(self.cluster), [new.session_id])

    def test_older_word(self) -> None:
        """Who is told of an older session says again that its own is newer."""
        self.a.connect(BO)
        self.cluster.passes(0.1)
        self.b.bus.cut = True
        new = self.b.connect(BO)
        self.cluster.passes(0.1)
        self.b.bus.cut = False
        self.a.routes.again_asked()
        self.cluster.passes(1.5)
        self.assertEqual(survivors(self.cluster), [new.session_id])

    def test_table_down(self) -> None:
        """Without the table the events alone do it."""
        self.a.table.down = self.b.table.down = True
        self.a.connect(BO)
        self.cluster.passes(0.2)
        new = self.b.connect(BO)
        self.cluster.passes(0.2)
        self.assertEqual(survivors(self.cluster), [new.session_id])
        self.flushLoggedErrors()
        self.a.table.down = self.b.table.down = False
        self.cluster.passes(3)
        self.assertEqual(self.cluster.in_table(BO), [new.session_id])

    def test_late_word(self) -> None:
        """What is heard twice, or after the session's end, kicks nobody."""
        self.a.bus.holds = True
        old = self.a.connect(BO)
        self.cluster.passes(0.05)
        self.a.leave(old)
        self.cluster.passes(0.05)
        came, gone = self.a.bus.held
        new = self.b.connect(BO)
        self.cluster.passes(0.05)
        self.a.bus.held = [gone, came, came, gone]
        for _ in range(4):
            self.a.bus.release()
            self.cluster.passes(0.05)
        self.assertEqual(survivors(self.cluster), [new.session_id])
        self.assertEqual(self.b.kicked, [])
        self.assertEqual(self.a.routes.counts()["users"], 0)


class DeviceLimitTests(SynchronousTestCase):
    """More devices than a user may have, over three nodes."""

    def test_oldest_goes(self) -> None:
        """The oldest one has to go, wherever it is."""
        cluster = Cluster(3)
        a, b, c = cluster.nodes
        for number, node in enumerate((a, b, c, b)):
            node.connect(BO, f"device-{number}")
            cluster.passes(0.1)
        self.assertEqual(MAX_DEVICES, 3)
        self.assertEqual(a.kicked, [("device-0", "too_many_devices")])
        self.assertEqual(b.kicked + c.kicked, [])
        self.assertEqual(len(cluster.in_table(BO)), 3)

    def test_orphan_in_the_table(self) -> None:
        """A route of a session that is not there any more is taken out when it is asked to go."""
        cluster = Cluster()
        a, b = cluster.nodes
        ghost = Route(BO, "ghost", a.node_id, 77, "ios", 1)
        self.successResultOf(Deferred.fromCoroutine(cluster.table.put([ghost])))
        for number in range(3):
            b.connect(BO, f"device-{number}")
            cluster.passes(0.1)
        self.assertEqual(b.kicked, [])
        self.assertEqual(cluster.in_table(BO), survivors(cluster))


class AnnouncedTests(SynchronousTestCase):
    """What a newcomer's first sync waits for."""

    def setUp(self) -> None:
        self.cluster = Cluster()
        self.a, self.b = self.cluster.nodes

    def announced(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.a.routes.announced(self.a.connect(BO)))

    def test_one_tick(self) -> None:
        """After a tick the others know, and then nothing is waited for."""
        told = self.announced()
        self.assertNoResult(told)
        self.cluster.passes(0.015)
        self.successResultOf(told)
        self.assertEqual(self.successResultOf(self.b.asks(BO)), {0})
        (session,) = self.a.here.values()
        self.successResultOf(Deferred.fromCoroutine(self.a.routes.announced(session)))

    def test_one_message_one_call(self) -> None:
        """A crowd within a tick is one message and one call; a large one is cut."""
        published, self.a.table.calls = self.a.bus.published, []
        for user_id in range(100, 1300):
            self.a.connect(user_id)
        self.cluster.passes(0.1)
        self.assertEqual(self.a.table.calls, ["put"] * 3)
        self.assertEqual(self.a.table.most_routes, 500)
        self.assertEqual(self.a.bus.published - published, 3)

    def test_slow_table(self) -> None:
        """A slow table is not waited for, and not relied on until it has answered."""
        self.successResultOf(self.b.asks(BO))
        gate = self.a.table.slow()
        told = self.announced()
        self.cluster.passes(0.05)
        self.assertNoResult(told)
        self.cluster.passes(0.1)
        self.successResultOf(told)
        self.assertEqual(self.b.cache.nodes_of([BO]), {0})
        self.b.cache.events_missed()
        asked = self.b.asks(BO)
        self.cluster.passes(0.05)
        self.assertEqual((self.successResultOf(asked), self.b.lookup.home_questions), ({0}, 1))
        self.a.table.gate = None
        gate.callback(None)
        self.cluster.passes(0.05)
        self.b.cache.events_missed()
        self.assertEqual(self.successResultOf(self.b.asks(BO)), {0})
        self.assertEqual(self.b.lookup.home_questions, 1)

    def test_bounded(self) -> None:
        """Whatever hangs, the wait ends after 0.3 s."""
        self.a.table.gate = Deferred()
        self.announced()
        self.cluster.passes(0.05)
        self.a.bus.publish = self._refuse  # type: ignore[method-assign]
        told = self.announced()
        self.cluster.passes(0.35)
        self.successResultOf(told)

    def _refuse(self, subject: str, payload: bytes) -> None:
        raise BusRefused("planted")

    def test_bus_refuses(self) -> None:
        """What the bus did not take is told when it does again."""
        publish = self.a.bus.publish
        self.a.bus.publish = self._refuse  # type: ignore[method-assign]
        self.successResultOf(self.b.asks(BO))
        told = self.announced()
        self.cluster.passes(0.1)
        self.successResultOf(told)
        self.a.bus.publish = publish  # type: ignore[method-assign]
        self.cluster.passes(1.1)
        self.assertEqual(self.b.cache.nodes_of([BO]), {0})
        self.assertEqual(self.a.routes.counts()["unpublished"], 0)

    def test_never_heard_of(self) -> None:
        """Who comes and goes within a tick is told to nobody."""
        published, self.a.table.calls = self.a.bus.published, []
        session = self.a.connect(BO)
        told = Deferred.fromCoroutine(self.a.routes.announced(session))
        self.a.leave(session)
        self.successResultOf(told)
        self.cluster.passes(0.1)
        self.assertEqual((self.a.bus.published, self.a.table.calls), (published, []))

    def test_gone_while_written(self) -> None:
        """Who goes while the table is slow is not said to have come afterwards, and is not left in the table."""
        gate = self.a.table.slow()
        session = self.a.connect(BO)
        self.cluster.passes(0.05)
        self.a.leave(session)
        self.cluster.passes(0.05)
        self.successResultOf(self.b.asks(BO))
        self.a.table.gate = None
        gate.callback(None)
        self.cluster.passes(0.1)
        self.assertEqual(self.cluster.in_table(BO), [])
        self.assertEqual(self.b.cache.nodes_of([BO]), frozenset())

    def test_last_word(self) -> None:
        """The last that is said of somebody who goes while the table is slow is that it went."""
        gate = self.a.table.slow()
        session = self.a.connect(BO)
        self.cluster.passes(0.15)
        self.a.bus.holds = True
        self.a.leave(session)
        self.cluster.passes(0.05)
        self.a.table.gate = None
        gate.callback(None)
        self.cluster.passes(0.1)
        said = [event for _, payload in self.a.bus.held for event in SessionEvents.FromString(payload).events]
        self.assertEqual({event.gone for event in said}, {True})

    def test_gone_while_failing(self) -> None:
        """Who goes while the table fails to write its coming is not written afterwards."""
        gate = self.a.table.slow()
        session = self.a.connect(BO)
        self.cluster.passes(0.05)
        self.a.leave(session)
        self.cluster.passes(0.05)
        self.a.table.gate, self.a.table.down = None, True
        gate.callback(None)
        self.cluster.passes(0.1)
        self.a.table.down, self.a.table.calls = False, []
        self.cluster.passes(1.5)
        self.assertEqual((self.cluster.in_table(BO), self.a.table.calls.count("remove")), ([], 1))
        self.flushLoggedErrors()


class StopTests(SynchronousTestCase):
    """A node that goes down in order."""

    def test_nobody_is_left(self) -> None:
        """All its sessions are taken out of the table in batches, and the others hear that they went."""
        cluster = Cluster()
        a, b = cluster.nodes
        for user_id in range(100, 700):
            a.connect(user_id)
        cluster.passes(0.1)
        self.assertEqual(self.successResultOf(b.asks(100)), {0})
        a.table.calls = []
        self.successResultOf(Deferred.fromCoroutine(a.routes.stop()))
        cluster.passes(0.05)
        self.assertEqual(a.table.calls, ["remove", "remove"])
        self.assertEqual([cluster.in_table(user_id) for user_id in (100, 699)], [[], []])
        self.assertEqual(b.cache.nodes_of([100]), frozenset())

    def test_table_down(self) -> None:
        """A table that is down does not keep a node from stopping."""
        cluster = Cluster()
        a, _ = cluster.nodes
        a.connect(BO)
        cluster.passes(0.1)
        a.table.down = True
        self.successResultOf(Deferred.fromCoroutine(a.routes.stop()))
