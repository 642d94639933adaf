"""From the log to the devices."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from imd.core.directory import Membership
from imd.core.explain.model import Mode
from imd.core.explain.record import NodeRecord, in_memory
from imd.core.message.fanout import HINT_INTERVAL_S, HINT_PENALTY_S, MAX_RECENT, MAX_SENDERS
from imd.core.message.sends import SYSTEM_SENDER_ID
from imd.kernel.errors import ServerBusy
from imd.pb.delivery_pb2 import Typing
from imd.pb.envelope_pb2 import Envelope
from imd.wire.codec import encode
from imd.wire.framing import FrameDecoder
from imd.wire.outbound import Outbound, Priority
from tests.core.message.harness import ANN, BOB, CY, DAN, GROUP_ID, LONG_S, Device, PipelineCase


def frames(device: Device) -> list[bytes]:
    joined = b"".join(outbound.frames for outbound in device.outbounds)
    return FrameDecoder(limit_bytes=1 << 22).feed(joined)


class DeliveryTests(PipelineCase):
    """Who gets what."""

    def test_everybody_but_the_sending_device(self) -> None:
        """All devices of all members, and the sender's others, get the stored message."""
        phone, tablet = self.connect(ANN), self.connect(ANN, "tablet")
        bob, bobs_tablet, dan = self.connect(BOB), self.connect(BOB, "tablet"), self.connect(DAN)
        self.send("a", device=phone)
        for device in (tablet, bob, bobs_tablet):
            self.assertEqual([message.textContent for message in device.messages()], ["a"])
        message = bob.messages()[0]
        self.assertEqual((message.senderId, message.senderDeviceId, message.seq), (ANN, "phone", 1))
        self.assertEqual(phone.outbounds + dan.outbounds, [])

    def test_shared(self) -> None:
        """A message is encoded once for all."""
        bob, cy = self.connect(BOB), self.connect(CY)
        self.send("a")
        self.assertIs(bob.outbounds[0], cy.outbounds[0])

    def test_joined(self) -> None:
        """A batch comes joined, frame by frame what it would have been one by one."""
        ann, bob, cy = self.connect(ANN), self.connect(BOB), self.connect(CY)
        self.send("warm")
        self.log.hold()
        self.send("first")
        for number in range(6):
            self.send(f"m{number}", device=(ann, bob)[number % 2], text="x" * 30_000)
        self.log.release()
        self.assertEqual(cy.seqs(), [1, 2, 3, 4, 5, 6, 7, 8])
        self.assertEqual(len(cy.outbounds), 5)
        self.assertEqual(sum(outbound.counted for outbound in cy.outbounds), 8)
        self.assertEqual(ann.seqs(), [1, 2, 4, 6, 8])
        self.assertEqual(bob.seqs(), [1, 2, 3, 5, 7])
        self.assertEqual([frame for frame in frames(cy) if frame in frames(bob)], frames(bob))

    def test_one_priority_a_conversation(self) -> None:
        """A connection sends by priority; a system notice must not overtake what was said before."""
        bob = self.connect(BOB)
        self.send("a")
        self.send("b", sender=SYSTEM_SENDER_ID)
        self.assertEqual({outbound.priority for outbound in bob.outbounds}, {Priority.NORMAL})

    def test_large_groups_yield(self) -> None:
        """What is said in a large group goes behind what is said in small ones."""
        self.people.put("g_big", *range(1, 1003))
        bob = self.connect(BOB)
        self.send("a", conversation_id="g_big")
        self.assertEqual([outbound.priority for outbound in bob.outbounds], [Priority.LARGE_GROUP])

    def test_a_device_that_breaks(self) -> None:
        """When a push fails, the writer lives on and the sweep tells what was not heard."""
        bob, cy = self.connect(BOB), self.connect(CY)
        bob.breaks = True
        self.send("a")
        bob.breaks = False
        self.assertEqual(self.wait(self.now.sweep.sweep()), 1)
        self.assertEqual((bob.hints, cy.hints), ([1], [1]))
        self.flushLoggedErrors(RuntimeError)

    def test_typing(self) -> None:
        """Typing goes to everybody here but the one who types, and is not stored."""
        bob, cy = self.connect(BOB), self.connect(CY)
        live = self.wait(self.now.live.load(GROUP_ID))
        assert live is not None
        typing = Outbound(encode(Envelope(typing=Typing(conversationId=GROUP_ID))), Priority.BULK)
        self.now.fanout.broadcast(live, typing, bob)
        self.assertEqual((bob.outbounds, cy.outbounds), ([], [typing]))
        self.assertEqual(self.stored(), [])


