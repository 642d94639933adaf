"""Sends to conversations of another node: stored once, in order, whatever happens to their owner."""

from __future__ import annotations

from imd.bus.subjects import message_append, message_deliver, message_settled
from imd.core.message.forward_codec import DistantDevice
from imd.core.message.sweep import TailSweep
from imd.kernel.errors import Code
from tests.core.message.cluster import ClusterCase, ClusterNode
from tests.core.message.harness import ANN, BOB, CY, DAN, GROUP_ID


class ForwardCase(ClusterCase):
    """Ann at a node that does not own the group's shard."""

    def setUp(self) -> None:
        super().setUp()
        self.home = self.other()
        self.owning = self.owner()
        self.ann = self.home.connect(ANN)
        self.bob = self.owning.connect(BOB)

    def say(self, *names: str) -> None:
        for name in names:
            self.home.say(self.ann, name)

    def assert_stored(self, *names: str) -> None:
        self.assertEqual(self.stored(), [(index + 1, name) for index, name in enumerate(names)])


class ForwardTests(ForwardCase):
    """An owner that works."""

    def test_stored_and_told(self) -> None:
        """ACCEPTED, then STORED at the sender's node; the members at the owner's have it, the sender not."""
        self.say("a")
        self.pass_time(0.5)
        self.assertEqual(self.home.answers.of("a"), ["accepted", "stored"])
        self.assertEqual(self.bob.seqs(), [1])
        self.assertEqual(self.ann.seqs(), [])
        self.assertEqual(self.home.forwarding.unsettled, 0)

    def test_in_order_and_in_batches(self) -> None:
        """What comes while a batch is under way goes with the next one, in its order."""
        names = [f"m{index}" for index in range(300)]
        self.say(*names)
        self.pass_time(1)
        self.assert_stored(*names)
        self.assertEqual(self.bob.seqs(), list(range(1, 301)))
        self.assertLess(self.home.cable.asked.count(message_append(self.owning.node_id)), 5)

    def test_refused(self) -> None:
        """Who is not in it is told so, by a code, and never ACCEPTED."""
        dan = self.home.connect(DAN)
        self.say("first")
        self.pass_time(0.5)
        self.home.say(dan, "x")
        self.pass_time(0.5)
        self.assertEqual(self.home.answers.told[-1].code, Code.FORBIDDEN)
        self.assertEqual(self.home.answers.of("x"), ["failed"])

    def test_refused_after_look_up(self) -> None:
        """Also when the owner has to look the conversation up first."""
        dan = self.home.connect(DAN)
        self.home.say(dan, "x")
        self.pass_time(0.5)
        self.assertEqual(self.home.answers.of("x"), ["failed"])

    def test_again(self) -> None:
        """A resend has the first result, whichever node it comes over."""
        self.say("a")
        self.pass_time(0.5)
        self.say("a")
        self.pass_time(0.5)
        self.assertEqual(self.home.answers.of("a"), ["accepted", "stored", "duplicate"])
        ann_elsewhere = self.owning.connect(ANN, "desk")
        self.owning.say(ann_elsewhere, "a")
        self.pass_time(0.5)
        self.assertEqual(self.owning.answers.of("a"), ["duplicate"])
        self.assert_stored("a")

    def test_store_down(self) -> None:
        """A store that may have written ends in DELAYED at the sender's node, then in STORED."""
        self.log.down = "unknown_before"
        self.say("a")
        self.pass_time(11)
        self.assertEqual(self.home.answers.of("a"), ["accepted", "delayed"])
        self.log.down = ""
        self.pass_time(20)
        self.assertEqual(self.home.answers.of("a"), ["accepted", "delayed", "stored"])
        self.assert_stored("a")

    def test_too_many(self) -> None:
        """Above the limit a send is refused, and told so."""
        self.log.hold()
        self.say(*(f"m{index}" for index in range(1001)))
        self.assertEqual(self.home.answers.of("m1000"), ["failed"])
        self.log.release()


