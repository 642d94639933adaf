"""What the log makes of MongoDB's answers to an insert, above all of those that a real one gives rarely."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from bson.datetime_ms import DatetimeMS
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.core.message.model import AppendResult, IdTaken, NewMessage, SeqTaken
from imd.core.message.mongo import MAX_INSERT_ROWS, MongoMessageLog
from imd.core.message.mongo_documents import BY_KEY, BY_SEQ
from imd.core.message.mongo_indexes import CURSOR_INDEXES, MESSAGE_INDEXES
from imd.kernel.errors import OutcomeUnknown, ServerBusy
from tests.contract.bus import scenario
from tests.contract.driving import drive
from tests.contract.message_log import message, stored_key
from tests.storage.fake_mongod import Document, FakeMongod, client_of

ROWS = [message(seq) for seq in (1, 2, 3)]
INDEXES = [index.specification() for index in (*MESSAGE_INDEXES, *CURSOR_INDEXES)]


def found(*documents: Document) -> Document:
    """The answer to a find."""
    return {"ok": 1.0, "cursor": {"id": 0, "ns": "imd.message_0", "firstBatch": list(documents)}}


def refused(index: int, pattern: Any, *, code: int = 11000) -> Document:
    """The answer to an insert whose row ``index`` was refused."""
    error = {"index": index, "code": code, "keyPattern": dict(pattern), "errmsg": "refused"}
    return {"ok": 1.0, "n": index, "writeErrors": [error]}


def document(row: NewMessage) -> Document:
    """A row, as it is found under its key."""
    return {
        "_id": row.server_msg_id,
        "c": row.conversation_id,
        "s": row.seq,
        "f": row.sender_id,
        "k": row.client_msg_id,
        "t": DatetimeMS(row.server_time_ms),
        "h": row.content_hash,
    }


class AppendCase(SynchronousTestCase):
    """A log with one collection, on a server that says what it is told to say."""

    collections = 1

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = FakeMongod(self.clock)

    def drive(self, work: Coroutine[Any, Any, None]) -> None:
        drive(self.clock, work)

    async def log(self) -> MongoMessageLog:
        self.server.answer = self.starting
        database = client_of(self.clock, {"a:1": self.server})
        await database.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(database.stop()))
        log = MongoMessageLog(database=database, clock=self.clock, collections=self.collections)
        await log.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(log.stop()))
        self.server.commands.clear()
        return log

    def starting(self, command: Document) -> Document:
        """To whatever is asked at start, and everything works."""
        listed = {"id": 0, "ns": "x", "firstBatch": INDEXES if "listIndexes" in command else []}
        return {"ok": 1.0, "n": len(command.get("documents", [1])), "cursor": listed}


class RefusedTests(AppendCase):
    """A row that was refused, and the rows before it, which are stored."""

    @scenario
    async def test_seq(self) -> None:
        """A seq that is taken is told by the index that refused it, if the key is not there."""
        log = await self.log()
        self.server.answers = [refused(1, BY_SEQ), found()]
        self.assertEqual(await log.append(ROWS), AppendResult(1, SeqTaken()))

    @scenario
    async def test_key(self) -> None:
        """A key that is there is answered with what a majority holds under it, whichever index refused."""
        log = await self.log()
        known = message(7, key=ROWS[1].client_msg_id)
        for pattern in (BY_KEY, BY_SEQ, {"_id": 1}):
            self.server.answers = [refused(1, pattern), found(document(known))]
            self.assertEqual(await log.append(ROWS), AppendResult(1, stored_key(known)))
            asked = self.server.commands[-1]
            self.assertEqual(asked["readConcern"], {"level": "majority"})
            self.assertEqual(asked["filter"], {"c": "c1", "f": 101, "k": {"$in": ["c1-2"]}})

    @scenario
    async def test_not_with_a_majority_yet(self) -> None:
        """A key that is there, but may still be rolled back, is neither stored nor refused: try again."""
        log = await self.log()
        for pattern in (BY_KEY, {"_id": 1}):
            self.server.answers = [refused(0, pattern), found(), found()]
            with self.assertRaises(OutcomeUnknown):
                await log.append(ROWS)
            self.server.answers = [refused(2, pattern), found(), found()]
            self.assertEqual(await log.append(ROWS), AppendResult(2, SeqTaken()))

    @scenario
    async def test_cannot_ask(self) -> None:
        """Why a row was refused may not be known; that the rows before it are stored is."""
        log = await self.log()
        broken = b"\0" * 16
        self.server.answers = [refused(2, BY_KEY), broken, broken]
        self.assertEqual(await log.append(ROWS), AppendResult(2, SeqTaken()))
        self.server.answers = [refused(0, BY_KEY), broken, broken]
        with self.assertRaises(OutcomeUnknown):
            await log.append(ROWS)

    @scenario
    async def test_other_reasons(self) -> None:
        """What the server will not take for another reason is not stored, and what was before it is."""
        log = await self.log()
        self.server.answers = [refused(1, {}, code=10334)]
        self.assertEqual(await log.append(ROWS), AppendResult(1, SeqTaken()))
        self.server.answers = [refused(0, {}, code=10334)]
        with self.assertRaises(ServerBusy):
            await log.append(ROWS)

    @scenario
    async def test_same_id(self) -> None:
        """Two nodes with one node_id make the same ids: said loudly, and the second message is refused for it."""
        log = await self.log()
        self.server.answers = [refused(1, {"_id": 1}), found(), found(document(message(9)))]
        self.assertEqual(await log.append(ROWS), AppendResult(1, IdTaken()))
        self.assertEqual(self.server.commands[-1]["filter"], {"_id": ROWS[1].server_msg_id})
        self.assertEqual(self.server.commands[-1]["readConcern"], {"level": "majority"})

    @scenario
    async def test_its_own_id(self) -> None:
        """A message that a majority came to hold between two looks is stored, not another one's."""
        log = await self.log()
        self.server.answers = [refused(0, {"_id": 1}), found(), found(document(ROWS[0]))]
        with self.assertRaises(OutcomeUnknown):
            await log.append(ROWS)


