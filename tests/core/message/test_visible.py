"""History visibility: who joined later sees it from a seq on, whichever way it is read back."""

from __future__ import annotations

from typing import Any

from imd.core.directory import ConversationEntry, Speaker
from imd.kernel.errors import Forbidden
from imd.pb.connection_pb2 import ConversationCursor
from imd.pb.sync_pb2 import (
    BACKWARD,
    FORWARD,
    Conversation,
    ConversationListReq,
    HistoryReq,
    HistoryResp,
    RecallReq,
    SyncReq,
)
from tests.core.message.harness import ANN, BOB, CY, GROUP_ID, PipelineCase

FIRST = 5


class VisibleCase(PipelineCase):
    """Seven messages of Ann's; Cy joined before the fifth."""

    first = FIRST

    def setUp(self) -> None:
        super().setUp()
        for number in range(1, 8):
            self.send(f"m{number}")
        known = self.people.known[GROUP_ID]
        # Roles too: Cy may take back what others said.
        self.people.known[GROUP_ID] = known._replace(
            version=2, visible_from={CY: self.first}, roles={ANN: 0, BOB: 0, CY: 2}
        )
        self.now.members.invalidate(GROUP_ID, 2)

    def entries(self) -> list[ConversationEntry]:
        return [ConversationEntry(GROUP_ID, 2, 0, "", 3, self.first)]


class HistoryTests(VisibleCase):
    """Pages of it."""

    def seqs(self, user_id: int = CY, **fields: Any) -> tuple[list[int], bool]:
        request = HistoryReq(conversationId=GROUP_ID, **fields)
        page = HistoryResp.FromString(self.wait(self.now.catch_up.history(user_id, request)))
        return [message.seq for message in page.messages], page.more

    def test_forward(self) -> None:
        """Forward from before it begins where it begins."""
        for from_seq in (0, 1, 4, 5):
            self.assertEqual(self.seqs(fromSeq=from_seq, direction=FORWARD, limit=2), ([5, 6], True))
        self.assertEqual(self.seqs(fromSeq=6, direction=FORWARD), ([6, 7], False))

    def test_backward(self) -> None:
        """Backward it ends there, at any size of page, and there is nothing more."""
        self.assertEqual(self.seqs(direction=BACKWARD), ([5, 6, 7], False))
        self.assertEqual(self.seqs(direction=BACKWARD, limit=2), ([6, 7], True))
        self.assertEqual(self.seqs(direction=BACKWARD, limit=3), ([5, 6, 7], False))
        self.assertEqual(self.seqs(fromSeq=5, direction=BACKWARD, limit=2), ([5], False))
        for from_seq in (1, 4):
            self.assertEqual(self.seqs(fromSeq=from_seq, direction=BACKWARD), ([], False))

    def test_others(self) -> None:
        """Who was there sees it all, also in the page that somebody else asks for at the same time."""
        self.assertEqual(self.seqs(ANN, direction=BACKWARD), ([1, 2, 3, 4, 5, 6, 7], False))
        self.assertEqual(self.seqs(ANN, fromSeq=1, direction=FORWARD, limit=3), ([1, 2, 3], True))

    def test_nothing_yet(self) -> None:
        """Before anything is said that one may see, there is nothing, both ways; then there is that."""
        known = self.people.known[GROUP_ID]
        self.people.known[GROUP_ID] = known._replace(version=3, visible_from={CY: 8})
        self.now.members.invalidate(GROUP_ID, 3)
        for direction in (FORWARD, BACKWARD):
            self.assertEqual(self.seqs(direction=direction), ([], False))
        cy = self.connect(CY)
        self.send("m8")
        self.assertEqual(cy.seqs(), [8])
        self.assertEqual(self.seqs(direction=BACKWARD), ([8], False))


class OtherReadsTests(VisibleCase):
    """Whatever else tells of the past."""

    def sync(self, held: int, first: int) -> list[tuple[int, int]]:
        request = SyncReq(cursors=[ConversationCursor(conversationId=GROUP_ID, lastSeq=held)])
        entries = [self.entries()[0]._replace(visible_from=first)]
        answer = self.wait(self.now.catch_up.sync(Speaker(CY, b""), request, entries=entries))
        return [(state.lastSeq, state.readSeq) for state in answer.behind]

    def test_sync(self) -> None:
        """One is behind only where there is something that one may see; what came before counts as read."""
        self.assertEqual(self.sync(0, FIRST), [(7, 4)])
        self.assertEqual(self.sync(0, 8), [])
        self.assertEqual(self.sync(7, FIRST), [])
        self.assertEqual(self.sync(0, 0), [(7, 0)])

    def listed(self, first: int) -> Conversation:
        entry = self.entries()[0]._replace(visible_from=first)

        async def conversations_of(_: int) -> list[ConversationEntry]:
            return [entry]

        self.patch(self.people, "conversations_of", conversations_of)
        answer = self.wait(self.now.catch_up.conversations(Speaker(CY, b""), ConversationListReq()))
        return answer.conversations[0]

    def test_conversation_list(self) -> None:
        """Unread is what one may see and has not; a last message from before is not shown."""
        row = self.listed(FIRST)
        self.assertEqual((row.lastSeq, row.unread, row.lastMessage.seq), (7, 3, 7))
        row = self.listed(8)
        self.assertEqual((row.unread, row.HasField("lastMessage"), row.updatedAt), (0, False, 0))
        row = self.listed(0)
        self.assertEqual((row.unread, row.lastMessage.seq), (7, 7))

    def test_receipts(self) -> None:
        """How far others came in what one does not see is not told."""
        self.wait(self.now.receipts.take(self.connect(BOB), GROUP_ID, delivered=3, read=3))
        self.pass_time(2)
        told = self.wait(self.now.receipts.of(CY, GROUP_ID))
        self.assertEqual([cursor.userId for cursor in told.cursors], [ANN])
        told = self.wait(self.now.receipts.of(ANN, GROUP_ID))
        self.assertEqual(sorted(cursor.userId for cursor in told.cursors), [ANN, BOB])

    def test_recall(self) -> None:
        """Nobody takes back what they do not see."""
        cy = self.connect(CY)
        for seq, seen in ((4, False), (5, True)):
            request = RecallReq(conversationId=GROUP_ID, clientMsgId="back", seq=seq)
            if seen:
                self.wait(self.now.recaller.prepare(cy, request, self.answers))
            else:
                with self.assertRaises(Forbidden):
                    self.wait(self.now.recaller.prepare(cy, request, self.answers))
