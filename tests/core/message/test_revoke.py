"""Another role has a message taken back that should not have been let in."""

from __future__ import annotations

from imd.bus.local import LocalBus
from imd.bus.subjects import message_send
from imd.core.directory import P2P
from imd.core.message.revoke import NOTHING_THERE, Revoker
from imd.core.message.sends import SYSTEM_SENDER_ID
from imd.core.message.system import SystemMessages
from imd.kernel.errors import Code
from imd.kernel.ids import direct_conversation_id
from imd.pb.bus_pb2 import Revocation, SystemAppend, SystemAppended
from imd.pb.message_pb2 import RECALL, REVOKED, Message
from tests.core.message.harness import ANN, BOB, GROUP_ID, PipelineCase


class RevokeTests(PipelineCase):
    """``SystemAppend.revokes``."""

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
        self.bob = self.connect(BOB)
        for name in ("a", "b"):
            self.send(name)

    def revoke(self, name: str = "revoke:2", **what: int | str) -> SystemAppended:
        request = SystemAppend(conversationId=GROUP_ID, clientMsgId=name)
        request.revokes.CopyFrom(Revocation(reason="muted", **what))  # type: ignore[arg-type]

        async def ask() -> bytes:
            return await self.bus.request(message_send(7), request.SerializeToString(), timeout_s=20)

        return SystemAppended.FromString(self.wait(ask()))

    def stored_at(self, seq: int) -> Message:
        body = self.wait(self.log.read_one(GROUP_ID, seq))
        assert body is not None
        return Message.FromString(body)

    def test_revoked(self) -> None:
        """The content is gone, the members hear it from nobody, with the reason."""
        self.assertEqual(self.revoke(seq=2).seq, 3)
        gone = self.stored_at(2)
        self.assertEqual((gone.status, gone.textContent, gone.senderId), (REVOKED, "", ANN))
        told = self.bob.messages()[-1]
        self.assertEqual((told.type, told.senderId, told.seq), (RECALL, SYSTEM_SENDER_ID, 3))
        self.assertEqual(
            (told.recall.seq, told.recall.serverMsgId, told.recall.reason), (2, gone.serverMsgId, "muted")
        )

    def test_by_name(self) -> None:
        """Found by who sent it under which id, where the seq is not known."""
        self.assertEqual(self.revoke(senderId=ANN, clientMsgId="b").seq, 3)
        self.assertEqual(self.stored_at(2).status, REVOKED)
        self.assertEqual(self.stored_at(1).status, self.stored_at(3).status)

    def test_again(self) -> None:
        """A repeat writes nothing twice, also after a restart."""
        self.assertEqual([self.revoke(seq=2).seq, self.revoke(seq=2).seq], [3, 3])
        self.restart()
        self.setUpStage()
        self.assertEqual(self.revoke(seq=2).seq, 3)
        self.assert_contiguous()

    def setUpStage(self) -> None:
        """After a restart: on a bus of its own."""
        self.bus = LocalBus(clock=self.clock)
        stage = SystemMessages(
            bus=self.bus,
            submit=self.now.appender,
            revoker=Revoker(log=self.log),
            ids=self.ids,
            wall_clock=self.wall_clock,
        )
        self.wait(stage.start())

    def test_nothing_there(self) -> None:
        """What was never there, what is gone already, and what is no message of anybody's cannot be taken back."""
        self.revoke(seq=2)
        for what in ({"seq": 9}, {"seq": 3}, {"senderId": ANN, "clientMsgId": "z"}, {"seq": 2}):
            failure = self.revoke("other", **what).failure
            self.assertEqual((failure.code, failure.reason), (Code.PAYLOAD_INVALID, NOTHING_THERE))
            self.assertFalse(failure.retryable)

    def test_conversation_that_never_was(self) -> None:
        """What was let through to a peer who does not take it goes, and both are told; nobody else could be."""
        peer = direct_conversation_id(ANN, BOB)
        self.people.put(peer, ANN, BOB, kind=P2P)
        self.send("c", conversation_id=peer)
        del self.people.known[peer]
        self.now.members.invalidate(peer, 0)
        request = SystemAppend(conversationId=peer, clientMsgId="revoke:1")
        request.revokes.CopyFrom(Revocation(seq=1, peerUserId=BOB, reason="not_accepted"))

        async def ask() -> bytes:
            return await self.bus.request(message_send(7), request.SerializeToString(), timeout_s=20)

        self.assertEqual(SystemAppended.FromString(self.wait(ask())).seq, 2)
        self.assertEqual([message.type for message in self.bob.messages(peer)][-1], RECALL)

    def test_store_down(self) -> None:
        """What may succeed later says so."""
        self.log.read_faults.append("busy")
        failure = self.revoke(senderId=ANN, clientMsgId="b").failure
        self.assertTrue(failure.retryable)
