"""Old messages are moved, and nobody who reads can tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet import reactor  # noqa: TID251 -- a real server, on real time
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from imd.core.message.model import NewMessage, Page, StoredBody
from imd.core.message.mongo import MongoMessageLog
from imd.core.message.mongo_archive_claim import CLAIM_MS, RENEW_MS, ArchiveClaim, ClaimLost
from imd.core.message.mongo_archives import Archives
from imd.core.message.mongo_archiving import Archiving
from imd.core.message.mongo_recall import Recall
from imd.kernel.errors import StartupError
from imd.kernel.ids import snowflake_at
from imd.pb.message_pb2 import REVOKED, Message
from tests.contract.bus import scenario
from tests.contract.message_log import message, seqs
from tests.live.mongo import MongoCase

DAY_MS = 86_400_000
#: Only recent enough that nothing expires while a test runs.
NOW_MS = 1_900_000_000_000


def aged(seq: int, days: float, *, conversation: str = "c1", **rest: Any) -> NewMessage:
    """A message of so many days ago."""
    time_ms = NOW_MS - int(days * DAY_MS)
    row = message(seq, conversation=conversation, **rest)
    low_bits = row.server_msg_id & 0x3FFFFF
    return row._replace(server_time_ms=time_ms, server_msg_id=snowflake_at(time_ms) + low_bits)


class InBetween(Archives):
    """Does something after the hot collection was read, and before the archives are."""

    def __init__(self, archiving: Archiving, **rest: Any) -> None:
        super().__init__(**rest)
        self._archiving = archiving

    async def months(self, *, newest_first: bool = True) -> list[str]:
        await self._archiving.move_all()
        return await super().months(newest_first=newest_first)


class ArchiveCase(MongoCase):
    """A conversation that has been going on for months."""

    collections = 2
    now_ms = NOW_MS

    def drive(self, work: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(work)

    async def log(self, count: int = 20, **rest: Any) -> MongoMessageLog:
        """One message every ten days, the newest of 5 days ago, in two conversations."""
        self.database = await self.opened()
        log = await self.log_on(self.database)
        for conversation in ("c1", "c2"):
            rows = [
                aged(seq, 5 + 10 * (count - seq), conversation=conversation, **rest)
                for seq in range(1, count + 1)
            ]
            await log.append(rows)
        return log

    def archiving(
        self, log: MongoMessageLog, *, hot_days: int = 30, archive_days: int = 18_000, later_days: int = 0
    ) -> Archiving:
        return Archiving(
            log=log,
            database=self.database,
            clock=reactor,
            wall_clock=lambda: NOW_MS + later_days * DAY_MS,
            hot_days=hot_days,
            archive_days=archive_days,
        )

    def in_mongo(self, work: Any) -> Deferred[Any]:
        def run() -> Any:
            with self.mongod.client() as client:
                return work(client[self.mongod.database])

        return deferToThread(run)

    async def hot_seqs(self, log: MongoMessageLog) -> list[int]:
        name = log._collection("c1")
        found: list[int] = await self.in_mongo(
            lambda database: sorted(each["s"] for each in database[name].find({"c": "c1"}))
        )
        return found

    async def check_pages(self, log: MongoMessageLog, count: int) -> None:
        """All pages of all sizes, in both directions, are as if nothing had been moved."""
        every = list(range(1, count + 1))
        for limit in (1, 3, count, 100):
            for first in every:
                page = await log.page("c1", from_seq=first, limit=limit, max_bytes=9999, backward=False)
                expected = every[first - 1 : first - 1 + limit]
                self.assertEqual((seqs(page), page.more), (expected, expected[-1] < count))
                page = await log.page("c1", from_seq=first, limit=limit, max_bytes=9999, backward=True)
                expected = every[:first][-limit:]
                self.assertEqual((seqs(page), page.more), (expected, expected[0] > 1))
        newest = await log.page("c1", from_seq=1 << 60, limit=3, max_bytes=9999, backward=True)
        self.assertEqual(newest.messages, [StoredBody(seq, f"c1/{seq}".encode()) for seq in every[-3:]])


class ArchiveLiveTests(ArchiveCase):
    """Messages on both sides of the border."""

    @scenario
    async def test_pages(self) -> None:
        """Pages go across the border; single messages, the last seqs and keys are found on both sides."""
        log = await self.log()
        self.assertEqual(await self.archiving(log).move_all(), 2 * 17)
        self.assertEqual(await self.hot_seqs(log), [18, 19, 20])
        await self.check_pages(log, 20)
        for seq in (1, 17, 18, 20):
            self.assertEqual(await log.read_one("c1", seq), f"c1/{seq}".encode())
        self.assertIsNone(await log.read_one("c1", 21))
        self.assertEqual(await log.last_seqs(["c1", "c2"]), {"c1": 20, "c2": 20})
        await log.append([aged(21, 0)])
        self.assertEqual(await log.last_seqs(["c1"]), {"c1": 21})

    @scenario
    async def test_holes_in_hot(self) -> None:
        """Messages need not be moved in the order of their seqs."""
        log = await self.log()

        def move_odd(database: Any) -> None:
            hot = database[log._collection("c1")]
            odd = list(hot.find({"c": "c1", "s": {"$lt": 20}, "$expr": {"$mod": ["$s", 2]}}))
            database["message_archive_202901"].insert_many(odd)
            hot.delete_many({"_id": {"$in": [each["_id"] for each in odd]}})

        await self.in_mongo(move_odd)
        await self.check_pages(log, 20)

    @scenario
    async def test_moved_between(self) -> None:
        """What is moved after the hot collection was read, and before the archive is, is on the page once."""
        for backward in (False, True):
            log = await self.log()
            await self.archiving(log, hot_days=100).move_all()
            archives = InBetween(self.archiving(log), database=self.database)
            log._pages._archives = archives
            self.assertEqual((await self.hot_seqs(log))[0], 11)
            page = await log.page(
                "c1", from_seq=20 if backward else 1, limit=99, max_bytes=999, backward=backward
            )
            self.assertEqual((seqs(page), page.more), (list(range(1, 21)), False))
            self.assertEqual((await self.hot_seqs(log))[0], 18)

    @scenario
    async def test_bytes(self) -> None:
        """A page that is cut for its size in the archive goes on behind it without a hole."""
        log = await self.log(body=b"x" * 100)
        await self.archiving(log).move_all()
        got: list[int] = []
        more = True
        while more:
            page = await log.page(
                "c1", from_seq=(got or [0])[-1] + 1, limit=100, max_bytes=350, backward=False
            )
            self.assertEqual(len(page.messages), min(3, 20 - len(got)))
            got += seqs(page)
            more = page.more
        self.assertEqual(got, list(range(1, 21)))

    @scenario
    async def test_newest_stays(self) -> None:
        """However old it is, the newest message stays hot, so that the next one gets the next seq."""
        log = await self.log()
        await self.archiving(log, later_days=3650).move_all()
        self.assertEqual(await self.hot_seqs(log), [20])
        self.assertEqual(await log.last_seqs(["c1"]), {"c1": 20})
        self.assertEqual(await log.last_bodies(["c1"]), {"c1": b"c1/20"})
        await self.check_pages(log, 20)

    @scenario
    async def test_two_nodes(self) -> None:
        """Two nodes that archive at the same time lose nothing and double nothing."""
        log = await self.log(60)
        moving = [Deferred.fromCoroutine(self.archiving(log).move_all()) for _ in range(3)]
        await gatherResults(moving, consumeErrors=True)
        await self.check_pages(log, 60)
        total = await self.in_mongo(
            lambda database: sum(
                database[name].count_documents({})
                for name in database.list_collection_names()
                if name.startswith("message_")
            )
        )
        self.assertEqual(total, 120)

    @scenario
    async def test_claim(self) -> None:
        """Of two nodes that want to archive one does it; half an hour later anybody may."""
        await self.log(1)
        first = self.claim()
        self.assertTrue(await first.take())
        self.assertFalse(await self.claim().take())
        self.assertTrue(await self.claim(later_ms=CLAIM_MS + 1).take())
        # Whoever slept meanwhile is told.
        with self.assertRaises(ClaimLost):
            await first.keep()

    @scenario
    async def test_renewed(self) -> None:
        """Whoever is still at it after half an hour keeps the claim."""
        log = await self.log(60)
        claim = self.claim()
        self.assertTrue(await claim.take())
        self.now_ms += RENEW_MS + 1
        await self.archiving(log).move_all(claim)
        self.now_ms += CLAIM_MS - RENEW_MS
        self.assertFalse(await self.claim().take())

    @scenario
    async def test_goes_on(self) -> None:
        """A run begins where the last one has come to; once a day one begins from the beginning, and moves what was
        the newest message of its conversation until then."""
        log = await self.log()
        claim = self.claim()
        self.assertTrue(await claim.take())
        await self.archiving(log, later_days=3650).move_all(claim)
        await claim.keep()
        self.assertEqual(await self.hot_seqs(log), [20])
        await log.append([aged(21, 0)])
        for later_ms, moved in ((CLAIM_MS + 1, 0), (DAY_MS + 2, 1)):
            claim = self.claim(later_ms=later_ms)
            self.assertTrue(await claim.take())
            self.assertEqual(await self.archiving(log, later_days=26).move_all(claim), moved)

    def claim(self, *, later_ms: int = 0) -> ArchiveClaim:
        return ArchiveClaim(database=self.database, wall_clock=lambda: self.now_ms + later_ms)

    @scenario
    async def test_expiry(self) -> None:
        """Archives expire by the settings of today: changed, none, and one again."""
        log = await self.log()
        for archive_days, expected in ((180, 210), (10, 40), (0, None), (20, 50)):
            await self.archiving(log, archive_days=archive_days).move_all()
            found = await self.in_mongo(self.expiries)
            self.assertEqual(found, {expected and expected * 86_400})

    def expiries(self, database: Any) -> set[int | None]:
        return {
            database[name].index_information().get("by_expiry", {}).get("expireAfterSeconds")
            for name in database.list_collection_names()
            if name.startswith("message_archive_")
        }

    @scenario
    async def test_hot_days(self) -> None:
        """Idempotency keys count for 7 days, so messages stay hot at least so long."""
        log = await self.log(1)
        with self.assertRaises(StartupError) as caught:
            await self.archiving(log, hot_days=6).start()
        self.assertIn("at least 7 days, not 6", str(caught.exception))


class RecallOfOldLiveTests(ArchiveCase):
    """Recalls and archiving at the same time."""

    RECALL = aged(21, 0, body=b"recall", revokes_seq=3, revoked_body=b"revoked")

    async def check_revoked(self, log: MongoMessageLog) -> None:
        self.assertEqual(await log.read_one("c1", 3), b"revoked")
        page = await log.page("c1", from_seq=3, limit=1, max_bytes=99, backward=False)
        self.assertEqual(page, Page([StoredBody(3, b"revoked")], more=True))

    async def read(self, log: MongoMessageLog, wanted: Sequence[int]) -> list[dict[str, Any]]:
        """What a node has read that is about to move these."""
        query = {"c": "c1", "s": {"$in": list(wanted)}}
        return await self.database.documents({"find": log._collection("c1"), "filter": query})

    @scenario
    async def test_archived(self) -> None:
        """A message that is in the archive can be recalled, and a dead node's mark is understood there too."""
        log = await self.log()
        await self.archiving(log).move_all()
        await log._recalls.mark(log._collection("c1"), [Recall.of_row(self.RECALL)])
        self.assertEqual(await log.read_one("c1", 3), b"c1/3")
        await log.append([self.RECALL])
        await self.check_revoked(log)

    @scenario
    async def test_recall_archived_too(self) -> None:
        """Both are in the archive, and the target still has its mark: it is not shown."""
        log = await self.log()
        await log._recalls.mark(log._collection("c1"), [Recall.of_row(self.RECALL)])
        log._appender._recalls.settle = nothing  # type: ignore[method-assign]
        await log.append([self.RECALL, aged(22, 0)])
        del log._appender._recalls.settle
        await self.archiving(log, later_days=60).move_all()
        self.assertEqual(await self.hot_seqs(log), [22])
        await self.check_revoked(log)

    @scenario
    async def test_recalled_while_moved(self) -> None:
        """What is recalled between its copy and its deletion is not deleted; the next copy is the new one."""
        log = await self.log()
        archiving = self.archiving(log)
        documents = await self.read(log, [3, 4])
        await archiving._prepare("message_archive_202901")
        await archiving.copy("message_archive_202901", documents)
        await log.append([self.RECALL])
        deleted = await archiving.delete(log._collection("c1"), "message_archive_202901", documents)
        self.assertEqual(deleted, 1)
        self.assertEqual((await self.hot_seqs(log))[:3], [1, 2, 3])
        await self.check_revoked(log)
        again = await self.read(log, [3])
        await archiving.copy("message_archive_202901", again)
        self.assertEqual(await archiving.delete(log._collection("c1"), "message_archive_202901", again), 1)
        await self.check_revoked(log)

    @scenario
    async def test_late_copy(self) -> None:
        """A node that wakes up with an old copy in its hand does not bring the content back."""
        log = await self.log()
        slow = self.archiving(log)
        old = await self.read(log, [3])
        await log.append([self.RECALL])
        await self.archiving(log).move_all()
        (month,) = {month for month in await log._archives.months() if await self.holds(month, 3)}
        await slow.copy(month, old)
        self.assertEqual(await slow.delete(log._collection("c1"), month, old), 0)
        await self.check_revoked(log)

    async def holds(self, month: str, seq: int) -> bool:
        query = {"c": "c1", "s": seq}
        return bool(await self.database.documents({"find": month, "filter": query}))


