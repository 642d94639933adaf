"""What every message log promises, as scenarios; an implementation brings ``make`` and ``drive``."""

from __future__ import annotations

from collections.abc import Coroutine
from hashlib import sha256
from typing import Any
from zlib import crc32

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.core.message.model import AppendResult, IdTaken, NewMessage, Page, SeqTaken, StoredBody, StoredKey
from imd.core.message.ports import MessageLog
from tests.contract.bus import scenario

ANN, BOB = 101, 102
EVERY_BYTE = bytes(range(256))


def message(
    seq: int, *, conversation: str = "c1", sender: int = ANN, key: str = "", **rest: Any
) -> NewMessage:
    """A row whose other fields follow from these."""
    body = rest.pop("body", f"{conversation}/{seq}".encode())
    key = key or f"{conversation}-{seq}"
    return NewMessage(
        conversation_id=conversation,
        seq=seq,
        sender_id=sender,
        client_msg_id=key,
        # Rises with seq, and no two messages have the same.
        server_msg_id=(1 << 62) + (seq << 32) + crc32(f"{conversation}/{sender}/{key}".encode()),
        server_time_ms=1_800_000_000_000 + seq,
        content_hash=sha256(body).digest(),
        body=body,
        **rest,
    )


def stored_key(row: NewMessage, *, revoked: bool = False) -> StoredKey:
    """What the store should know of a row."""
    return StoredKey(row.seq, row.server_msg_id, row.server_time_ms, row.content_hash, revoked)


def seqs(page: Page) -> list[int]:
    """The numbers on a page, in its order."""
    return [stored.seq for stored in page.messages]


class MessageLogCase(SynchronousTestCase):
    """What the contract needs from the implementation under test."""

    def drive(self, work: Coroutine[Any, Any, None]) -> Any:
        """Run a scenario; the result is the test's."""
        raise NotImplementedError

    async def make(self) -> MessageLog:
        """An empty log that nobody else uses; closed after the test."""
        raise NotImplementedError


