"""Taking messages back, and notices of the server."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from imd.bus.local import LocalBus
from imd.bus.subjects import message_send
from imd.core.directory import Speaker
from imd.core.message.revoke import Revoker
from imd.core.message.sends import SYSTEM_SENDER_ID
from imd.core.message.system import SystemMessages
from imd.kernel.errors import Code, Forbidden, PayloadInvalid, ServerBusy
from imd.pb.bus_pb2 import SystemAppend, SystemAppended
from imd.pb.message_pb2 import RECALL, REVOKED, Message, SystemNotice
from imd.pb.sync_pb2 import QueryMessageStatusReq, RecallReq
from tests.core.message.harness import ANN, BOB, CY, DAN, GROUP_ID, Device, PipelineCase, Told


class RecallTests(PipelineCase):
    """Bob says something and takes it back."""

    def setUp(self) -> None:
        super().setUp()
        self.ann, self.bob, self.cy = self.connect(ANN), self.connect(BOB), self.connect(CY)
        self.send("said", device=self.bob, text="secret")

    def recall(self, device: Device, seq: int = 1, name: str = "back", **fields: Any) -> None:
        request = RecallReq(**{"conversationId": GROUP_ID, "clientMsgId": name, "seq": seq, **fields})
        send = self.wait(self.now.recaller.prepare(device, request, self.answers))
        self.now.appender.submit(send)

    def message(self, seq: int) -> Message:
        body = self.wait(self.log.read_one(GROUP_ID, seq))
        assert body is not None
        return Message.FromString(body)

    def test_author(self) -> None:
        """The recall is a message of its own, and the content is gone from store, history and key."""
        self.recall(self.bob)
        event, rest = self.message(2), self.message(1)
        self.assertEqual((event.type, event.recall.seq, event.senderId), (RECALL, 1, BOB))
        self.assertEqual((rest.status, rest.seq, rest.WhichOneof("content")), (REVOKED, 1, None))
        self.assertNotIn(b"secret", rest.SerializeToString())
        self.assertEqual(self.cy.messages()[-1], event)
        request = QueryMessageStatusReq(conversationId=GROUP_ID, clientMsgIds=["said"])
        answer = self.wait(self.now.catch_up.status(Speaker(BOB, b""), request))
        self.assertEqual(answer.acks[0].status, REVOKED)

    def test_admin(self) -> None:
        """The owner of the group may take back what others said; a member may not."""
        with self.assertRaises(Forbidden):
            self.recall(self.cy)
        self.recall(self.ann)
        self.assertEqual(self.message(1).status, REVOKED)

    def test_nobody_can_say(self) -> None:
        """While nobody can say who is in, the author's own goes to where that is decided; others' do not."""
        self.now.members.forget(GROUP_ID)
        self.people.busy = True
        self.recall(self.bob)
        self.assertEqual(self.answers.told[-1].code, Code.SERVER_BUSY)
        self.assertEqual([each.decision for each in self.now.standing.trail.entries], ["refused"])
        with self.assertRaises(ServerBusy):
            self.recall(self.ann)
        self.people.busy = False
        self.recall(self.bob)
        self.assertEqual(self.message(1).status, REVOKED)

    def test_too_late(self) -> None:
        """After the window the author cannot."""
        self.clock.advance(119)
        self.recall(self.bob)
        self.send("again", device=self.bob)
        self.clock.advance(121)
        with self.assertRaises(Forbidden):
            self.recall(self.bob, 3, "back-3")

    def test_twice(self) -> None:
        """A second recall is refused, but a resend of the first gets its first result, at any time."""
        self.recall(self.bob)
        with self.assertRaises(PayloadInvalid):
            self.recall(self.bob, name="other")
        self.restart()
        self.clock.advance(1000)
        self.recall(self.bob)
        self.assertEqual(self.answers.told[-1], Told("duplicate", "back", 2))
        self.assertEqual(len(self.stored()), 2)

    def test_in_doubt(self) -> None:
        """A recall whose write is in doubt takes effect once."""
        self.log.faults.append("unknown_after")
        self.recall(self.bob)
        self.pass_time(2)
        self.assertEqual(self.answers.of("back"), ["accepted", "stored"])
        self.assertEqual(self.message(1).status, REVOKED)
        self.assertEqual(self.cy.seqs(), [1, 2])

    def test_not_recallable(self) -> None:
        """System notices, recalls and what does not exist, all alike; and malformed requests."""
        self.recall(self.bob)
        system = SystemMessages(
            bus=LocalBus(clock=self.clock),
            submit=self.now.appender,
            revoker=Revoker(log=self.log),
            ids=self.ids,
            wall_clock=self.wall_clock,
        )
        notice = SystemAppend(conversationId=GROUP_ID, clientMsgId="n", notice=SystemNotice(event="e"))
        self.assertEqual(self.wait(system.append(notice)).seq, 3)
        said = set()
        for seq in (2, 3, 99):
            with self.assertRaises(Forbidden) as refused:
                self.recall(self.ann, seq, f"back-{seq}")
            said.add(str(refused.exception))
        self.assertEqual(len(said), 1)
        for wrong in ({"seq": 0}, {"clientMsgId": ""}, {"conversationId": "$"}):
            with self.assertRaises(PayloadInvalid):
                self.recall(self.bob, **{"seq": 1, **wrong})  # type: ignore[arg-type]

    def test_strangers(self) -> None:
        """Who is not in the conversation learns nothing of it."""
        dan = self.connect(DAN)
        for conversation_id in (GROUP_ID, "g_none"):
            with self.assertRaises(Forbidden):
                self.recall(dan, conversationId=conversation_id)


class SystemTests(PipelineCase):
    """Another role writes over the bus."""

    def setUp(self) -> None:
        super().setUp()
        self.bus = LocalBus(clock=self.clock)
        stage = SystemMessages(
            bus=self.bus,
            submit=self.now.appender,
            revoker=Revoker(log=self.log),
            ids=self.ids,
            wall_clock=self.wall_clock,
        )
        self.wait(stage.start())

    def append(
        self, name: str, conversation_id: str = GROUP_ID, event: str = "group.joined", version: int = 0
    ) -> SystemAppended:
        request = SystemAppend(
            conversationId=conversation_id,
            clientMsgId=name,
            notice=SystemNotice(event=event, actorId=ANN),
            version=version,
        )

        async def ask() -> bytes:
            return await self.bus.request(message_send(7), request.SerializeToString(), timeout_s=20)

        return SystemAppended.FromString(self.wait(ask()))

    def test_notice(self) -> None:
        """A notice is a message from nobody, with a seq; a repeat writes nothing twice."""
        bob = self.connect(BOB)
        self.assertEqual([self.append("n").seq, self.append("n").seq, self.append("m").seq], [1, 1, 2])
        self.assertEqual([message.senderId for message in bob.messages()], [SYSTEM_SENDER_ID] * 2)
        self.assertEqual(bob.messages()[0].system.event, "group.joined")

    def test_who_is_new(self) -> None:
        """A notice reaches who was just invited, and not who was kicked, also before the invalidation."""
        bob, dan = self.connect(BOB), self.connect(DAN)
        self.append("n")
        self.people.put(GROUP_ID, ANN, DAN)
        self.append("m", version=2)
        self.assertEqual((bob.seqs(), dan.seqs()), ([1], [2]))

    def test_refusals(self) -> None:
        """A refusal comes back as one: no such conversation, malformed, conflict, store down."""
        self.append("n")
        codes = [
            self.append("x", "g_none").failure.code,
            self.append("x", "$").failure.code,
            self.append("$").failure.code,
            self.append("n", event="other").failure.code,
        ]
        self.log.down = "busy"
        codes.append(self.append("late").failure.code)
        self.assertEqual(
            codes,
            [
                Code.FORBIDDEN,
                Code.PAYLOAD_INVALID,
                Code.PAYLOAD_INVALID,
                Code.IDEMPOTENT_CONFLICT,
                Code.SERVER_BUSY,
            ],
        )

    def test_caller_gives_up(self) -> None:
        """A caller that stops waiting does not disturb the message."""
        self.log.hold()
        request = SystemAppend(conversationId=GROUP_ID, clientMsgId="n", notice=SystemNotice(event="e"))
        stage = SystemMessages(
            bus=self.bus,
            submit=self.now.appender,
            revoker=Revoker(log=self.log),
            ids=self.ids,
            wall_clock=self.wall_clock,
        )
        waiting = Deferred.fromCoroutine(stage.append(request))
        waiting.addErrback(lambda _: None)
        waiting.cancel()
        self.log.release()
        self.assertEqual(self.stored(), [(1, "n")])
