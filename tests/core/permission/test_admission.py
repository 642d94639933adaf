"""The rules of a conversation, applied where messages come in: at its owner, and at once where that is elsewhere."""

from __future__ import annotations

from typing import Any

from imd.bus.subjects import message_append
from imd.core.directory import CONTROL, MESSAGE, USUAL_RIGHTS
from imd.core.gateway.quick import QuickRefusal
from imd.core.gateway.quotas import DailyLimits, Quotas
from imd.core.message.sends import SYSTEM_SENDER_ID
from imd.kernel.errors import Forbidden
from imd.pb.message_pb2 import TEXT
from imd.pb.sync_pb2 import RecallReq
from tests.core.message.cluster import ClusterCase
from tests.core.message.harness import ANN, BOB, CY, DAN, GROUP_ID, PipelineCase

FOREVER_MS = 1 << 62


class AdmissionTests(PipelineCase):
    """Ann owns the group; Bob and Cy are in it."""

    def rule(self, **rules: Any) -> None:
        """From now on these rules hold, and the node is told."""
        known = self.people.known[GROUP_ID]
        self.people.known[GROUP_ID] = known._replace(version=known.version + 1, **rules)
        self.now.members.invalidate(GROUP_ID, known.version + 1)

    def refused(self, client_msg_id: str) -> str:
        """The reason why it was; "" if it is stored."""
        if self.answers.of(client_msg_id)[-1] == "stored":
            return ""
        self.assertEqual(self.answers.of(client_msg_id), ["failed"])
        return self.answers.reasons[client_msg_id]

    def test_each_reason(self) -> None:
        """A send is refused with the reason, by the rules of the moment; nothing of it is stored."""
        self.send("a", sender=BOB)
        self.rule(muted_until_ms={BOB: FOREVER_MS})
        self.send("b", sender=BOB)
        self.rule(muted_until_ms={}, all_muted_until_ms=FOREVER_MS)
        self.send("c", sender=BOB)
        self.send("d", sender=ANN)
        self.rule(all_muted_until_ms=0, rights=(CONTROL | MESSAGE, *USUAL_RIGHTS[1:]))
        self.send("e", sender=BOB, is_media=True)
        self.send("f", sender=BOB)
        self.rule(refused={BOB: "blocked"})
        self.send("g", sender=BOB)
        self.send("h", sender=DAN)
        self.send("i", sender=SYSTEM_SENDER_ID)
        self.assertEqual(
            [self.refused(name) for name in "abcdefghi"],
            ["", "muted", "all_muted", "", "no_right", "", "not_accepted", "not_member", ""],
        )
        self.assertEqual([name for _, name in self.stored()], ["a", "d", "f", "i"])

    def test_mute_ends(self) -> None:
        """A mute ends by itself, by the time that the message bears."""
        self.rule(muted_until_ms={BOB: self.wall_clock() + 10_000})
        self.clock.advance(9.999)
        self.send("a", sender=BOB)
        self.clock.advance(0.001)
        self.send("b", sender=BOB)
        self.assertEqual((self.refused("a"), self.refused("b")), ("muted", ""))

    def test_stored_before(self) -> None:
        """What somebody muted since sends again gets its first result, also after a restart."""
        self.send("a", sender=BOB)
        self.rule(muted_until_ms={BOB: FOREVER_MS})
        self.send("a", sender=BOB)
        self.restart()
        self.send("a", sender=BOB)
        self.assertEqual(self.answers.of("a"), ["accepted", "stored", "duplicate", "duplicate"])
        self.send("a", sender=BOB, text="something else")
        self.assertEqual(self.answers.of("a")[-1], "failed")

    def test_admitted_before(self) -> None:
        """Who is muted while the message is being written hears of it as if nothing had happened."""
        self.log.hold()
        self.send("warm")
        self.send("a", sender=BOB)
        self.rule(muted_until_ms={BOB: FOREVER_MS})
        self.send("a", sender=BOB)
        self.log.release()
        self.assertEqual(self.answers.of("a"), ["accepted", "accepted", "stored", "duplicate"])

    def test_refused_while_the_store_is_away(self) -> None:
        """Whether it is stored cannot be known now: DELAYED, and the refusal once it is known."""
        self.rule(muted_until_ms={BOB: FOREVER_MS})
        self.send("warm")
        self.log.read_faults += ["busy"]
        self.send("a", sender=BOB)
        self.assertEqual(self.answers.of("a"), ["delayed"])
        self.pass_time(6)
        self.assertEqual(self.answers.of("a"), ["delayed", "failed"])
        self.assertEqual(self.now.appender.unsettled, 0)

    def test_recalls(self) -> None:
        """What others said is taken back by whoever has the right to, one's own also by somebody muted."""
        self.send("a", sender=BOB)
        self.rule(
            muted_until_ms={BOB: FOREVER_MS},
            roles={ANN: 2, BOB: 0, CY: 1},
            rights=(CONTROL, CONTROL, USUAL_RIGHTS[2]),
        )
        cy, bob, ann = self.connect(CY), self.connect(BOB), self.connect(ANN)
        request = RecallReq(conversationId=GROUP_ID, clientMsgId="back", seq=1)
        with self.assertRaises(Forbidden):
            self.wait(self.now.recaller.prepare(cy, request, self.answers))
        for device in (bob, ann):
            send = self.wait(self.now.recaller.prepare(device, request, self.answers))
            self.assertEqual(send.key.sender_id, device.user_id)
        self.rule(rights=(0, 0, 0))
        self.now.appender.submit(send)
        self.assertEqual(self.refused("back"), "no_right")