class RecordTests(PipelineCase):
    """What the node remembers of it."""

    def setUp(self) -> None:
        super().setUp()
        self.record = NodeRecord(
            kept=in_memory(self.wall_clock),
            clock=self.clock,
            wall_clock=self.wall_clock,
            tasks=self.now.tasks,
        )

    def remembered(self, seq: int) -> list[tuple[int, int, int, int]]:
        """Mode, sessions, last seq and count of each."""
        found = self.wait(self.record.fanouts_of(GROUP_ID, seq))
        return [(one.mode, one.sessions, one.last_seq, one.messages) for one in found]

    def test_pushed(self) -> None:
        """One record a batch, with how many sessions were here; nobody is a number, too."""
        self.start(record=self.record)
        self.send("to nobody")
        self.connect(ANN), self.connect(BOB)
        self.send("warm")
        self.log.hold()
        self.send("first")
        for number in range(3):
            self.send(f"m{number}")
        self.log.release()
        self.assertEqual(self.remembered(1), [(Mode.PUSHED, 0, 1, 1)])
        self.assertEqual(self.remembered(3), [(Mode.PUSHED, 2, 3, 1)])
        for seq in (4, 5, 6):
            self.assertEqual(self.remembered(seq), [(Mode.PUSHED, 2, 6, 3)])

    def test_hinted(self) -> None:
        """A hint in place of the message."""
        self.start(record=self.record, hint=self.thresholds._replace(members_online=1))
        self.connect(ANN), self.connect(BOB)
        self.send("a")
        self.assertEqual(self.remembered(1), [(Mode.HINTED, 2, 1, 1)])

    def test_failed(self) -> None:
        """A fan-out that broke, and the sweep that told it after all."""
        self.start(record=self.record)
        self.connect(BOB).breaks = True
        self.send("a")
        self.assertEqual(self.remembered(1), [(Mode.FAILED, 0, 1, 1)])
        self.sessions.of_user(BOB)[0].breaks = False
        self.wait(self.now.sweep.sweep())
        self.assertEqual([one[0] for one in self.remembered(1)], [Mode.FAILED, Mode.HINTED])
        self.flushLoggedErrors(RuntimeError)