class QuarantineLiveTests(ArchiveCase):
    """Documents that are broken or gone (S8)."""

    @scenario
    async def test_broken(self) -> None:
        """In the place of what cannot be read stands a revoked message without content; the rest is as it was."""
        log = await self.log()

        def damage(database: Any) -> None:
            hot = database[log._collection("c1")]
            hot.update_one({"c": "c1", "s": 3}, {"$set": {"b": "no bytes", "h": 1}})
            hot.update_one({"c": "c1", "s": 5}, {"$unset": {"b": 1, "t": 1}})
            hot.delete_one({"c": "c1", "s": 7})

        await self.in_mongo(damage)
        await self.check_around(log)
        await self.archiving(log).move_all()
        self.assertEqual(await self.hot_seqs(log), [5, 18, 19, 20])
        await self.check_around(log)

    async def check_around(self, log: MongoMessageLog) -> None:
        for backward in (False, True):
            page = await log.page(
                "c1", from_seq=20 if backward else 1, limit=99, max_bytes=9999, backward=backward
            )
            self.assertEqual(seqs(page), list(range(1, 21)))
            for stored in page.messages:
                if stored.seq in (3, 5, 7):
                    void = Message.FromString(stored.body)
                    self.assertEqual((void.seq, void.status), (stored.seq, REVOKED))
                else:
                    self.assertEqual(stored.body, f"c1/{stored.seq}".encode())


async def nothing(*args: object, **rest: object) -> None:
    """A node that is dead by then."""
