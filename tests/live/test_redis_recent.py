"""The newest messages in Redis, before a log on SQLite, and before the one of a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from imd.core.message.model import Page
from imd.core.message.mongo import MongoMessageLog
from imd.core.message.recent_redis import MAX_BYTES, MAX_MESSAGES, RecentCachedLog
from imd.core.message.sqlite import SqliteMessageLog, message_database
from imd.storage.redis import RedisStore
from tests.contract import message_log
from tests.contract.message_log import message, seqs
from tests.live.engines import engine
from tests.live.mongo import MongoCase
from tests.live.redis_stage import OnRedis, store_on


class CountingLog(SqliteMessageLog):
    """Knows how many pages were read from it."""

    pages = 0

    async def page(self, *arguments: Any, **options: Any) -> Page:
        self.pages += 1
        return await super().page(*arguments, **options)


class TwiceLog(RecentCachedLog):
    """Every page twice, the second time out of Redis if it can be."""

    async def page(self, *arguments: Any, **options: Any) -> Page:
        first = await super().page(*arguments, **options)
        assert await super().page(*arguments, **options) == first
        return first


class RecentCase(OnRedis):
    """A log on SQLite, Redis before it."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    async def log_below(self) -> CountingLog:
        database = message_database(folder=self.folder, threads=None)
        await database.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(database.stop()))
        self.below = CountingLog(database=database)
        return self.below


class RecentCachedLogTests(RecentCase, message_log.MessageLogContract):
    """RecentCachedLog keeps the contract."""

    async def make(self) -> RecentCachedLog:
        return TwiceLog(log=await self.log_below(), redis=await self.redis(), worth_messages=1)


class RecentTests(RecentCase):
    """What is answered without the log, and what is not."""

    async def filled(self, count: int) -> RecentCachedLog:
        log = RecentCachedLog(log=await self.log_below(), redis=await self.redis(), worth_messages=50)
        await log.append([message(seq) for seq in range(1, count + 1)])
        return log

    async def newest(self, log: RecentCachedLog, limit: int = 60) -> Page:
        return await log.page("c1", from_seq=1 << 62, limit=limit, max_bytes=1 << 20, backward=True)

    async def forward(self, log: RecentCachedLog, from_seq: int) -> Page:
        return await log.page("c1", from_seq=from_seq, limit=200, max_bytes=1 << 20, backward=False)

    async def test_served(self) -> None:
        """The second to ask for the newest is answered without a page from the log, in either direction."""
        log = await self.filled(300)
        first = await self.newest(log, 100)
        self.assertEqual(await self.newest(log, 100), first)
        self.assertEqual(seqs(await self.newest(log, 60)), list(range(241, 301)))
        self.assertEqual(seqs(await self.forward(log, 210)), list(range(210, 301)))
        self.assertEqual(self.below.pages, 1)

    async def test_middle(self) -> None:
        """Pages from the middle do not push out the newest."""
        log = await self.filled(300)
        await self.newest(log)
        await self.forward(log, 1)
        await log.page("c1", from_seq=150, limit=60, max_bytes=1 << 20, backward=True)
        self.assertEqual(self.below.pages, 3)
        await self.newest(log)
        self.assertEqual(self.below.pages, 3)

    async def test_further_back(self) -> None:
        """What is asked for beyond what Redis has, or is few, comes from the log."""
        log = await self.filled(300)
        self.assertEqual(len((await self.forward(log, 101)).messages), 200)
        self.assertEqual(seqs(await self.newest(log, 100)), list(range(201, 301)))
        self.assertEqual(self.below.pages, 1)
        self.assertEqual(len((await self.newest(log, MAX_MESSAGES + 1)).messages), 101)
        self.assertEqual(seqs(await self.forward(log, 200))[0], 200)
        self.assertEqual(len((await self.newest(log, 20)).messages), 20)
        self.assertEqual(len((await self.forward(log, 299)).messages), 2)
        self.assertEqual(self.below.pages, 5)

    async def test_whole(self) -> None:
        """A conversation that is in Redis from its first message on is answered from there, whatever is asked."""
        log = await self.filled(70)
        page = await self.newest(log, 100)
        self.assertEqual((seqs(page), page.more), (list(range(1, 71)), False))
        self.assertEqual(await self.newest(log, 100), page)
        self.assertEqual(await self.forward(log, 0), page)
        self.assertEqual(self.below.pages, 1)

    async def test_newer_message(self) -> None:
        """After one message more, by whomever, Redis is not believed."""
        log = await self.filled(100)
        await self.newest(log)
        await self.below.append([message(101)])
        self.assertEqual(seqs(await self.newest(log))[-1], 101)
        self.assertEqual(self.below.pages, 2)

    async def test_recall(self) -> None:
        """What was taken back is not shown, and does not stay in Redis."""
        log = await self.filled(100)
        await self.newest(log)
        self.assertIn(b"c1/99", await self.store.call("GET", "core:recent:c1"))
        await log.append([message(101, revokes_seq=99, revoked_body=b"revoked")])
        self.assertIsNone(await self.store.call("GET", "core:recent:c1"))
        self.assertEqual((await self.newest(log)).messages[-3].body, b"revoked")

    async def test_recall_elsewhere(self) -> None:
        """A recall of which Redis was not told is not covered by what Redis has either."""
        log = await self.filled(100)
        await self.newest(log)
        await self.below.append([message(101, revokes_seq=99, revoked_body=b"revoked")])
        self.assertEqual((await self.newest(log)).messages[-3].body, b"revoked")

    async def test_bounded(self) -> None:
        """What is large is not kept; what is kept runs out."""
        log = await self.filled(100)
        await self.newest(log)
        self.assertGreater(await self.store.call("TTL", "core:recent:c1"), 60)
        await log.append([message(101, body=b"x" * MAX_BYTES)])
        await self.newest(log)
        await self.newest(log)
        self.assertEqual(self.below.pages, 3)

    async def test_redis_lost(self) -> None:
        """Without Redis pages come from the log, and recalls are stored."""
        log = await self.filled(100)
        page = await self.newest(log)
        await self.store.stop()
        self.assertEqual(await self.newest(log), page)
        await log.append([message(101, revokes_seq=99, revoked_body=b"revoked")])
        self.assertEqual((await self.newest(log)).messages[-3].body, b"revoked")