class HintTests(PipelineCase):
    """Hint and pull."""

    def test_many_online(self) -> None:
        """Above so many online devices, a hint goes in place of the message; not to the sending device."""
        self.start(hint=self.thresholds._replace(members_online=2))
        ann, bob, cy = self.connect(ANN), self.connect(BOB), self.connect(CY)
        self.send("a", device=ann)
        self.assertEqual((bob.hints, cy.hints, bob.seqs()), ([1], [1], []))
        self.assertEqual(ann.outbounds, [])
        self.disconnect(cy)
        self.send("b", device=ann)
        self.assertEqual(bob.seqs(), [2])

    def test_many_nodes(self) -> None:
        """As many as here are taken to be online at each node, but no more than the conversation has members."""
        self.start(hint=self.thresholds._replace(members_online=3), node_count=lambda: 3)
        self.people.put("g_4", ANN, BOB, CY, DAN)
        bob, bobs_tablet = self.connect(BOB), self.connect(BOB, "tablet")
        self.send("a", conversation_id="g_4")
        self.send("b")
        self.assertEqual((bob.hints, bob.seqs()), ([1], [1]))
        self.disconnect(bobs_tablet)
        self.send("c", conversation_id="g_4")
        self.assertEqual(bob.seqs("g_4"), [2])

    def test_hints_gathered(self) -> None:
        """Hints of one conversation keep their distance, and the last one says it all."""
        self.start(hint=self.thresholds._replace(members_online=0))
        bob = self.connect(BOB)
        for number in range(5):
            self.send(f"m{number}")
        self.assertEqual(bob.hints, [1])
        self.clock.advance(HINT_INTERVAL_S)
        self.assertEqual(bob.hints, [1, 5])
        self.clock.advance(10 * HINT_INTERVAL_S)
        self.assertEqual(bob.hints, [1, 5])

    def test_recent_messages_are_bounded(self) -> None:
        """Messages are kept at hand for the latest few conversations that are hinted."""
        self.start(hint=self.thresholds._replace(members_online=0))
        self.connect(BOB)
        for number in range(MAX_RECENT + 3):
            self.people.put(f"g_r{number}", ANN, BOB)
            self.sessions.devices[0].outbounds.clear()
            self.send("a", conversation_id=f"g_r{number}")
        kept = [live.conversation_id for live in self.now.live if live.recent is not None]
        self.assertEqual(kept, [f"g_r{number}" for number in range(3, MAX_RECENT + 3)])

    def test_hint_after_a_change(self) -> None:
        """A hint that is due while the membership is unknown is left to the sweep, not lost."""
        self.start(hint=self.thresholds._replace(members_online=0))
        bob = self.connect(BOB)
        self.send("a")
        self.send("b")
        self.now.live.changed(GROUP_ID)
        self.clock.advance(HINT_INTERVAL_S)
        self.assertEqual(bob.hints, [1])
        self.wait(self.now.sweep.sweep())
        self.assertEqual(bob.hints, [1, 2])

    def test_large_body(self) -> None:
        """A large body goes as a hint, but directly to a small group."""
        bob = self.connect(BOB)
        self.send("a", text="x" * 2000)
        self.assertEqual(bob.seqs(), [1])
        self.people.put("g_4", ANN, BOB, CY, DAN)
        bobs_tablet = self.connect(BOB, "tablet")
        self.send("b", conversation_id="g_4", text="x" * 2000)
        self.send("c", conversation_id="g_4", text="x")
        self.assertEqual(bobs_tablet.hints, [1])
        self.assertEqual(bobs_tablet.seqs("g_4"), [2])

    def test_slow(self) -> None:
        """A fan-out that took too long is followed by a minute of hints."""
        case = self

        class Slow(Device):
            def push(self, outbound: Outbound) -> None:
                case.clock.rightNow += 0.3
                super().push(outbound)

        self.sessions.devices.append(bob := Slow(BOB, "phone"))
        self.send("a")
        self.send("b")
        self.assertEqual((bob.seqs(), bob.hints), ([1], [2]))
        self.clock.advance(HINT_PENALTY_S + 1)
        self.send("c")
        self.assertEqual(bob.seqs(), [1, 3])


