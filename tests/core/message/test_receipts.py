"""How far everybody has come."""

from __future__ import annotations

from imd.core.directory import Speaker
from imd.core.message import receipts
from imd.kernel.errors import Forbidden, PayloadInvalid
from imd.kernel.ids import direct_conversation_id
from imd.pb.sync_pb2 import ConversationListReq
from tests.core.message.harness import ANN, BOB, CY, DAN, GROUP_ID, Device, PipelineCase

DIRECT = direct_conversation_id(ANN, BOB)
SOON_S = 0.3
GROUP_S = 1.5


class ReceiptTests(PipelineCase):
    """Written, then told to those whom it concerns."""

    def setUp(self) -> None:
        super().setUp()
        self.send("d1", conversation_id=DIRECT, peer_user_id=BOB)
        self.send("d2", conversation_id=DIRECT)
        self.ann, self.bob = self.connect(ANN), self.connect(BOB)
        for number in range(5):
            self.send(f"g{number}", sender=(ANN, BOB)[number % 2])
        self.pass_time(GROUP_S)
        self.ann.outbounds.clear()
        self.bob.outbounds.clear()
        self.cursors.writes.clear()

    def take(self, device: Device, conversation_id: str, *, delivered: int = 0, read: int = 0) -> None:
        self.wait(self.now.receipts.take(device, conversation_id, delivered=delivered, read=read))

    def cursor(self, user_id: int, conversation_id: str) -> tuple[int, int]:
        row = self.wait(self.cursors.of_user(user_id, [conversation_id])).get(conversation_id)
        return (row.delivered_seq, row.read_seq) if row is not None else (0, 0)

    def test_peer(self) -> None:
        """In a 1:1 conversation the other side hears of delivery and of reading."""
        self.take(self.bob, DIRECT, delivered=1)
        self.pass_time(SOON_S)
        self.take(self.bob, DIRECT, read=2)
        self.pass_time(SOON_S)
        self.assertEqual(self.ann.receipts, [(BOB, 1, 0), (BOB, 2, 2)])
        self.assertEqual(self.cursor(BOB, DIRECT), (2, 2))
        self.assertEqual(self.bob.receipts, [])

    def test_never_back(self) -> None:
        """A lower receipt changes nothing, is not written and not told; delivery does not lower reading."""
        self.take(self.bob, DIRECT, read=2)
        self.pass_time(SOON_S)
        self.take(self.bob, DIRECT, read=1)
        self.take(self.bob, DIRECT, delivered=2)
        self.pass_time(SOON_S)
        self.assertEqual(self.ann.receipts, [(BOB, 2, 2)])
        self.assertEqual(len(self.cursors.writes), 1)

    def test_gathered(self) -> None:
        """What comes within a moment is one write and one notice."""
        for seq in (1, 2):
            self.take(self.bob, DIRECT, delivered=seq)
        self.take(self.bob, DIRECT, read=2)
        self.pass_time(SOON_S)
        self.assertEqual(self.ann.receipts, [(BOB, 2, 2)])
        self.assertEqual(len(self.cursors.writes), 1)

    def test_own_devices(self) -> None:
        """One's own other devices hear of reading too."""
        tablet = self.connect(BOB, "tablet")
        self.take(self.bob, DIRECT, read=2)
        self.take(self.bob, GROUP_ID, read=5)
        self.pass_time(GROUP_S)
        self.assertEqual(sorted(tablet.receipts), [(BOB, 2, 2), (BOB, 5, 5)])

    def test_group(self) -> None:
        """In a group those who wrote lately hear of it, gathered for a second; the others do not."""
        cy = self.connect(CY)
        self.take(cy, GROUP_ID, read=5)
        self.take(self.bob, GROUP_ID, read=5)
        self.pass_time(GROUP_S)
        self.assertEqual(sorted(self.ann.receipts), [(BOB, 5, 5), (CY, 5, 5)])
        self.assertEqual(cy.receipts, [])
        self.assertEqual(len(self.ann.outbounds), 1)

    def test_large_group(self) -> None:
        """A large group is not told, but kept; own devices still hear."""
        self.people.put("g_big", *range(1, 9))
        self.send("a", conversation_id="g_big")
        self.pass_time(GROUP_S)
        tablet = self.connect(BOB, "tablet")
        self.ann.outbounds.clear()
        self.take(self.bob, "g_big", read=1)
        self.pass_time(GROUP_S)
        self.assertEqual(self.ann.receipts, [])
        self.assertEqual(tablet.receipts, [(BOB, 1, 1)])
        self.assertEqual(self.cursor(BOB, "g_big"), (1, 1))

    def of(self, user_id: int, conversation_id: str) -> list[tuple[int, int, int]]:
        notice = self.wait(self.now.receipts.of(user_id, conversation_id))
        self.assertEqual(notice.conversationId, conversation_id)
        return sorted((one.userId, one.deliveredSeq, one.readSeq) for one in notice.cursors)

    def test_asked_later(self) -> None:
        """Who was away when it was told asks, and gets where everybody stands; in large groups only oneself."""
        self.disconnect(self.ann)
        self.take(self.bob, DIRECT, read=2)
        self.pass_time(GROUP_S)
        self.assertEqual(self.of(ANN, DIRECT), [(ANN, 2, 2), (BOB, 2, 2)])
        self.people.put("g_big", *range(1, 9))
        self.send("a", conversation_id="g_big")
        self.take(self.bob, "g_big", read=1)
        self.pass_time(GROUP_S)
        self.assertEqual(self.of(BOB, "g_big"), [(BOB, 1, 1)])

    def test_asked_by_strangers(self) -> None:
        """How far others have come is nobody else's business."""
        for conversation_id in (GROUP_ID, "g_unknown"):
            self.assertRaises(Forbidden, self.of, DAN, conversation_id)

    def test_refused(self) -> None:
        """Foreign conversations, numbers that do not exist, and negative ones."""
        dan = self.connect(DAN)
        for device, conversation_id, read, error in (
            (dan, GROUP_ID, 1, Forbidden),
            (dan, "g_none", 1, Forbidden),
            (self.bob, GROUP_ID, 6, PayloadInvalid),
            (self.bob, GROUP_ID, -1, PayloadInvalid),
        ):
            with self.assertRaises(error):
                self.take(device, conversation_id, read=read)

    def test_store_is_busy(self) -> None:
        """A write that fails is tried again, and nothing is told before it is kept."""
        self.cursors.busy = 2
        self.take(self.bob, DIRECT, read=2)
        self.pass_time(SOON_S)
        self.assertEqual(self.ann.receipts, [])
        self.pass_time(4)
        self.assertEqual(self.ann.receipts, [(BOB, 2, 2)])
        self.assertEqual(self.cursor(BOB, DIRECT), (2, 2))

    def test_bounded(self) -> None:
        """While the store takes nothing, cursors wait up to a limit; what is known is bounded too."""
        self.patch(receipts, "MAX_UNWRITTEN", 10)
        self.patch(receipts, "MAX_KNOWN", 5)
        for user_id in range(100, 150):
            self.now.receipts.advance(GROUP_ID, user_id, delivered=1, read=1)
        self.pass_time(GROUP_S)
        self.assertEqual(sum(map(len, self.cursors.writes)), 10)
        self.assertEqual(len(self.now.receipts._known), 5)

    def test_more_than_one_write(self) -> None:
        """A moment with very many receipts is written at once, in pieces."""
        for user_id in range(100, 100 + 2 * receipts.MAX_ROWS):
            self.now.receipts.advance(GROUP_ID, user_id, delivered=1, read=1)
        self.pass_time(0.15)
        self.assertEqual([len(rows) for rows in self.cursors.writes], [receipts.MAX_ROWS] * 2)

    def test_writing_is_reading(self) -> None:
        """Who writes has read what came before, and has nothing unread."""
        self.assertEqual(self.cursor(ANN, GROUP_ID), (5, 5))
        self.assertEqual(self.cursor(BOB, GROUP_ID), (4, 4))
        answer = self.wait(self.now.catch_up.conversations(Speaker(BOB, b""), ConversationListReq()))
        self.assertEqual(
            {each.conversationId: each.unread for each in answer.conversations}, {GROUP_ID: 1, DIRECT: 2}
        )