class AppendContract(MessageLogCase):
    """Appending: in order, all or a prefix, no number and no key twice."""

    @scenario
    async def test_append(self) -> None:
        """What was appended is there, byte for byte, under its number and under its key."""
        log = await self.make()
        row = message(1, body=EVERY_BYTE * 3)
        self.assertEqual(await log.append([row]), AppendResult(stored=1))
        self.assertEqual(await log.read_one("c1", 1), row.body)
        self.assertEqual(await log.last_seqs(["c1"]), {"c1": 1})
        self.assertEqual(await log.find("c1", ANN, [row.client_msg_id]), {row.client_msg_id: stored_key(row)})

    @scenario
    async def test_nothing(self) -> None:
        """An empty batch is stored."""
        log = await self.make()
        self.assertEqual(await log.append([]), AppendResult(stored=0))

    @scenario
    async def test_mixed_conversations(self) -> None:
        """One batch may hold many conversations, old and new, each with its own numbers."""
        log = await self.make()
        await log.append([message(1, conversation="c0")])
        rows = [message(seq, conversation=f"c{n}") for seq in range(2, 5) for n in range(20)]
        rows = [message(1, conversation=f"c{n}") for n in range(1, 20)] + rows
        self.assertEqual(await log.append(rows), AppendResult(stored=len(rows)))
        ids = [f"c{n}" for n in range(20)]
        self.assertEqual(await log.last_seqs(ids), dict.fromkeys(ids, 4))

    @scenario
    async def test_batches_of_every_size(self) -> None:
        """A batch may hold 1 row, 200, or more than any store takes at once."""
        log = await self.make()
        last = 0
        for count in (1, 2, 200, 4500):
            rows = [message(seq) for seq in range(last + 1, last + count + 1)]
            self.assertEqual(await log.append(rows), AppendResult(stored=count))
            last += count
        self.assertEqual(await log.last_seqs(["c1"]), {"c1": last})

    @scenario
    async def test_number_taken(self) -> None:
        """At a number that is there the append stops; what was before it stays, what is behind was not tried."""
        log = await self.make()
        await log.append([message(1), message(2)])
        rows = [message(1, conversation="c2"), message(2, key="other"), message(2, conversation="c2")]
        self.assertEqual(await log.append(rows), AppendResult(1, SeqTaken()))
        # That another sender has the same key makes it no duplicate.
        same_key = message(2, sender=BOB, key=message(1).client_msg_id)
        self.assertEqual(await log.append([same_key]), AppendResult(0, SeqTaken()))
        same_key = message(2, sender=ANN - 1, key=message(1).client_msg_id)
        self.assertEqual(await log.append([same_key]), AppendResult(0, SeqTaken()))
        self.assertEqual(await log.last_seqs(["c1", "c2"]), {"c1": 2, "c2": 1})
        self.assertEqual(await log.read_one("c1", 2), message(2).body)

    @scenario
    async def test_key_taken(self) -> None:
        """A key that is there stops the append and says what is stored under it."""
        log = await self.make()
        first = message(1, key="k")
        await log.append([first])
        rows = [message(2), message(3, key="k", body=b"other"), message(3)]
        self.assertEqual(await log.append(rows), AppendResult(1, stored_key(first)))
        self.assertEqual(await log.last_seqs(["c1"]), {"c1": 2})

    @scenario
    async def test_key_before_number(self) -> None:
        """The very same row again is a duplicate, not a number that somebody else took."""
        log = await self.make()
        row = message(1)
        await log.append([row])
        self.assertEqual(await log.append([row]), AppendResult(0, stored_key(row)))

    @scenario
    async def test_key_twice_in_a_batch(self) -> None:
        """Of two rows with one key in the same batch the second is refused with the first."""
        log = await self.make()
        first = message(1, key="k")
        result = await log.append([first, message(2, key="k")])
        self.assertEqual(result, AppendResult(1, stored_key(first)))

    @scenario
    async def test_keys_are_apart(self) -> None:
        """The same client id of another sender, or in another conversation, is another message."""
        log = await self.make()
        rows = [
            message(1, key="k"),
            message(2, key="k", sender=BOB),
            message(1, key="k", conversation="c2"),
            message(3, key="K"),
        ]
        self.assertEqual(await log.append(rows), AppendResult(stored=4))
        found = await log.find("c1", BOB, ["k", "absent"])
        self.assertEqual(found, {"k": stored_key(rows[1])})
        self.assertEqual(await log.find("absent", BOB, ["k"]), {})

    @scenario
    async def test_id_twice(self) -> None:
        """A second message with the id of another one is stored beside it, or refused for that, and then another
        id is all it needs."""
        log = await self.make()
        first, second = message(1), message(3)
        clash = second._replace(server_msg_id=first.server_msg_id)
        await log.append([first])
        result = await log.append([message(2), clash, message(4)])
        self.assertIn(result, (AppendResult(3), AppendResult(1, IdTaken())))
        if result.refused is not None:
            self.assertEqual(await log.append([clash]), AppendResult(0, IdTaken()))
            self.assertEqual(await log.append([second, message(4)]), AppendResult(2))
        self.assertEqual(await log.read_one("c1", 1), first.body)
        self.assertEqual(await log.read_one("c1", 3), second.body)

    @scenario
    async def test_recall_with_an_id_twice(self) -> None:
        """A recall that is refused for its id has taken nothing back."""
        log = await self.make()
        await log.append([message(1), message(2)])
        recall = message(3, revokes_seq=1, revoked_body=b"revoked")
        result = await log.append([recall._replace(server_msg_id=message(2).server_msg_id)])
        if result.refused is not None:
            self.assertEqual(await log.read_one("c1", 1), message(1).body)
            self.assertEqual(await log.append([recall]), AppendResult(1))
        self.assertEqual(await log.read_one("c1", 1), b"revoked")

    @scenario
    async def test_recall(self) -> None:
        """A recall takes its own number, and its target loses the content but keeps number and key."""
        log = await self.make()
        target = message(1, body=b"a secret")
        await log.append([target, message(2)])
        recall = message(3, sender=BOB, revokes_seq=1, revoked_body=b"revoked")
        self.assertEqual(await log.append([recall]), AppendResult(stored=1))
        self.assertEqual(await log.read_one("c1", 1), b"revoked")
        self.assertEqual(await log.read_one("c1", 3), recall.body)
        found = await log.find("c1", ANN, [target.client_msg_id])
        self.assertEqual(found[target.client_msg_id], stored_key(target, revoked=True))
        self.assertEqual(
            await log.append([target._replace(seq=4)]), AppendResult(0, stored_key(target, revoked=True))
        )

    @scenario
    async def test_recall_beside_a_refused_row(self) -> None:
        """A recall in the stored prefix takes effect; a refused one, or one behind it, does not."""
        log = await self.make()
        await log.append([message(seq) for seq in (1, 2, 3)])
        rows = [
            message(4, revokes_seq=1, revoked_body=b"revoked"),
            message(3, key="other", revokes_seq=2, revoked_body=b"revoked"),
            message(5, revokes_seq=3, revoked_body=b"revoked"),
        ]
        self.assertEqual(await log.append(rows), AppendResult(1, SeqTaken()))
        self.assertEqual(await log.read_one("c1", 1), b"revoked")
        self.assertEqual(await log.read_one("c1", 2), message(2).body)
        self.assertEqual(await log.read_one("c1", 3), message(3).body)

    @scenario
    async def test_appends_at_once(self) -> None:
        """Of several appends that run at once with the same number, one gets it."""
        log = await self.make()
        running = [Deferred.fromCoroutine(log.append([message(1, key=f"k{n}")])) for n in range(5)]
        results = [await one for one in running]
        self.assertEqual(sorted(result.stored for result in results), [0, 0, 0, 0, 1])