class FailingOwnerTests(ForwardCase):
    """An owner that dies, hangs, or loses its words."""

    def test_dead(self) -> None:
        """An owner that is gone is replaced at once, without waiting for anybody to miss it."""
        self.wait(self.owning.die())
        self.say("a", "b")
        self.pass_time(0.5)
        self.assertEqual(self.home.answers.of("b"), ["accepted", "stored"])
        self.assert_stored("a", "b")

    def test_fails_for_days(self) -> None:
        """However often an owner has failed, what it should have written is written here."""
        self.wait(self.owning.die())
        lane = self.home.forwarding._lane_of(GROUP_ID)
        assert lane is not None
        lane.failures = 1100
        self.say("a")
        self.pass_time(0.5)
        self.assertEqual(self.home.answers.of("a"), ["accepted", "stored"])

    def test_dies_with_sends(self) -> None:
        """What it had taken and not settled is settled by the sender's node, once, before what came later."""
        self.log.hold()
        self.say("a", "b")
        self.pass_time(0.2)
        self.assertEqual(self.home.answers.of("b"), ["accepted"])
        self.wait(self.owning.die())
        self.say("c")
        self.pass_time(0.2)
        self.log.release()
        self.pass_time(3)
        self.assertEqual([self.home.answers.of(name)[-1] for name in "abc"], ["stored"] * 3)
        self.assert_stored("a", "b", "c")

    def test_paused(self) -> None:
        """An owner that stops for a while and comes back writes nothing twice, and nobody waits for it."""
        self.say("a")
        self.pass_time(0.5)
        self.owning.cable.frozen = True
        self.say("b", "c")
        self.pass_time(3)
        self.assertEqual(self.home.answers.of("c")[-1], "stored")
        self.say("d")
        self.pass_time(3)
        self.owning.cable.thaw()
        self.pass_time(3)
        self.say("e")
        self.pass_time(3)
        self.assertEqual([self.home.answers.of(name)[-1] for name in "abcde"], ["stored"] * 5)
        self.assert_stored("a", "b", "c", "d", "e")
        self.assertEqual(len(self.home.answers.of("b")), 2)

    def stand_in(self) -> None:
        """The owner hangs until a send is written here; the store hangs; the owner is there again."""
        self.owning.cable.frozen = True
        self.log.hold()
        self.say("a")
        self.pass_time(3)
        self.owning.cable.thaw()
        self.pass_time(2)
        self.assertTrue(self.home.appender.is_busy_with(GROUP_ID))

    def test_back_to_the_owner(self) -> None:
        """What this node began for it is ended here; what comes later waits for that, and goes to the owner."""
        self.stand_in()
        asked = self.home.cable.asked.count(message_append(self.owning.node_id))
        self.say("b", "c")
        self.pass_time(1)
        self.assertEqual(self.home.cable.asked.count(message_append(self.owning.node_id)), asked)
        self.log.release()
        self.pass_time(1)
        self.assertGreater(self.home.cable.asked.count(message_append(self.owning.node_id)), asked)
        self.assertEqual([self.home.answers.of(name)[-1] for name in "abc"], ["stored"] * 3)
        self.assert_stored("a", "b", "c")
        self.assertEqual(self.home.forwarding.unsettled, 0)

    def test_store_hangs_while_shards_move(self) -> None:
        """What is held for the next owner waits no longer than 5 s for what does not end, and then stays behind it."""
        self.stand_in()
        asked = self.home.cable.asked.count(message_append(self.owning.node_id))
        self.say("b", "c")
        self.pass_time(6)
        self.assertTrue(self.home.appender.is_busy_with(GROUP_ID))
        self.assertEqual(self.home.cable.asked.count(message_append(self.owning.node_id)), asked)
        self.log.release()
        self.pass_time(20)
        self.assert_stored("a", "b", "c")
        self.assertEqual([self.home.answers.of(name)[-1] for name in "abc"], ["stored"] * 3)

    def test_others_do_not_keep_it(self) -> None:
        """Sends that other nodes still hand over here do not keep this node's own from the next owner."""
        self.stand_in()
        self.log.release()
        self.pass_time(0.5)
        self.log.hold()
        theirs = self.owning.write(self.bob, "theirs")
        theirs.recipient = DistantDevice(self.owning.node_id, 1, BOB, "phone")
        self.home.appender.submit(theirs)
        asked = self.home.cable.asked.count(message_append(self.owning.node_id))
        self.say("b")
        self.pass_time(0.5)
        self.assertEqual(self.home.cable.asked.count(message_append(self.owning.node_id)), asked + 1)
        self.log.release()
        self.pass_time(40)
        self.assert_contiguous()
        self.assertEqual(self.home.forwarding.unsettled, 0)

    def test_outcomes_lost(self) -> None:
        """When the owner's word is lost, the node looks for itself, and finds what is stored."""
        self.owning.cable.losing.add(message_settled(self.home.node_id))
        self.log.hold()
        self.say("a", "b")
        self.pass_time(0.5)
        self.log.release()
        self.pass_time(40)
        self.assertEqual(self.home.answers.of("a"), ["accepted", "stored"])
        self.assert_stored("a", "b")

    def test_two_owners(self) -> None:
        """Two nodes that both believe to own a shard store everything once, without a hole."""
        for index in range(50):
            self.home.say(self.ann, f"h{index}")
            self.owning.appender.submit(self.owning.write(self.bob, f"o{index}"))
            if index == 20:
                self.home.ownership._owners = [self.home.node_id] * 256
            self.pass_time(0.05)
        self.pass_time(5)
        self.assertEqual(len(self.stored()), 100)
        self.assert_contiguous()
        for prefix in "ho":
            ours = [name for _, name in self.stored() if name[0] == prefix]
            self.assertEqual(ours, sorted(ours, key=lambda name: int(name[1:])))

    def test_owner_changes(self) -> None:
        """While shards move, one device's messages keep their order."""
        names = []
        for index in range(120):
            names.append(f"m{index}")
            self.say(names[-1])
            if index == 30:
                self.add(3)
            if index == 70 and self.owner() is not self.home:
                self.wait(self.owner().leave())
            self.pass_time(0.05, step_s=0.01)
        self.pass_time(10)
        self.assert_stored(*names)

    def test_kicked_meanwhile(self) -> None:
        """What was stored by an owner that died is not called FAILED for a member who was kicked since."""
        self.say("warm")
        self.pass_time(0.5)
        self.owning.cable.losing.add(message_settled(self.home.node_id))
        self.log.hold()
        self.say("a")
        self.pass_time(0.5)
        self.log.release()
        self.people.put(GROUP_ID, BOB, CY)
        self.home.members.invalidate(GROUP_ID, 0)
        self.pass_time(40)
        self.assertEqual(self.home.answers.of("a")[-1], "duplicate")


