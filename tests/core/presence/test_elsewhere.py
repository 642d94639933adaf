"""Watchers see everybody, whichever nodes they are connected to."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.core.presence.model import PresenceState
from tests.core.presence.cluster import Cluster
from tests.core.presence.world import WINDOW_S, Watch

BO, CY = 2, 3


class WatchingTests(SynchronousTestCase):
    """Ann is at node 0 and watches Bo, who is anywhere."""

    def setUp(self) -> None:
        self.cluster = Cluster(3)
        self.a, self.b, self.c = self.cluster.nodes
        self.ann = Watch()

    def watch(self, *user_ids: int) -> list[PresenceState]:
        return self.successResultOf(self.a.watches(self.ann, *user_ids))

    def later(self, delay_s: float = WINDOW_S + 0.2) -> list[list[PresenceState]]:
        self.cluster.passes(delay_s)
        return self.ann.take()

    def test_answer(self) -> None:
        """The answer knows of the sessions at all nodes, oldest first."""
        self.b.connect(BO, "phone")
        self.cluster.passes(1)
        self.a.connect(BO, "laptop")
        self.cluster.passes(1)
        self.c.connect(BO, "tablet")
        self.cluster.passes(1)
        (bo, cy) = self.watch(BO, CY)
        self.assertTrue(bo.online)
        self.assertEqual([device.since_ms - bo.devices[0].since_ms for device in bo.devices], [0, 1000, 2000])
        self.assertEqual(cy, PresenceState(CY))

    def test_coming_and_going(self) -> None:
        """Who comes at another node is seen coming, and going, with the time."""
        self.watch(BO)
        session = self.b.connect(BO)
        ((online,),) = self.later()
        self.assertEqual((online.user_id, online.online, len(online.devices)), (BO, True, 1))
        self.b.leave(session)
        left_ms = self.b.now_ms()
        self.assertEqual(self.later(), [[PresenceState(BO, last_seen_ms=left_ms)]])

    def test_still_here(self) -> None:
        """Who leaves one node and is connected to another is online with what is left."""
        first = self.b.connect(BO, "phone")
        self.c.connect(BO, "laptop")
        self.cluster.passes(0.1)
        self.watch(BO)
        self.b.leave(first)
        ((state,),) = self.later()
        self.assertEqual((state.online, len(state.devices)), (True, 1))

    def test_moves(self) -> None:
        """Who moves to another node, cleanly or not, here or there, is told to nobody."""
        session = self.b.connect(BO)
        self.cluster.passes(0.1)
        self.watch(BO)
        for leaves, to in ((True, self.c), (False, self.b), (False, self.a), (False, self.c), (True, self.a)):
            if leaves:
                node = next(node for node in self.cluster.nodes if session.session_id in node.here)
                node.leave(session)
                self.cluster.passes(0.5)
            session = to.connect(BO)
            self.assertEqual(self.later(), [], (leaves, to.node_id))
        (state,) = self.watch(BO)
        self.assertEqual((state.online, len(state.devices)), (True, 1))

    def test_flapping(self) -> None:
        """Who jumps between nodes all the time is no news either."""
        self.b.connect(BO)
        self.cluster.passes(0.1)
        self.watch(BO)
        for number in range(40):
            self.cluster.nodes[number % 3].connect(BO)
            self.assertEqual(self.later(0.3), [])

    def test_moved_from_a_dead_node(self) -> None:
        """Who came here from a node that died without a word is one device, not two."""
        self.b.connect(BO)
        self.cluster.passes(0.1)
        self.watch(BO)
        self.b.bus.cut = self.b.table.down = True
        self.a.connect(BO)
        self.assertEqual(self.later(10), [])
        self.cluster.dies(self.b)
        self.assertEqual(self.later(), [])

    def test_dead_node(self) -> None:
        """Those who were at a node that died are gone, with about the time."""
        self.b.connect(BO)
        self.c.connect(CY)
        self.cluster.passes(0.1)
        self.watch(BO, CY)
        died_ms = self.a.now_ms()
        self.cluster.dies(self.b)
        self.assertEqual(self.later(), [[PresenceState(BO, last_seen_ms=died_ms)]])

    def test_out_of_order(self) -> None:
        """Words that come twice, late or in the wrong order raise nobody from the dead."""
        self.watch(BO)
        self.b.bus.holds = True
        session = self.b.connect(BO)
        self.cluster.passes(0.05)
        self.b.leave(session)
        self.cluster.passes(0.05)
        came, gone = self.b.bus.held
        self.b.bus.held = [gone, came, gone, came]
        for _ in range(4):
            self.b.bus.release()
            self.cluster.passes(0.05)
        ((state,),) = self.later()
        self.assertFalse(state.online)
        self.assertEqual(self.watch(BO), [state])

    def test_came_while_asking(self) -> None:
        """Who comes or goes while the table is asked is seen as it is then."""
        session = self.b.connect(BO)
        self.cluster.passes(0.1)
        gate = self.a.table.slow()
        asked = self.a.watches(self.ann, BO, CY)
        self.b.leave(session)
        self.c.connect(CY)
        self.cluster.passes(0.1)
        self.a.table.gate = None
        gate.callback(None)
        self.assertEqual([state.online for state in self.successResultOf(asked)], [False, True])
        self.assertEqual(self.later(), [])

    def test_table_down(self) -> None:
        """Without the table the home nodes tell."""
        self.b.connect(BO)
        self.cluster.passes(0.1)
        self.a.table.down = True
        asked = self.a.watches(self.ann, BO)
        self.cluster.passes(0.1)
        (state,) = self.successResultOf(asked)
        self.assertTrue(state.online)
        self.flushLoggedErrors()

    def test_nothing_to_be_learned(self) -> None:
        """When nobody can be asked, what is known is told, and the rest follows within seconds."""
        self.b.connect(BO)
        self.cluster.passes(0.1)
        self.a.table.down = True
        for node in self.cluster.nodes:
            node.homes.events_missed()
        asked = self.a.watches(self.ann, BO)
        self.cluster.passes(0.1)
        self.assertEqual(self.successResultOf(asked), [PresenceState(BO)])
        self.a.table.down = False
        ((state,),) = self.later(10)
        self.assertTrue(state.online)
        self.flushLoggedErrors()

    def test_lost_words(self) -> None:
        """What the bus lost is found by the next comparison: within minutes, or seconds if the loss was noticed."""
        for noticed, limit_s in ((False, 130), (True, 10)):
            self.watch(BO)
            self.b.bus.holds = True
            session = self.b.connect(BO)
            self.cluster.passes(0.1)
            if noticed:
                self.a.feed.missed()
            ((state,),) = self.later(limit_s)
            self.assertTrue(state.online)
            self.b.leave(session)
            self.cluster.passes(0.1)
            if noticed:
                self.a.feed.missed()
            ((state,),) = self.later(limit_s)
            self.assertFalse(state.online)
            self.b.bus.holds = False
            self.b.bus.held.clear()

    def test_memory(self) -> None:
        """Only watched users cost memory, and only while they are watched."""
        for user_id in range(100, 200):
            self.b.connect(user_id)
        self.cluster.passes(0.1)
        self.assertEqual(self.a.elsewhere.counts(), {"kept": 0})
        self.watch(100, 101)
        self.assertEqual(self.a.elsewhere.counts(), {"kept": 2})
        self.watch(101)
        self.assertEqual(self.a.elsewhere.counts(), {"kept": 1})
        self.a.presence.unsubscribe(self.ann)
        self.assertEqual(self.a.elsewhere.counts(), {"kept": 0})

    def test_asked_once(self) -> None:
        """A second watcher of the same user costs no question."""
        self.watch(BO)
        questions = self.a.table.calls.count("of_users")
        self.successResultOf(self.a.watches(Watch(), BO))
        self.assertEqual(self.a.table.calls.count("of_users"), questions)

    def test_last_seen_elsewhere(self) -> None:
        """Who was here long ago and elsewhere since was last seen elsewhere."""
        self.a.leave(self.a.connect(BO))
        self.cluster.passes(10)
        session = self.b.connect(BO)
        self.cluster.passes(20)
        self.b.leave(session)
        left_ms = self.b.now_ms()
        self.cluster.passes(0.1)
        self.assertEqual(self.watch(BO), [PresenceState(BO, last_seen_ms=left_ms)])

    def test_last_seen_not_heard_of(self) -> None:
        """Also if this node has not heard of it: the store knows."""
        self.a.leave(self.a.connect(BO))
        self.cluster.passes(10)
        self.a.bus.cut = True
        self.b.leave(self.b.connect(BO))
        left_ms = self.b.now_ms()
        self.cluster.passes(10)
        self.assertEqual(self.watch(BO), [PresenceState(BO, last_seen_ms=left_ms)])


class EventsOnlyTests(SynchronousTestCase):
    """A listener that is told the same again."""

    def test_told_again(self) -> None:
        """When all sessions are told again, watchers hear nothing, and nobody is kicked."""
        cluster = Cluster()
        a, b = cluster.nodes
        ann = Watch()
        b.connect(BO)
        a.connect(CY)
        cluster.passes(0.1)
        self.successResultOf(a.watches(ann, BO, CY))
        for node in (a, b):
            node.routes.again_asked()
        cluster.passes(10)
        self.assertEqual((ann.take(), a.kicked, b.kicked), ([], [], []))