class ReadContract(MessageLogCase):
    """Reading: pages in both directions, bounded, and the tails of many conversations."""

    async def filled(self, count: int, body: bytes = b"x" * 100) -> MessageLog:
        """A log with so many messages in c1, and others around them."""
        log = await self.make()
        rows = [
            message(seq, conversation=c, body=body) for seq in range(1, count + 1) for c in ("c0", "c1", "c2")
        ]
        await log.append(rows)
        return log

    @scenario
    async def test_forward(self) -> None:
        """A page begins at the number asked for and rises; ``more`` tells whether there is any behind it."""
        log = await self.filled(10)
        page = await log.page("c1", from_seq=4, limit=3, max_bytes=10_000, backward=False)
        self.assertEqual((seqs(page), page.more), ([4, 5, 6], True))
        page = await log.page("c1", from_seq=8, limit=3, max_bytes=10_000, backward=False)
        self.assertEqual((seqs(page), page.more), ([8, 9, 10], False))

    @scenario
    async def test_backward(self) -> None:
        """Backward a page ends at the number asked for, and still rises."""
        log = await self.filled(10)
        page = await log.page("c1", from_seq=7, limit=3, max_bytes=10_000, backward=True)
        self.assertEqual((seqs(page), page.more), ([5, 6, 7], True))
        page = await log.page("c1", from_seq=3, limit=3, max_bytes=10_000, backward=True)
        self.assertEqual((seqs(page), page.more), ([1, 2, 3], False))

    @scenario
    async def test_beyond(self) -> None:
        """Behind the end, and in a conversation nobody knows, a page is empty and there is no more."""
        log = await self.filled(3)
        empty = Page(messages=[], more=False)
        self.assertEqual(await log.page("c1", from_seq=4, limit=3, max_bytes=100, backward=False), empty)
        self.assertEqual(await log.page("c1", from_seq=0, limit=3, max_bytes=100, backward=True), empty)
        self.assertEqual(await log.page("absent", from_seq=1, limit=3, max_bytes=100, backward=False), empty)
        self.assertIsNone(await log.read_one("c1", 4))
        self.assertIsNone(await log.read_one("absent", 1))

    @scenario
    async def test_bytes(self) -> None:
        """A page stops before the size is exceeded, in both directions, but is never empty for it."""
        log = await self.filled(10)
        page = await log.page("c1", from_seq=1, limit=10, max_bytes=350, backward=False)
        self.assertEqual((seqs(page), page.more), ([1, 2, 3], True))
        page = await log.page("c1", from_seq=10, limit=10, max_bytes=350, backward=True)
        self.assertEqual((seqs(page), page.more), ([8, 9, 10], True))
        page = await log.page("c1", from_seq=10, limit=10, max_bytes=1, backward=False)
        self.assertEqual((seqs(page), page.more), ([10], False))

    @scenario
    async def test_bodies(self) -> None:
        """The bodies on a page are the stored ones: any bytes, empty ones and 256 KiB among them."""
        log = await self.make()
        bodies = [b"", EVERY_BYTE, b"\0", b"", "中文".encode(), b"\xff" * 256 * 1024, b"\xf0", b"\x9f"]
        await log.append([message(seq, body=body) for seq, body in enumerate(bodies, 1)])
        expected = [StoredBody(seq, body) for seq, body in enumerate(bodies, 1)]
        for from_seq, backward in ((1, False), (len(bodies), True)):
            page = await log.page("c1", from_seq=from_seq, limit=50, max_bytes=1 << 20, backward=backward)
            self.assertEqual(page.messages, expected)
        self.assertEqual(await log.last_bodies(["c1"]), {"c1": b"\x9f"})

    @scenario
    async def test_tails(self) -> None:
        """The last number, id and body of 500 conversations; unknown ones are left out."""
        log = await self.make()
        ids = [f"c{n}" for n in range(400)]
        await log.append([message(seq, conversation=c) for seq in (1, 2) for c in ids])
        wanted = [*ids, *(f"absent-{n}" for n in range(100))]
        self.assertEqual(await log.last_seqs(wanted), dict.fromkeys(ids, 2))
        self.assertEqual(await log.last_bodies(wanted), {c: f"{c}/2".encode() for c in ids})
        newest = {c: message(2, conversation=c).server_msg_id for c in ids}
        self.assertEqual(await log.newest(wanted), newest)
        self.assertEqual(await log.last_seqs([]), {})
        self.assertEqual(await log.newest([]), {})
        self.assertEqual(await log.last_bodies([]), {})


class MessageLogContract(AppendContract, ReadContract):
    """The whole port."""
