"""While the bus is away, conversations that nobody here has used are looked for in the log."""

from __future__ import annotations

from random import Random

from imd.core.directory import P2P, Speaker
from imd.core.message.catch_up import CatchUp
from imd.core.message.listening import MAX_KEPT, Listening
from imd.core.message.live import LiveConversations
from imd.core.message.model import NewMessage
from imd.core.message.quiet_tails import BATCH, LOOK_BACK_MS, QuietTails
from imd.core.message.sweep import TailSweep
from imd.kernel.errors import ServerBusy
from imd.kernel.ids import direct_conversation_id
from imd.pb.message_pb2 import Message
from imd.pb.sync_pb2 import HistoryReq, HistoryResp, SyncReq
from tests.core.message.harness import ANN, BOB, CY, GROUP_ID, SWEEP_S, Device, PipelineCase

OTHER_ID = "g_2"


class QuietTailsTests(PipelineCase):
    """Bob and Cy are here; whoever writes, does it at another node."""

    def setUp(self) -> None:
        super().setUp()
        self.on_bus = True
        self.listening = Listening()
        self.live = self.now.live = LiveConversations(
            members=self.now.members, log=self.log, sessions=self.sessions, listening=self.listening
        )
        self.quiet = QuietTails(
            listening=self.listening,
            live=self.live,
            log=self.log,
            is_on_bus=lambda: self.on_bus,
            wall_clock=self.wall_clock,
        )
        sweep = TailSweep(
            live=self.live,
            log=self.log,
            fanout=self.now.fanout,
            tasks=self.now.tasks,
            clock=self.clock,
            interval_s=SWEEP_S,
            quiet=self.quiet,
        )
        self.wait(sweep.start())

    def write(self, conversation_id: str = GROUP_ID) -> int:
        """Another node stores a message, and nobody is told."""
        seq = self.wait(self.log.last_seqs([conversation_id])).get(conversation_id, 0) + 1
        id_ = self.ids.next()
        body = Message(conversationId=conversation_id, seq=seq, senderId=77, clientMsgId=f"{id_}")
        row = NewMessage(conversation_id, seq, 77, f"{id_}", id_, 0, b"f", body.SerializeToString())
        self.wait(self.log.real.append([row]))
        return seq

    def test_found(self) -> None:
        """Whoever is in the conversation hears of it within a sweep, once for each message that comes."""
        bob, cy, dan = self.connect(BOB), self.connect(CY), Device(4, "phone")
        self.on_bus = False
        self.pass_time(5)
        self.write()
        self.pass_time(SWEEP_S + 1)
        self.assertEqual((bob.hints, cy.hints, dan.hints), ([1], [1], []))
        self.pass_time(SWEEP_S)
        self.assertEqual(bob.hints, [1])
        self.write()
        self.pass_time(SWEEP_S)
        self.assertEqual((bob.hints, cy.hints), ([1, 2], [1, 2]))

    def test_just_before(self) -> None:
        """It counts from before the outage was seen; what is older was told when there was a bus."""
        bob = self.connect(BOB)
        self.write()
        self.pass_time(LOOK_BACK_MS / 1000 + 1)
        self.on_bus = False
        self.pass_time(SWEEP_S + 1)
        self.assertEqual(bob.hints, [])
        self.on_bus = True
        self.pass_time(SWEEP_S)
        self.write()
        self.on_bus = False
        self.pass_time(SWEEP_S)
        self.assertEqual(bob.hints, [2])

    def test_in_use(self) -> None:
        """Who is in the audience of a conversation in use is the tail sweep's, and hears of it once."""
        bob = self.connect(BOB)
        self.wait(self.live.load(GROUP_ID))
        self.on_bus = False
        self.write()
        self.pass_time(SWEEP_S + 1)
        self.assertEqual(bob.hints, [1])

    def test_with_the_bus(self) -> None:
        """With the bus nobody looks: the store is not asked for every conversation of everybody."""
        bob = self.connect(BOB)
        self.write()
        self.log.read_faults.extend(["planted"] * 3)
        self.assertEqual((self.wait(self.quiet.look()), bob.hints), (0, []))

    def test_gone_and_out(self) -> None:
        """Who has left the node or the conversation is told nothing, and nothing is kept of them."""
        bob, cy = self.connect(BOB), self.connect(CY)
        self.on_bus = False
        self.live.left(bob, GROUP_ID)
        self.disconnect(cy)
        self.write()
        self.assertEqual(self.wait(self.quiet.look()), 0)
        self.assertEqual((bob.hints, cy.hints, len(self.listening)), ([], [], 1))

    def test_many(self) -> None:
        """What spans several questions to the store is found by everybody who is in it."""
        devices = [Device(user_id, "phone") for user_id in range(100, 110)]
        for device in devices:
            others = [direct_conversation_id(device.user_id, each) for each in range(BATCH // 4)]
            self.live.arrived(device, [*others, OTHER_ID])
        self.on_bus = False
        self.write(OTHER_ID)
        self.assertEqual(self.wait(self.quiet.look()), 1)
        self.assertEqual([device.hints for device in devices], [[1]] * 10)

    def test_sync(self) -> None:
        """A session that syncs while the authority is away is answered from what it was told first."""
        bob, stranger = self.connect(BOB), Device(BOB, "laptop")
        self.write()

        async def away(_: Speaker) -> list[object]:
            raise ServerBusy("planted")

        self.patch(self.people, "conversations_of", away)
        catch_up = CatchUp(
            live=self.live,
            directory=self.people,
            log=self.log,
            cursors=self.cursors,
            held=self.reviews,
            listening=self.listening,
        )
        speaker = Speaker(BOB, b"")
        answer = self.wait(catch_up.sync(speaker, SyncReq(), session=bob))
        self.assertEqual([(each.conversationId, each.lastSeq) for each in answer.behind], [(GROUP_ID, 1)])
        many = Device(ANN, "phone")
        self.live.arrived(many, [f"g_{number}" for number in range(MAX_KEPT + 1)])
        for session in (stranger, many):
            # A part of it would look like all of it.
            with self.assertRaises(ServerBusy):
                self.wait(catch_up.sync(speaker, SyncReq(), session=session))

    def test_read(self) -> None:
        """A 1:1 conversation that a session was told of first can be read while the authority is away, by nobody
        else; a group, of which somebody may have been put out, cannot."""
        direct_id = direct_conversation_id(ANN, BOB)
        self.people.put(direct_id, ANN, BOB, kind=P2P)
        bob, cy = self.connect(BOB), self.connect(CY)
        for conversation_id in (direct_id, GROUP_ID):
            self.write(conversation_id)
        self.people.busy = True
        catch_up = CatchUp(
            live=self.live,
            directory=self.people,
            log=self.log,
            cursors=self.cursors,
            held=self.reviews,
            listening=self.listening,
        )

        def read(session: Device, conversation_id: str) -> int:
            request = HistoryReq(conversationId=conversation_id, fromSeq=1)
            page = self.wait(catch_up.history(session.user_id, request, session=session))
            return len(HistoryResp.FromString(page).messages)

        self.assertEqual(read(bob, direct_id), 1)
        for session, conversation_id in ((cy, direct_id), (bob, GROUP_ID)):
            with self.assertRaises(ServerBusy):
                read(session, conversation_id)


class ListeningTests(PipelineCase):
    """What is kept of a session."""

    def test_small(self) -> None:
        """As many conversations as are kept cost less than what an idle connection may cost beyond its own."""
        random = Random(1)
        ids = [f"p_{random.getrandbits(128):032x}" for _ in range(MAX_KEPT + 50)]
        listening, device = Listening(), Device(1, "phone")
        listening.arrived(device, ids)
        self.assertEqual(list(listening.of(device)), ids[:MAX_KEPT])
        self.assertFalse(listening.has_all(device))
        (kept,) = listening._kept.values()
        self.assertLess(len(kept), 3100)
