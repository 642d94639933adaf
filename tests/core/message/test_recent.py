"""The newest messages of a hinted conversation, in memory."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.core.message.model import Page
from imd.core.message.recent import MAX_BYTES, MAX_MESSAGES, RecentMessages


class RecentMessagesTests(SynchronousTestCase):
    """What may be answered without the store."""

    def setUp(self) -> None:
        self.recent = RecentMessages()

    def fill(self, first: int, last: int, size_bytes: int = 10) -> None:
        for seq in range(first, last + 1):
            self.recent.add(seq, b"%d" % seq * 1 + b"." * size_bytes)

    def page(self, from_seq: int, last_seq: int, limit: int = 50, max_bytes: int = 1 << 20) -> Page | None:
        return self.recent.page(from_seq=from_seq, last_seq=last_seq, limit=limit, max_bytes=max_bytes)

    def seqs(self, page: Page | None) -> list[int] | None:
        return None if page is None else [message.seq for message in page.messages]

    def test_page(self) -> None:
        """A page holds what follows, up to the limit, and tells whether there is more."""
        self.fill(5, 14)
        page = self.page(7, 14, limit=3)
        assert page is not None
        self.assertEqual((self.seqs(page), page.more), ([7, 8, 9], True))
        page = self.page(12, 14)
        assert page is not None
        self.assertEqual((self.seqs(page), page.more), ([12, 13, 14], False))

    def test_bytes(self) -> None:
        """A page ends at so many bytes, but holds at least one message."""
        self.fill(1, 5, size_bytes=1000)
        self.assertEqual(self.seqs(self.page(1, 5, max_bytes=2500)), [1, 2])
        self.assertEqual(self.seqs(self.page(1, 5, max_bytes=10)), [1])

    def test_store_asked(self) -> None:
        """What is older, newer or unknown here is the store's to answer."""
        self.assertIsNone(self.page(1, 1))
        self.fill(5, 9)
        self.assertIsNone(self.page(4, 9))
        self.assertIsNone(self.page(5, 10))
        self.assertIsNone(self.page(10, 9))

    def test_gap(self) -> None:
        """A message that does not follow starts anew: a page never has a hole."""
        self.fill(1, 3)
        self.fill(5, 6)
        self.assertIsNone(self.page(3, 6))
        self.assertEqual(self.seqs(self.page(5, 6)), [5, 6])

    def test_bounded(self) -> None:
        """Neither many nor large messages pile up."""
        self.fill(1, MAX_MESSAGES + 10)
        self.assertIsNone(self.page(10, MAX_MESSAGES + 10))
        self.assertIsNotNone(self.page(11, MAX_MESSAGES + 10))
        self.recent = RecentMessages()
        self.fill(1, 6, size_bytes=MAX_BYTES // 4)
        self.assertIsNone(self.page(3, 6))
        self.assertEqual(self.seqs(self.page(4, 6)), [4, 5, 6])

    def test_recalled(self) -> None:
        """A message that was taken back is not shown from memory either."""
        self.fill(1, 3)
        self.recent.replace(2, b"gone")
        self.recent.replace(9, b"unknown")
        page = self.page(1, 3)
        assert page is not None
        self.assertEqual([message.body for message in page.messages][1], b"gone")