class QuickRefusalTests(ClusterCase):
    """The node that a device is connected to, where it does not own the conversation."""

    def setUp(self) -> None:
        super().setUp()
        self.home = self.other()
        self.bob = self.home.connect(BOB)
        self.quotas = Quotas(
            limits=DailyLimits(), clock=self.clock, wall_clock=self.wall_clock, tasks=self.home.tasks
        )
        self.quick = QuickRefusal(members=self.home.members, quotas=self.quotas, refusals=self.home.refusals)

    def rule(self, **rules: Any) -> None:
        known = self.people.known[GROUP_ID]
        self.people.known[GROUP_ID] = known._replace(version=known.version + 1, **rules)
        for node in self.nodes.values():
            node.members.invalidate(GROUP_ID, known.version + 1)

    def say(self, name: str) -> None:
        send = self.home.write(self.bob, name)
        if not self.quick.refused(send, TEXT):
            self.home.forwarding.submit(send)
        self.pass_time(0.5)

    def hops(self) -> int:
        return self.home.cable.asked.count(message_append(self.owner().node_id))

    def test_no_hop(self) -> None:
        """Who is muted is refused here, as soon as this node knows; before, by the owner, as surely."""
        self.rule(muted_until_ms={BOB: FOREVER_MS})
        self.say("a")
        self.assertEqual((self.home.answers.of("a"), self.hops()), (["failed"], 1))
        self.wait(self.home.members.get(GROUP_ID))
        self.say("b")
        self.assertEqual((self.home.answers.of("b"), self.hops()), (["failed"], 1))
        self.assertEqual(self.home.answers.reasons, {"a": "muted", "b": "muted"})

    def test_stored_before(self) -> None:
        """A refusal without a hop still does not call FAILED what is stored."""
        self.say("a")
        self.rule(muted_until_ms={BOB: FOREVER_MS})
        self.wait(self.home.members.get(GROUP_ID))
        self.say("a")
        self.assertEqual(self.home.answers.of("a"), ["accepted", "stored", "duplicate"])

    def test_owner_decides(self) -> None:
        """What this node allows by what it knows the owner refuses by what it knows better."""
        self.wait(self.home.members.get(GROUP_ID))
        known = self.people.known[GROUP_ID]
        self.people.known[GROUP_ID] = known._replace(version=2, muted_until_ms={BOB: FOREVER_MS})
        self.owner().members.invalidate(GROUP_ID, 2)
        self.say("a")
        self.assertEqual(self.home.answers.reasons, {"a": "muted"})
        self.assertEqual(self.stored(), [])

    def test_not_fresh(self) -> None:
        """What this node knew once is no reason to refuse."""
        self.rule(muted_until_ms={BOB: FOREVER_MS})
        self.wait(self.home.members.get(GROUP_ID))
        self.rule(muted_until_ms={})
        self.say("a")
        self.assertEqual(self.home.answers.of("a"), ["accepted", "stored"])
