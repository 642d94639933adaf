"""How far a conversation has come, as another role asks over the bus."""

from __future__ import annotations

from imd.bus.local import LocalBus
from imd.bus.subjects import MESSAGE_HISTORY
from imd.core.message.last_seq import LastSeqs
from imd.kernel.errors import Code
from imd.pb.bus_pb2 import HistoryAnswer, HistoryQuery
from tests.core.message.harness import GROUP_ID, PipelineCase


class LastSeqTests(PipelineCase):
    """Questions of the business role."""

    def setUp(self) -> None:
        super().setUp()
        self.bus = LocalBus(clock=self.clock)
        self.wait(LastSeqs(bus=self.bus, log=self.log).start())

    def ask(self, payload: bytes) -> HistoryAnswer:
        return HistoryAnswer.FromString(self.wait(self.bus.request(MESSAGE_HISTORY, payload, timeout_s=2)))

    def last_seq(self, conversation_id: str = GROUP_ID) -> int:
        answer = self.ask(HistoryQuery(conversationId=conversation_id).SerializeToString())
        self.assertEqual(answer.failure.code, 0)
        return answer.lastSeq

    def test_durable(self) -> None:
        """It counts what is stored, and 0 where nothing is."""
        self.assertEqual(self.last_seq(), 0)
        self.send("a")
        self.send("b")
        self.assertEqual(self.last_seq(), 2)
        self.assertEqual(self.last_seq("g_none"), 0)

    def test_refused(self) -> None:
        """What is no question, and a store that cannot be read, are failures that say so."""
        self.assertEqual(self.ask(b"\xff\xff").failure.code, Code.PAYLOAD_INVALID)
        question = HistoryQuery(conversationId="$where").SerializeToString()
        self.assertEqual(self.ask(question).failure.code, Code.PAYLOAD_INVALID)
        self.log.read_faults.append("busy")
        question = HistoryQuery(conversationId=GROUP_ID).SerializeToString()
        self.assertEqual(self.ask(question).failure.code, Code.SERVER_BUSY)