class ChangeTests(PipelineCase):
    """Membership that changes while messages are on their way."""

    def test_between_admission_and_commit(self) -> None:
        """Who was removed gets nothing of it, and who was added gets it."""
        bob, cy, dan = self.connect(BOB), self.connect(CY), self.connect(DAN)
        self.send("a")
        self.log.hold()
        self.send("b")
        self.send("c")
        self.change(GROUP_ID, ANN, BOB, DAN)
        self.log.release()
        self.assertEqual((bob.seqs(), cy.seqs(), dan.seqs()), ([1, 2, 3], [1], [2, 3]))

    def test_order_while_the_audience_is_looked_up(self) -> None:
        """What is committed while the new members are asked for comes after what was before."""
        bob = self.connect(BOB)
        self.send("a")
        self.log.hold()
        self.send("b")
        self.change(GROUP_ID, ANN, BOB)
        self.people.gate = Deferred()
        self.log.release()
        self.send("c")
        self.assertEqual(bob.seqs(), [1])
        gate, self.people.gate = self.people.gate, None
        gate.callback(None)
        self.assertEqual(bob.seqs(), [1, 2, 3])

    def test_directory_down_at_fan_out(self) -> None:
        """When nobody can say who is in, those are told who were, but for those who are heard to be out."""
        bob, cy = self.connect(BOB), self.connect(CY)
        self.send("a")
        self.log.hold()
        self.send("b")
        self.now.members.invalidate(GROUP_ID, 2, removed_ids=[CY])
        self.people.busy = True
        self.log.release()
        self.assertEqual(self.answers.seqs(), [1, 2])
        self.assertEqual((bob.seqs(), cy.seqs()), ([1, 2], [1]))

    def test_nothing_known_at_fan_out(self) -> None:
        """When nothing is known of who is in, the sweep tells later: within two intervals at most."""
        bob = self.connect(BOB)
        self.send("a")
        self.log.hold()
        self.send("b")
        self.change(GROUP_ID, ANN, BOB)
        self.now.members.forget(GROUP_ID)
        self.people.busy = True
        self.log.release()
        self.people.busy = False
        self.assertEqual(self.answers.seqs(), [1, 2])
        self.assertEqual(bob.seqs(), [1])
        self.wait(self.now.sweep.sweep())
        self.assertEqual(bob.hints, [2])

    def test_dissolved(self) -> None:
        """A conversation that is gone delivers nothing any more, and keeps nothing."""
        bob = self.connect(BOB)
        self.send("a")
        self.log.hold()
        self.send("b")
        del self.people.known[GROUP_ID]
        self.now.members.invalidate(GROUP_ID, 0)
        self.log.release()
        self.assertEqual(bob.seqs(), [1])
        self.send("c")
        self.assertEqual(self.answers.of("c"), ["failed"])
        self.assertEqual(self.now.live.counts(), {"live": 0, "joined": 0})


class AudienceTests(PipelineCase):
    """Who is here."""

    def test_comes_and_goes(self) -> None:
        """A device gets what is said while it is here, whenever it came; gone, it leaves nothing behind."""
        self.send("a")
        bob = self.connect(BOB)
        self.send("b")
        self.disconnect(bob)
        self.send("c")
        self.assertEqual(bob.seqs(), [2])
        self.assertEqual(self.now.live.counts(), {"live": 1, "joined": 0})

    def test_stranger_arrives(self) -> None:
        """Naming a conversation at arrival lets nobody in who is not a member."""
        self.send("a")
        self.sessions.devices.append(dan := Device(DAN, "phone"))
        self.now.live.arrived(dan, [GROUP_ID])
        self.send("b")
        self.assertEqual(dan.outbounds, [])

    def test_eviction(self) -> None:
        """The least recently used conversations are forgotten, those in use are not, and nothing leaks."""
        self.start(max_live=5)
        bob = self.connect(BOB)
        self.log.hold()
        self.send("held")
        for number in range(20):
            self.people.put(f"g_x{number}", ANN, BOB)
            self.wait(self.now.live.load(f"g_x{number}"))
        self.assertEqual(len(self.now.live), 5)
        self.assertIsNotNone(self.now.live.known(GROUP_ID))
        self.assertEqual(len(self.now.live._joined[bob]), 5)
        self.log.release()
        self.assertEqual(bob.seqs(), [1])
        self.disconnect(bob)
        self.assertEqual(self.now.live.counts()["joined"], 0)

    def test_in_use_stays(self) -> None:
        """A conversation that is written in outlasts those that were opened after it and left alone."""
        self.start(max_live=5)
        for number in range(20):
            self.send(f"m{number}")
            self.people.put(f"g_x{number}", ANN, BOB)
            self.wait(self.now.live.load(f"g_x{number}"))
        self.assertEqual(len(self.now.live), 5)
        self.assertIsNotNone(self.now.live.known(GROUP_ID))

    def test_changed_forgets_the_audience(self) -> None:
        """After a change nobody is listed twice, or for what is not known any more."""
        self.connect(BOB)
        self.send("a")
        self.change(GROUP_ID, ANN, CY)
        self.assertEqual(self.now.live.counts()["joined"], 0)
        self.send("b")
        self.assertEqual(self.now.live.counts()["joined"], 0)

    def test_senders_are_bounded(self) -> None:
        """Only so many recent senders of a group are remembered, the latest ones."""
        self.people.put("g_big", *range(1, 500))
        self.log.hold()
        for user_id in range(1, 200):
            self.send(f"m{user_id}", sender=user_id, conversation_id="g_big")
        self.log.release()
        live = self.now.live.known("g_big")
        assert live is not None and live.senders is not None
        self.assertEqual(list(live.senders), list(range(200 - MAX_SENDERS, 200)))


