"""Appending to one hot collection: one command, in order, and an exact answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.logger import Logger

from imd.core.message.model import AppendResult, IdTaken, NewMessage, SeqTaken, StoredKey
from imd.core.message.mongo_documents import BY_SEQ, TO_KNOW, Document, encoded, stored_key
from imd.core.message.mongo_recall import Recall, Recalls
from imd.kernel.errors import ImError, OutcomeUnknown, ServerBusy
from imd.storage.mongo import DUPLICATE_KEY, MongoDatabase


class CollectionAppender:
    """Inserts rows of one collection, in order, as one command."""

    _logger = Logger()

    def __init__(self, *, database: MongoDatabase, recalls: Recalls) -> None:
        self._database = database
        self._recalls = recalls

    async def append(self, collection: str, rows: Sequence[NewMessage]) -> AppendResult:
        """As ``MessageLog.append``, for rows that all belong to this collection."""
        for row in rows:
            if row.revokes_seq:
                return await self._append_recalls(collection, rows)
        return await self._insert(collection, rows, [encoded(row) for row in rows])

    async def _append_recalls(self, collection: str, rows: Sequence[NewMessage]) -> AppendResult:
        """Some rows are recalls; their targets may be among the rows."""
        marks: dict[tuple[str, int], list[int]] = {(row.conversation_id, row.seq): [] for row in rows}
        elsewhere: list[Recall] = []
        for row in rows:
            if row.revokes_seq:
                inside = marks.get((row.conversation_id, row.revokes_seq))
                if inside is None:
                    elsewhere.append(Recall.of_row(row))
                else:
                    inside.append(row.server_msg_id)
        if elsewhere:
            await self._recalls.mark(collection, elsewhere)
        documents = [encoded(row, marks[row.conversation_id, row.seq]) for row in rows]
        result = await self._insert(collection, rows, documents)
        count = result.stored
        await self._recalls.settle(
            collection,
            stored=[Recall.of_row(row) for row in rows[:count] if row.revokes_seq],
            refused=[Recall.of_row(row) for row in rows[count:] if row.revokes_seq],
        )
        return result

    async def _insert(
        self, collection: str, rows: Sequence[NewMessage], documents: Sequence[bytes]
    ) -> AppendResult:
        there = 0
        try:
            reply = await self._write(collection, documents)
        except OutcomeUnknown:
            there = await self._stored_prefix(collection, rows)
            if there == len(rows):
                return AppendResult(there)
            try:
                reply = await self._write(collection, documents[there:])
            except ServerBusy as error:
                # The first attempt may still come to be.
                raise OutcomeUnknown(error.message, retry_after_ms=error.retry_after_ms) from None
        errors = reply.get("writeErrors")
        if not errors:
            return AppendResult(len(rows))
        stored = there + int(errors[0]["index"])
        return await self._refused(collection, rows[stored], stored, errors[0])

    async def _write(self, collection: str, documents: Sequence[bytes]) -> Mapping[str, Any]:
        reply = await self._database.write({"insert": collection}, section="documents", items=documents)
        if "writeErrors" not in reply and reply["n"] != len(documents):
            raise OutcomeUnknown("the message store has not said what became of all messages")
        return reply

    async def _stored_prefix(self, collection: str, rows: Sequence[NewMessage]) -> int:
        """How many rows an insert has stored that was not answered; it begins with the first, and is in order.

        :raises OutcomeUnknown: that cannot be told.
        """
        ids = [row.server_msg_id for row in rows]
        command = {"find": collection, "filter": {"_id": {"$in": ids}}, "projection": {"c": 1, "s": 1}}
        try:
            found = await self._database.documents(command)
        except ServerBusy as error:
            raise OutcomeUnknown(error.message, retry_after_ms=error.retry_after_ms) from None
        places = {(document["_id"], document["c"], document["s"]) for document in found}
        count = len(places)
        for row in rows[:count]:
            if (row.server_msg_id, row.conversation_id, row.seq) not in places:
                raise OutcomeUnknown("messages are stored otherwise than they were sent")
        return count

    async def _refused(
        self, collection: str, row: NewMessage, stored: int, error: Mapping[str, Any]
    ) -> AppendResult:
        """``stored`` rows are there, and this one is not, or was before."""
        try:
            return AppendResult(stored, await self._reason(collection, row, error))
        except ImError:
            if not stored:
                raise
            # What is stored must be said now; of the rest the same is found out at the next attempt.
            return AppendResult(stored, SeqTaken())

    async def _reason(
        self, collection: str, row: NewMessage, error: Mapping[str, Any]
    ) -> StoredKey | SeqTaken | IdTaken:
        if error.get("code") != DUPLICATE_KEY:
            self._logger.error("MongoDB refused a message: {error}", error=error.get("errmsg"))
            raise ServerBusy("the message store refuses this message", retry_after_ms=1000)
        try:
            known = await self.known(collection, row.conversation_id, row.sender_id, [row.client_msg_id])
            if known:
                return stored_key(known[0])
            pattern = error.get("keyPattern")
            if pattern == BY_SEQ:
                return SeqTaken()
            if pattern == {"_id": 1} and await self._is_given_away(collection, row):
                return IdTaken()
        except ServerBusy as busy:
            raise OutcomeUnknown(busy.message, retry_after_ms=busy.retry_after_ms) from None
        # It is there, but not yet with a majority: it may still be rolled back, so it is not stored either.
        raise OutcomeUnknown("the message is being stored", retry_after_ms=1000)

    async def _is_given_away(self, collection: str, row: NewMessage) -> bool:
        """Whether a majority holds another message under this row's id."""
        command = {"find": collection, "filter": {"_id": row.server_msg_id}, "projection": TO_KNOW}
        key = (row.conversation_id, row.sender_id, row.client_msg_id)
        for document in await self._database.documents(command):
            if (document.get("c"), document.get("f"), document.get("k")) != key:
                self._logger.critical(
                    "server_msg_id {id} was given to two messages, and the second one gets another: do two nodes "
                    "have the same node_id, or was a clock set back?",
                    id=row.server_msg_id,
                )
                return True
        return False

    async def known(
        self, collection: str, conversation_id: str, sender_id: int, client_msg_ids: Sequence[str]
    ) -> list[Document]:
        """What a majority holds under these idempotency keys, as it has to be shown."""
        found = await self._database.documents(
            {
                "find": collection,
                "filter": {"c": conversation_id, "f": sender_id, "k": {"$in": list(client_msg_ids)}},
                "projection": TO_KNOW,
            }
        )
        await self._recalls.reveal(collection, found)
        return found