class TellingTests(ForwardCase):
    """What members at other nodes are told."""

    def test_everywhere(self) -> None:
        """Members at every node get every message once, in order; the sender's other device too."""
        cy = self.home.connect(CY)
        desk = self.owning.connect(ANN, "desk")
        for index in range(10):
            self.home.say(self.ann, f"a{index}")
            self.owning.say(self.bob, f"b{index}")
            self.pass_time(0.1)
        self.pass_time(1)
        for device in (cy, desk):
            self.assertEqual(device.seqs(), list(range(1, 21)))
        self.assertEqual(sorted(self.ann.seqs() + self.bob.seqs()), list(range(1, 21)))

    def test_nobody_there(self) -> None:
        """A node where no member is connected is not told."""
        self.home.sessions.devices.clear()
        heard: list[bytes] = []

        async def hear(_: str, payload: bytes) -> None:
            heard.append(payload)

        self.bus.subscribe(message_deliver(self.home.node_id), hear)
        self.owning.say(self.bob, "b")
        self.pass_time(0.5)
        self.assertEqual(heard, [])

    def test_routes_unknown(self) -> None:
        """While it is found out who is where, messages wait, and keep their order."""
        self.owning.routes.forgetful = True
        for index in range(5):
            self.owning.say(self.bob, f"b{index}")
        self.pass_time(0.5)
        self.assertEqual(self.ann.seqs(), [1, 2, 3, 4, 5])
        self.assertGreater(self.owning.routes.asks, 0)

    def test_lost_and_found(self) -> None:
        """A delivery that gets lost is found by the sweep of the node that should have had it."""
        self.owning.say(self.bob, "b0")
        self.pass_time(0.5)
        self.owning.cable.losing.add(message_deliver(self.home.node_id))
        self.owning.say(self.bob, "b1")
        self.pass_time(0.5)
        self.assertEqual(self.ann.seqs(), [1])
        self.assertEqual(self.wait(self.sweep_of(self.home)), 1)
        self.assertEqual(self.ann.hints, [2])

    async def sweep_of(self, node: ClusterNode) -> int:
        sweep = TailSweep(
            live=node.live,
            log=self.log,
            fanout=node.fanout,
            tasks=node.tasks,
            clock=self.clock,
            interval_s=20,
        )
        return await sweep.sweep()

    def test_receipts(self) -> None:
        """Who has read it is told to the writer at the other node."""
        self.say("a")
        self.pass_time(0.5)
        self.wait(self.owning.receipts.take(self.bob, GROUP_ID, delivered=1, read=1))
        self.pass_time(3)
        self.assertIn((BOB, 1, 1), self.ann.receipts)

    def test_receipt_for_what_another_node_wrote(self) -> None:
        """A receipt is judged by the store, not by what this node has heard of."""
        self.wait(self.home.live.load(GROUP_ID))
        self.owning.cable.losing.add(message_deliver(self.home.node_id))
        self.owning.say(self.bob, "b")
        self.pass_time(0.5)
        self.wait(self.home.receipts.take(self.ann, GROUP_ID, delivered=1, read=0))

    def test_typing(self) -> None:
        """Typing reaches members at other nodes, but not the one who types."""
        live = self.wait(self.home.live.load(GROUP_ID))
        assert live is not None
        self.wait(self.owning.live.load(GROUP_ID))
        self.home.neighbours.typing(live, b"\x00", self.ann)
        self.pass_time(0.5)
        self.assertEqual([each.frames for each in self.bob.outbounds], [b"\x00"])
        self.assertEqual(self.ann.outbounds, [])