class SweepTests(PipelineCase):
    """The tail that nobody heard."""

    def setUp(self) -> None:
        super().setUp()
        self.wait(self.now.sweep.start())

    def test_planted_tail(self) -> None:
        """A message that only the store knows is hinted within one interval, once."""
        bob = self.connect(BOB)
        self.send("a")
        self.wait(self.log.plant(GROUP_ID))
        self.pass_time(21)
        self.assertEqual(bob.hints, [2])
        self.pass_time(LONG_S)
        self.assertEqual(bob.hints, [2])

    def test_on_its_way(self) -> None:
        """What is stored and about to be told is not hinted."""
        bob = self.connect(BOB)
        self.send("a")
        self.log.faults.append("unknown_after")
        self.send("b")
        self.assertEqual(self.wait(self.now.sweep.sweep()), 0)
        self.pass_time(LONG_S)
        self.assertEqual((bob.seqs(), bob.hints), ([1, 2], []))

    def test_after_a_change(self) -> None:
        """A conversation whose members changed is looked after too, though nobody wrote since."""
        bob = self.connect(BOB)
        self.send("a")
        self.wait(self.log.plant(GROUP_ID))
        self.change(GROUP_ID, ANN, BOB)
        self.pass_time(21)
        self.assertEqual(bob.hints, [2])

    def test_nobody_known_to_hint(self) -> None:
        """A hint while it is not known who is here counts as told to nobody; the sweep repeats it."""
        bob = self.connect(BOB)
        self.send("a")
        live = self.now.live.known(GROUP_ID)
        assert live is not None
        self.change(GROUP_ID, ANN, BOB)
        self.now.fanout.hint(live, self.wait(self.log.plant(GROUP_ID)))
        self.pass_time(21)
        self.assertEqual(bob.hints, [2])

    def test_members_unknown(self) -> None:
        """A conversation whose members cannot be learned does not hide the tails of the others."""
        bob = self.connect(BOB)
        self.people.put("g_2", ANN, BOB)
        self.send("a", conversation_id="g_2")
        self.send("b")
        self.wait(self.log.plant(GROUP_ID))
        real = self.people.membership

        async def membership(conversation_id: str, *, sparing: bool = False) -> Membership | None:
            if conversation_id == "g_2":
                raise ServerBusy("planted")
            return await real(conversation_id)

        self.people.membership = membership  # type: ignore[method-assign]
        self.change("g_2", ANN, BOB)
        self.pass_time(21)
        self.assertEqual(bob.hints, [2])

    def test_stopped_while_it_looks(self) -> None:
        """A stop in the middle of a sweep ends it."""
        self.connect(BOB)
        self.send("a")
        self.change(GROUP_ID, ANN, BOB)
        self.people.gate = Deferred()
        self.pass_time(21)
        self.wait(self.now.tasks.stop())
        self.assertEqual(len(self.now.tasks), 0)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_goes_on(self) -> None:
        """A sweep that fails, even in an unforeseen way, is followed by the next."""
        bob = self.connect(BOB)
        self.send("a")
        self.wait(self.log.plant(GROUP_ID))
        self.log.read_faults.append("busy")
        bob.breaks = True
        self.pass_time(41)
        bob.breaks = False
        self.wait(self.log.plant(GROUP_ID))
        self.pass_time(21)
        self.assertEqual(bob.hints, [3])
        self.flushLoggedErrors(RuntimeError)
