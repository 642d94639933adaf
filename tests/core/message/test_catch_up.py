"""History, sync, status and the conversation list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imd.core.directory import Speaker
from imd.core.message.catch_up import (
    BODIES_BATCH,
    HISTORY_PAGE,
    HISTORY_PAGE_BYTES,
    LIST_PAGE,
    LIST_PAGE_BYTES,
    MAX_SYNC_CURSORS,
    STATUS_QUERY_IDS,
    SYNC_PAGE,
)
from imd.core.screening.model import Held
from imd.kernel.errors import Forbidden, ImError, PayloadInvalid, ServerBusy
from imd.pb.connection_pb2 import ConversationCursor
from imd.pb.message_pb2 import DELAYED, FAILED, STORED
from imd.pb.sync_pb2 import (
    BACKWARD,
    FORWARD,
    ConversationListReq,
    HistoryReq,
    HistoryResp,
    QueryMessageStatusReq,
    SyncReq,
)
from tests.core.message.harness import ANN, BOB, DAN, GROUP_ID, PipelineCase


class HistoryTests(PipelineCase):
    """Pages of one conversation."""

    def history(self, user_id: int = ANN, **fields: Any) -> HistoryResp:
        request = HistoryReq(**{"conversationId": GROUP_ID, **fields})
        return HistoryResp.FromString(self.wait(self.now.catch_up.history(user_id, request)))

    def seqs(self, **fields: Any) -> tuple[list[int], bool, int]:
        page = self.history(**fields)
        return [message.seq for message in page.messages], page.more, page.lastSeq

    def fill(self, count: int, text: str = "") -> None:
        for number in range(count):
            self.send(f"m{number}", text=text)

    def test_forward(self) -> None:
        """Forward from a seq on, page by page, with the end in sight."""
        self.fill(7)
        self.assertEqual(self.seqs(fromSeq=1, direction=FORWARD, limit=3), ([1, 2, 3], True, 7))
        self.assertEqual(self.seqs(fromSeq=4, direction=FORWARD, limit=3), ([4, 5, 6], True, 7))
        self.assertEqual(self.seqs(fromSeq=7, direction=FORWARD, limit=3), ([7], False, 7))
        self.assertEqual(self.seqs(fromSeq=8, direction=FORWARD, limit=3), ([], False, 7))
        self.assertEqual(self.seqs(fromSeq=0, direction=FORWARD, limit=2), ([1, 2], True, 7))

    def test_backward(self) -> None:
        """Backward from the end or a seq, in rising order within the page."""
        self.fill(7)
        self.assertEqual(self.seqs(direction=BACKWARD, limit=3), ([5, 6, 7], True, 7))
        self.assertEqual(self.seqs(fromSeq=4, direction=BACKWARD, limit=3), ([2, 3, 4], True, 7))
        self.assertEqual(self.seqs(fromSeq=1, direction=BACKWARD, limit=3), ([1], False, 7))
        self.assertEqual(self.seqs(fromSeq=99, direction=BACKWARD, limit=1), ([7], True, 7))

    def test_empty(self) -> None:
        """A conversation in which nobody has written has an empty history, both ways."""
        for direction in (FORWARD, BACKWARD):
            self.assertEqual(self.seqs(direction=direction), ([], False, 0))

    def test_whole(self) -> None:
        """A message comes back as it was delivered."""
        bob = self.connect(BOB)
        self.fill(1)
        self.assertEqual(list(self.history().messages), bob.messages())
        self.assertEqual(self.history().messages[0].status, STORED)

    def test_limits(self) -> None:
        """The limit has bounds, and its absence a default."""
        self.fill(60)
        self.assertEqual(len(self.history(fromSeq=1).messages), 50)
        for wrong in ({"limit": HISTORY_PAGE + 1}, {"limit": -1}, {"fromSeq": -1}):
            self.assertRaises(PayloadInvalid, self.history, **wrong)

    def test_bytes(self) -> None:
        """A page ends by bytes too, but holds one message at least."""
        self.fill(10, "x" * 60_000)
        page = self.history(fromSeq=1, direction=FORWARD, limit=200)
        self.assertEqual(([m.seq for m in page.messages], page.more), ([1, 2, 3, 4], True))
        self.send("large", text="x" * (HISTORY_PAGE_BYTES + 10))
        self.assertEqual(self.seqs(fromSeq=11, direction=FORWARD), ([11], False, 11))

    def test_strangers(self) -> None:
        """A foreign conversation and one that does not exist are refused in the same words."""
        said = []
        for conversation_id in (GROUP_ID, "g_none"):
            with self.assertRaises(Forbidden) as refused:
                self.history(DAN, conversationId=conversation_id)
            said.append(str(refused.exception))
        self.assertEqual(said[0], said[1])
        self.assertRaises(PayloadInvalid, self.history, conversationId="$where")


class SyncTests(PipelineCase):
    """What the server has beyond the client's cursors."""

    def sync(self, held: dict[str, int] | None = None, **fields: Any) -> Any:
        cursors = [ConversationCursor(conversationId=each, lastSeq=seq) for each, seq in (held or {}).items()]
        return self.wait(self.now.catch_up.sync(Speaker(ANN, b""), SyncReq(cursors=cursors, **fields)))

    def test_pages(self) -> None:
        """450 conversations come in three pages, each conversation once."""
        self.log.hold()
        for number in range(450):
            self.people.put(f"g_s{number:03}", ANN, BOB)
            self.send("a", conversation_id=f"g_s{number:03}")
        self.log.release()
        found: list[str] = []
        token, pages = "", 0
        while True:
            answer = self.sync(pageToken=token)
            found += [state.conversationId for state in answer.behind]
            pages += 1
            token = answer.nextPageToken
            if not token:
                break
        self.assertEqual(found, [f"g_s{number:03}" for number in range(450)])
        self.assertEqual(pages, -(-450 // SYNC_PAGE))

    def test_only_behind(self) -> None:
        """Only where the client is behind, with the last and the read seq."""
        self.people.put("g_2", ANN, BOB)
        self.send("a")
        self.send("b")
        self.send("c", conversation_id="g_2", sender=BOB)
        self.pass_time(1)
        (state,) = self.sync({GROUP_ID: 2, "g_none": 0}).behind
        self.assertEqual((state.conversationId, state.lastSeq, state.readSeq), ("g_2", 1, 0))
        (state,) = self.sync({GROUP_ID: 1, "g_2": 1}).behind
        self.assertEqual((state.conversationId, state.lastSeq, state.readSeq), (GROUP_ID, 2, 2))

    def test_only_listed(self) -> None:
        """With onlyListed, what the client did not name is left out; what is foreign always is."""
        self.people.put("g_2", ANN, BOB)
        self.people.put("g_foreign", BOB, DAN)
        self.send("a")
        self.send("b", conversation_id="g_2")
        self.send("c", conversation_id="g_foreign", sender=BOB)
        answer = self.sync({"g_2": 0, "g_foreign": 0}, onlyListed=True)
        self.assertEqual([state.conversationId for state in answer.behind], ["g_2"])

    def test_too_many_cursors(self) -> None:
        """The number of cursors is bounded."""
        self.assertRaises(PayloadInvalid, self.sync, {f"g_{n}": 0 for n in range(MAX_SYNC_CURSORS + 1)})


class StatusTests(PipelineCase):
    """What became of my sends?"""

    def status(self, user_id: int, *ids: str, conversation_id: str = GROUP_ID) -> list[tuple[str, int, int]]:
        request = QueryMessageStatusReq(conversationId=conversation_id, clientMsgIds=ids)
        answer = self.wait(self.now.catch_up.status(Speaker(user_id, b""), request))
        return [(ack.clientMsgId, ack.seq, ack.status) for ack in answer.acks]

    def test_status(self) -> None:
        """Stored ones with their seq, others without status, in the order asked; those of others are not shown."""
        self.send("a")
        self.send("b", sender=BOB)
        self.assertEqual(self.status(ANN, "b", "x", "a"), [("b", 0, 0), ("x", 0, 0), ("a", 1, STORED)])

    def test_held(self) -> None:
        """What waits for a review is DELAYED, what was refused there FAILED; while nobody can tell, without status."""
        self.reviews.known = {"u": Held.UNDECIDED, "r": Held.REFUSED}
        asked = self.status(ANN, "u", "r", "x")
        self.assertEqual(asked, [("u", 0, DELAYED), ("r", 0, FAILED), ("x", 0, 0)])
        self.reviews.error = ServerBusy("business is away")
        self.assertEqual(self.status(ANN, "u"), [("u", 0, 0)])

    def test_refused(self) -> None:
        """Strangers, malformed ids, and too many."""
        refusals: list[type[ImError]] = []
        for user_id, ids in ((DAN, ["a"]), (ANN, ["$"]), (ANN, ["a"] * (STATUS_QUERY_IDS + 1))):
            with self.assertRaises(ImError) as refused:
                self.status(user_id, *ids)
            refusals.append(type(refused.exception))
        self.assertEqual(refusals, [Forbidden, PayloadInvalid, PayloadInvalid])


class ConversationListTests(PipelineCase):
    """The list that a client opens with."""

    def page(self, **fields: Any) -> Any:
        return self.wait(self.now.catch_up.conversations(Speaker(ANN, b""), ConversationListReq(**fields)))

    def test_order_and_unread(self) -> None:
        """Newest first, those without a message last; with last message and unread count."""
        self.people.put("g_2", ANN, BOB)
        self.people.put("g_3", ANN, BOB)
        self.send("a")
        self.send("b", conversation_id="g_2", sender=BOB)
        self.clock.advance(1)
        self.send("c", conversation_id="g_2", sender=BOB)
        self.pass_time(1)
        rows = [(each.conversationId, each.unread, each.lastSeq) for each in self.page().conversations]
        self.assertEqual(rows, [("g_2", 2, 2), (GROUP_ID, 0, 1), ("g_3", 0, 0)])
        self.assertEqual(self.page().conversations[0].lastMessage.textContent, "c")

    def test_pages(self) -> None:
        """Page after page, each conversation once."""
        self.log.hold()
        for number in range(120):
            self.people.put(f"g_l{number}", ANN, BOB)
            self.send("a", conversation_id=f"g_l{number}")
            self.clock.advance(0.001)
        self.log.release()
        found: list[str] = []
        token = ""
        while True:
            answer = self.page(limit=LIST_PAGE, pageToken=token)
            found += [each.conversationId for each in answer.conversations]
            token = answer.nextPageToken
            if not token:
                break
        self.assertEqual(found, [*(f"g_l{number}" for number in reversed(range(120))), GROUP_ID])

    def test_large_messages(self) -> None:
        """A page of large messages is short, and little more than the page is read for it."""
        read: list[int] = []
        real = self.log.last_bodies

        async def last_bodies(conversation_ids: Sequence[str]) -> Mapping[str, bytes]:
            read.append(len(conversation_ids))
            return await real(conversation_ids)

        self.log.last_bodies = last_bodies  # type: ignore[method-assign]
        for number in range(60):
            self.people.put(f"g_l{number}", ANN, BOB)
            self.send("a", conversation_id=f"g_l{number}", text="x" * (LIST_PAGE_BYTES // 3))
            self.clock.advance(0.001)
        answer = self.page(limit=60)
        ids = [each.conversationId for each in answer.conversations]
        self.assertEqual((ids, answer.nextPageToken), (["g_l59", "g_l58"], "2"))
        self.assertEqual(read, [BODIES_BATCH])

    def test_bad_requests(self) -> None:
        """Limits and tokens that are not ours."""
        for wrong in ({"limit": LIST_PAGE + 1}, {"limit": -1}, {"pageToken": "x"}, {"pageToken": "9999999"}):
            self.assertRaises(PayloadInvalid, self.page, **wrong)
