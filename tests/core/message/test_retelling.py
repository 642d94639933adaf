"""What other nodes may not have heard is told again."""

from __future__ import annotations

from imd.bus.subjects import message_deliver
from imd.core.message.retelling import MEMORY_S, PACE
from imd.core.message.settle import Settling
from tests.core.message.cluster import ClusterCase
from tests.core.message.harness import ANN, BOB


class RetellingTests(ClusterCase):
    """Bob writes at the owner; Ann is at a node where nobody has used the conversation, so that no sweep looks."""

    def setUp(self) -> None:
        super().setUp()
        self.owning, self.home = self.owner(), self.other()
        self.ann, self.bob = self.home.connect(ANN), self.owning.connect(BOB)
        self.lost = self.owning.cable.losing
        self.refused = self.owning.cable.refusing
        self.subject = message_deliver(self.home.node_id)

    def say(self, name: str) -> None:
        self.owning.say(self.bob, name)
        self.pass_time(0.5)

    def test_refused(self) -> None:
        """What the bus did not take is told once it does, however long that lasts."""
        self.refused.add(self.subject)
        self.say("a")
        self.say("b")
        self.pass_time(300, step_s=1)
        self.assertEqual(self.owning.neighbours.untold, 1)
        self.refused.clear()
        self.pass_time(3)
        self.assertEqual(self.ann.hints, [2])
        self.assertEqual(self.owning.neighbours.untold, 0)

    def test_gap(self) -> None:
        """After a gap, what was sent shortly before is told again."""
        self.say("a")
        self.lost.add(self.subject)
        self.say("b")
        self.lost.clear()
        self.pass_time(MEMORY_S - 2)
        self.assertEqual(self.ann.hints, [])
        self.owning.neighbours.missed()
        self.pass_time(3)
        self.assertEqual(self.ann.hints, [2])

    def test_paced(self) -> None:
        """Many conversations are told in portions: each may cost the other node a question."""
        names = [f"group-{index}" for index in range(PACE + 20)]
        self.refused.add(self.subject)
        for name in names:
            self.people.put(name, ANN, BOB)
            self.owning.appender.submit(self.owning.write(self.bob, "a", name))
        self.pass_time(2)
        self.refused.clear()
        while not self.ann.hints:
            self.pass_time(0.05)
        self.assertLessEqual(len(self.ann.hints), PACE)
        self.pass_time(1)
        self.assertEqual(len(self.ann.hints), len(names))

    def test_stop(self) -> None:
        """A node does not stop before the others know of what it stored, unless that takes too long."""
        self.refused.add(self.subject)
        self.say("a")
        settling = Settling(
            pending=[self.owning.forwarding],
            neighbours=self.owning.neighbours,
            receipts=self.owning.receipts,
            clock=self.clock,
        )
        self.clock.callLater(3, self.refused.clear)
        self.wait(settling.stop())
        self.pass_time(0.2)
        self.assertEqual(self.ann.hints, [1])
        self.refused.add(self.subject)
        self.say("b")
        begun_s = self.clock.seconds()
        self.wait(settling.stop())
        self.assertLess(self.clock.seconds() - begun_s, 12)
