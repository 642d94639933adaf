"""The message log in MongoDB.

Conversations are spread over few collections: a command costs this process some hundred microseconds, a
message in it only a few, so that one collection with large batches is cheaper than many with small ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from imd.core.message.model import AppendResult, NewMessage, Page, Place, SeqTaken, StoredKey
from imd.core.message.mongo_append import CollectionAppender
from imd.core.message.mongo_archives import Archives
from imd.core.message.mongo_documents import TO_SHOW, body_of, collection_of, partition_among, stored_key
from imd.core.message.mongo_indexes import IndexGuard
from imd.core.message.mongo_pages import MongoPages
from imd.core.message.mongo_recall import Recalls
from imd.kernel.clocks import Clock
from imd.kernel.errors import ServerBusy
from imd.storage.mongo import MongoDatabase

#: In one insert: its answer is waited for, and an index entry of each is made, before anything else.
MAX_INSERT_ROWS = 1000
MAX_INSERT_BYTES = 8 * 1024 * 1024
#: Messages looked at for the tails of those that were stored last; at 5,000 a second, 40 s of one collection.
MAX_RECENT = 25_000


class MongoMessageLog:
    """The durable log (port ``MessageLog``); a stage, which goes after its database.

    :param collections: over how many conversations are spread. It must be the same for all nodes, and stay
        the same: a conversation would be looked for elsewhere.
    """

    def __init__(self, *, database: MongoDatabase, clock: Clock, collections: int = 4) -> None:
        self._database = database
        self.partitions = collections
        self._guard = IndexGuard(database=database, collections=collections, clock=clock)
        self._archives = Archives(database=database)
        self._recalls = Recalls(database=database, archives=self._archives)
        self._appender = CollectionAppender(database=database, recalls=self._recalls)
        self._pages = MongoPages(database=database, archives=self._archives, recalls=self._recalls)

    async def start(self) -> None:
        await self._guard.start()

    async def stop(self) -> None:
        await self._guard.stop()

    @property
    def ready(self) -> bool:
        """Whether messages can be stored, as far as is known."""
        return self._database.ready and self._guard.ready

    def partition_of(self, conversation_id: str) -> int:
        """Which of the ``partitions`` a conversation belongs to; an append writes one partition at a time."""
        return partition_among(conversation_id, self.partitions)

    def _collection(self, conversation_id: str) -> str:
        return collection_of(partition_among(conversation_id, self.partitions))

    async def append(self, rows: Sequence[NewMessage]) -> AppendResult:
        self._guard.check()
        stored = 0
        for collection, run in self._runs(rows):
            try:
                result = await self._appender.append(collection, run)
            except ServerBusy:
                if not stored:
                    raise
                return AppendResult(stored, SeqTaken())
            stored += result.stored
            if result.refused is not None:
                return AppendResult(stored, result.refused)
        return AppendResult(stored)

    def _runs(self, rows: Sequence[NewMessage]) -> Iterator[tuple[str, Sequence[NewMessage]]]:
        """The rows in their order, cut where the collection changes and where an insert becomes too large."""
        begin = size_bytes = 0
        collection = ""
        for index, row in enumerate(rows):
            mine = self._collection(row.conversation_id)
            size_bytes += len(row.body)
            full = index - begin == MAX_INSERT_ROWS or size_bytes > MAX_INSERT_BYTES
            if index > begin and (full or mine != collection):
                yield collection, rows[begin:index]
                begin, size_bytes = index, len(row.body)
            collection = mine
        if begin < len(rows):
            yield collection, rows[begin:]

    async def find(
        self, conversation_id: str, sender_id: int, client_msg_ids: Sequence[str]
    ) -> Mapping[str, StoredKey]:
        collection = self._collection(conversation_id)
        found = await self._appender.known(collection, conversation_id, sender_id, client_msg_ids)
        return {document["k"]: stored_key(document) for document in found}

    async def page(
        self, conversation_id: str, *, from_seq: int, limit: int, max_bytes: int, backward: bool
    ) -> Page:
        return await self._pages.page(
            self._collection(conversation_id),
            conversation_id,
            from_seq=from_seq,
            limit=limit,
            max_bytes=max_bytes,
            backward=backward,
        )

    async def read_one(self, conversation_id: str, seq: int) -> bytes | None:
        collection = self._collection(conversation_id)
        query = {"c": conversation_id, "s": seq}
        found = await self._database.documents(
            {"find": collection, "filter": query, "projection": TO_SHOW, "limit": 1}
        )
        if not found:
            found = await self._archives.find(query, TO_SHOW, count=1)
        await self._recalls.reveal(collection, found)
        return body_of(conversation_id, seq, found[0]) if found else None

    async def last_seqs(self, conversation_ids: Sequence[str]) -> Mapping[str, int]:
        return {
            document["_id"]: document["newest"]
            for _, found in await self._newest(conversation_ids, "$s")
            for document in found
        }

    async def newest(self, conversation_ids: Sequence[str]) -> Mapping[str, int]:
        return {
            document["_id"]: document["newest"]
            for _, found in await self._newest(conversation_ids, "$_id")
            for document in found
        }

    async def last_bodies(self, conversation_ids: Sequence[str]) -> Mapping[str, bytes]:
        bodies: dict[str, bytes] = {}
        for collection, found in await self._newest(conversation_ids, "$$ROOT"):
            documents = [document["newest"] for document in found]
            await self._recalls.reveal(collection, documents)
            for document in documents:
                conversation_id = document["c"]
                bodies[conversation_id] = body_of(conversation_id, document["s"], document)
        return bodies

    async def _newest(
        self, conversation_ids: Sequence[str], what: str
    ) -> list[tuple[str, list[dict[str, Any]]]]:
        """By collection, ``what`` of the newest message of each conversation.

        Written so that the server goes from one conversation to the next in the index, without a look at
        the messages between.
        """
        wanted: dict[str, list[str]] = {}
        for conversation_id in conversation_ids:
            wanted.setdefault(self._collection(conversation_id), []).append(conversation_id)
        answers: list[tuple[str, list[dict[str, Any]]]] = []
        for collection, ids in wanted.items():
            pipeline: list[Mapping[str, Any]] = [
                {"$match": {"c": {"$in": ids}}},
                {"$sort": {"c": -1, "s": -1}},
                {"$group": {"_id": "$c", "newest": {"$first": what}}},
            ]
            answers.append((collection, await self._aggregate(collection, pipeline, len(ids))))
        return answers

    async def recent_tails(self, since_server_msg_id: int) -> Mapping[str, int]:
        """The last seq of each conversation that has messages newer than this id.

        A node that takes over a dead one's shards tells them to those who have not heard. Of the newest
        ``MAX_RECENT`` messages of each collection: who was told of none of more hears it from the sweep.
        (A single node has nothing to take over, so the log in SQLite does without.)
        """
        tails: dict[str, int] = {}
        for partition in range(self.partitions):
            pipeline: list[Mapping[str, Any]] = [
                {"$match": {"_id": {"$gt": since_server_msg_id}}},
                {"$sort": {"_id": -1}},
                {"$limit": MAX_RECENT},
                {"$group": {"_id": "$c", "newest": {"$max": "$s"}}},
            ]
            found = await self._aggregate(collection_of(partition), pipeline, MAX_RECENT)
            tails.update((document["_id"], document["newest"]) for document in found)
        return tails

    async def locate(self, server_msg_id: int) -> Place | None:
        """See ``explain.ports.Places``; here every message is found."""
        query, where = {"_id": server_msg_id}, {"c": 1, "s": 1}
        for partition in range(self.partitions):
            command = {"find": collection_of(partition), "filter": query, "projection": where, "limit": 1}
            if found := await self._database.documents(command):
                break
        else:
            found = await self._archives.find(query, where, count=1)
        return Place(found[0]["c"], int(found[0]["s"])) if found else None

    async def _aggregate(
        self, collection: str, pipeline: Sequence[Mapping[str, Any]], count: int
    ) -> list[dict[str, Any]]:
        command = {"aggregate": collection, "pipeline": pipeline, "cursor": {"batchSize": count}}
        return await self._database.documents(command)