class DoubtTests(AppendCase):
    """An insert that was not answered."""

    @scenario
    async def test_nothing_stored(self) -> None:
        """If nothing of it is there it is made again, with the same ids."""
        log = await self.log()
        self.server.answers = [None, found()]
        self.assertEqual(await log.append(ROWS), AppendResult(3))
        first, _, second = self.server.commands
        self.assertEqual(first["documents"], second["documents"])

    @scenario
    async def test_some_stored(self) -> None:
        """What is missing at its end is inserted; what is there is not."""
        log = await self.log()
        self.server.answers = [None, found(document(ROWS[0]), document(ROWS[1]))]
        self.assertEqual(await log.append(ROWS), AppendResult(3))
        self.assertEqual([each["s"] for each in self.server.commands[-1]["documents"]], [3])
        self.server.answers = [None, found(document(ROWS[0])), refused(1, BY_SEQ), found()]
        self.assertEqual(await log.append(ROWS), AppendResult(2, SeqTaken()))

    @scenario
    async def test_all_stored(self) -> None:
        """What a majority holds is stored, whatever became of the answer."""
        log = await self.log()
        self.server.answers = [None, found(*[document(row) for row in ROWS])]
        self.assertEqual(await log.append(ROWS), AppendResult(3))

    @scenario
    async def test_stays_in_doubt(self) -> None:
        """If it cannot be read, or the second attempt fails too, or what is there is no prefix, nobody knows."""
        log = await self.log()
        moved = {**document(ROWS[0]), "s": 5}
        concern = {"ok": 1.0, "n": 3, "writeConcernError": {"code": 64, "errmsg": "timed out"}}
        for answers in (
            [None, b"\0" * 16, b"\0" * 16],
            [concern, found(), concern],
            [None, found(), {"ok": 0.0, "code": 13, "errmsg": "not authorized"}],
            [None, found(document(ROWS[1]))],
            [None, found(moved)],
            [{"ok": 1.0, "n": 2}, found(), {"ok": 1.0, "n": 2}],
        ):
            self.server.answers = list(answers)
            with self.assertRaises(OutcomeUnknown):
                await log.append(ROWS)
            self.assertEqual(self.server.answers, [])


class RunsTests(AppendCase):
    """Batches that are more than one insert."""

    collections = 3

    @scenario
    async def test_later_insert_fails(self) -> None:
        """What the first insert stored is said, when the second one did nothing."""
        log = await self.log()
        names = {log.partition_of(f"c{n}"): f"c{n}" for n in range(50)}
        rows = [message(1, conversation=names[n]) for n in (0, 1)]
        self.server.answers = [{"ok": 1.0, "n": 1}, {"ok": 0.0, "code": 13, "errmsg": "not authorized"}]
        self.assertEqual(await log.append(rows), AppendResult(1, SeqTaken()))
        self.server.answers = [{"ok": 1.0, "n": 1}, None, b"\0" * 16, b"\0" * 16]
        with self.assertRaises(OutcomeUnknown):
            await log.append(rows)

    @scenario
    async def test_sizes(self) -> None:
        """An insert is bounded in rows and in bytes, and holds one collection."""
        log = await self.log()
        rows = [message(seq) for seq in range(1, MAX_INSERT_ROWS + 3)]
        await log.append(rows)
        self.assertEqual([len(each["documents"]) for each in self.server.commands], [MAX_INSERT_ROWS, 2])
        self.server.commands.clear()
        await log.append([message(seq, body=b"x" * 3_000_000) for seq in range(1, 6)])
        self.assertEqual([len(each["documents"]) for each in self.server.commands], [2, 2, 1])

    @scenario
    async def test_spread(self) -> None:
        """Conversations are spread evenly, also those of one owner, and each always goes to the same place."""
        log = await self.log()
        places = [log.partition_of(f"p_{n}") for n in range(3000)]
        self.assertEqual(places, [log.partition_of(f"p_{n}") for n in range(3000)])
        for partition in range(3):
            self.assertGreater(places.count(partition), 900)