class TwoNodesTests(MongoCase, OnRedis):
    """MongoDB below, as two nodes of a cluster read it."""

    collections = 1

    async def test_recall_on_the_other(self) -> None:
        """What one node has read the other is answered with out of Redis; what it takes back nobody sees again."""
        below = await self.log_on(await self.opened())
        one, other = (
            RecentCachedLog(log=below, redis=redis) for redis in (await self.redis(), await self.second())
        )
        await one.append([message(seq) for seq in range(1, 101)])
        page = await self.newest(one)
        pages = self.pages_of(below)
        self.assertEqual(await self.newest(other), page)
        self.assertEqual(pages, [])
        await other.append([message(101, revokes_seq=99, revoked_body=b"revoked")])
        self.assertIsNone(await self.store.call("GET", "core:recent:c1"))
        for log in (one, other, one):
            after = await self.newest(log)
            self.assertEqual((seqs(after)[-1], after.messages[-3].body), (101, b"revoked"))
        self.assertEqual(len(pages), 1)

    async def second(self) -> RedisStore:
        """Another node's way to the same Redis."""
        store = store_on(await deferToThread(engine, "redis"))
        await store.start()
        self.addCleanup(lambda: self.ended(store))
        return store

    async def newest(self, log: RecentCachedLog) -> Page:
        return await log.page("c1", from_seq=1 << 62, limit=100, max_bytes=1 << 20, backward=True)

    def pages_of(self, log: MongoMessageLog) -> list[str]:
        """Grows with each page that is read from the log."""
        asked: list[str] = []
        read = log.page

        async def page(conversation_id: str, **options: Any) -> Page:
            asked.append(conversation_id)
            return await read(conversation_id, **options)

        self.patch(log, "page", page)
        return asked
