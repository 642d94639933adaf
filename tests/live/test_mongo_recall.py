"""A recall is two documents: what a node leaves behind that dies between the writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from imd.core.message.model import AppendResult, NewMessage
from imd.core.message.mongo import MongoMessageLog
from imd.core.message.mongo_recall import Recall, Recalls
from tests.contract.bus import scenario
from tests.contract.message_log import ANN, message, stored_key
from tests.live.mongo import MongoCase

SECRET = message(2, body=b"a secret")
RECALL = message(4, body=b"a recall", revokes_seq=2, revoked_body=b"revoked")


class Died(BaseException):
    """The node is gone."""


class Dying(Recalls):
    """The node dies before a step."""

    before = ""

    async def mark(self, collection: str, recalls: Sequence[Recall]) -> None:
        if self.before == "mark":
            raise Died
        await super().mark(collection, recalls)
        if self.before == "insert":
            raise Died

    async def settle(
        self, collection: str, *, stored: Sequence[Recall], refused: Sequence[Recall] = ()
    ) -> None:
        if self.before == "settle":
            raise Died
        await super().settle(collection, stored=stored, refused=refused)


class RecallLiveTests(MongoCase):
    """Whoever reads afterwards sees the message or sees that it is gone, by whether the recall is there."""

    collections = 2

    def drive(self, work: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(work)

    async def log(self) -> MongoMessageLog:
        """With a message that is going to be recalled."""
        log = await self.log_on(await self.opened())
        await log.append([message(1), SECRET, message(3)])
        return log

    async def die(self, log: MongoMessageLog, before: str, rows: Sequence[NewMessage] = (RECALL,)) -> None:
        """Append, and die on the way."""
        appender = log._appender
        whole = appender._recalls
        appender._recalls = dying = Dying(database=log._database, archives=log._archives)
        dying.before = before
        with self.assertRaises(Died):
            await log.append(rows)
        appender._recalls = whole

    async def bodies(self, log: MongoMessageLog, *, backward: bool = False) -> list[bytes]:
        page = await log.page("c1", from_seq=9 if backward else 1, limit=9, max_bytes=9999, backward=backward)
        return [stored.body for stored in page.messages]

    async def document(self, log: MongoMessageLog) -> dict[str, Any]:
        """The target, as it lies there."""

        def find() -> Any:
            with self.mongod.client() as client:
                collection = client[self.mongod.database][log._collection("c1")]
                return collection.find_one({"c": "c1", "s": 2})

        found: dict[str, Any] = await deferToThread(find)
        return found

    @scenario
    async def test_before_the_recall(self) -> None:
        """Dead before the recall is stored: nothing has happened, and it can be made again."""
        log = await self.log()
        for before in ("mark", "insert"):
            await self.die(log, before)
            self.assertEqual(await log.read_one("c1", 2), SECRET.body)
            self.assertEqual(await self.bodies(log), [b"c1/1", SECRET.body, b"c1/3"])
            key = SECRET.client_msg_id
            self.assertEqual(await log.find("c1", ANN, [key]), {key: stored_key(SECRET)})
        self.assertEqual((await self.document(log))["v"], [RECALL.server_msg_id])
        self.assertEqual(await log.append([RECALL]), AppendResult(stored=1))
        self.assertEqual(await log.read_one("c1", 2), b"revoked")
        self.assertEqual((await self.document(log))["v"], [])

    @scenario
    async def test_after_the_recall(self) -> None:
        """Dead after it: the content is still there, nobody sees it, and the first who looks removes it."""
        log = await self.log()
        key = SECRET.client_msg_id
        reads = [
            lambda: self.bodies(log),
            lambda: self.bodies(log, backward=True),
            lambda: log.read_one("c1", 2),
            lambda: log.find("c1", ANN, [key]),
            lambda: log.append([SECRET._replace(seq=9)]),
        ]
        revoked = [b"c1/1", b"revoked", b"c1/3", b"a recall"]
        again = AppendResult(0, stored_key(SECRET, revoked=True))
        expected = [revoked, revoked, b"revoked", {key: stored_key(SECRET, revoked=True)}, again]
        for read, answer in zip(reads, expected, strict=True):
            await deferToThread(self.clear, log)
            await log.append([message(1), SECRET, message(3)])
            await self.die(log, "settle")
            self.assertEqual((await self.document(log))["b"], SECRET.body)
            self.assertEqual(await read(), answer)
            document = await self.document(log)
            self.assertEqual((document["b"], document["r"], document["v"]), (b"revoked", True, []))

    def clear(self, log: MongoMessageLog) -> None:
        with self.mongod.client() as client:
            client[self.mongod.database][log._collection("c1")].delete_many({})

    @scenario
    async def test_newest(self) -> None:
        """The newest message of a conversation is shown as recalled by a recall that is newer still, or not yet."""
        log = await self.log()
        recall = message(4, revokes_seq=3, revoked_body=b"revoked")
        await self.die(log, "insert", [recall])
        self.assertEqual(await log.last_bodies(["c1"]), {"c1": b"c1/3"})
        await self.die(log, "settle", [recall])
        self.assertEqual(await self.bodies(log), [b"c1/1", SECRET.body, b"revoked", b"c1/4"])

    @scenario
    async def test_same_batch(self) -> None:
        """A message that is recalled in the batch that stores it is never seen, wherever the node dies."""
        log = await self.log()
        rows = [message(4), message(5, revokes_seq=4, revoked_body=b"revoked")]
        await self.die(log, "settle", rows)
        self.assertEqual((await self.bodies(log))[3:], [b"revoked", b"c1/5"])
        rows = [
            message(6),
            message(7, revokes_seq=6, revoked_body=b"revoked"),
            message(3, key="taken", revokes_seq=6, revoked_body=b"other"),
        ]
        self.assertEqual((await log.append(rows)).stored, 2)
        self.assertEqual(await log.read_one("c1", 6), b"revoked")

    @scenario
    async def test_read_before_marked(self) -> None:
        """A page that holds a recall never shows its target's content, though that was read before the mark."""
        log = await self.log()
        await log.append([RECALL])
        collection = log._collection("c1")
        read = await log._database.documents({"find": collection, "filter": {"c": "c1"}, "sort": {"s": 1}})
        read[1].update(b=SECRET.body, r=False, v=[])
        await log._recalls.reveal(collection, read)
        self.assertEqual((read[1]["b"], read[1]["r"]), (b"revoked", True))

    @scenario
    async def test_two_recalls(self) -> None:
        """Of two recalls of one message, one that is refused does not undo the other's mark."""
        log = await self.log()
        await self.die(log, "settle")
        late = message(4, key="late", revokes_seq=2, revoked_body=b"other")
        result = await log.append([late])
        self.assertEqual(result.stored, 0)
        self.assertEqual(await log.read_one("c1", 2), b"revoked")
