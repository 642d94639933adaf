"""Recalls: two documents that change together, without a transaction.

The recall's own document is the truth, and it holds what its target becomes. Three writes, in this order:

1. the target is *marked* with the recall's id; it keeps its content;
2. the recall is appended like any message;
3. the target gets its new body and loses the mark.

Whoever reads a marked message looks whether that recall is there, shows the new body if so, and makes up for
the third write. So a crash before 2 leaves a mark that means nothing, a crash before 3 a message that nobody
sees any more, and messages without a mark, all but a few, cost nothing to read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import bson
from twisted.logger import Logger

from imd.core.message.model import NewMessage
from imd.core.message.mongo_archives import Archives
from imd.core.message.mongo_documents import Document
from imd.kernel.errors import ImError, OutcomeUnknown, ServerBusy
from imd.storage.mongo import MongoDatabase

_TRUTH = {"c": 1, "x": 1, "y": 1}


class Recall(NamedTuple):
    """What one recall does."""

    recall_id: int
    conversation_id: str
    seq: int
    body: bytes

    @classmethod
    def of_row(cls, row: NewMessage) -> Recall:
        """What a row does that is to be appended."""
        return cls(row.server_msg_id, row.conversation_id, row.revokes_seq, row.revoked_body)

    def update(self, change: Document) -> bytes:
        """A statement that changes the target; ``e`` tells the archiving that its copy is an old one."""
        query = {"c": self.conversation_id, "s": self.seq}
        return bson.encode({"q": query, "u": {**change, "$inc": {"e": 1}}})


class Recalls:
    """Marks targets, changes them, and reads them as they have to be shown."""

    _logger = Logger()

    def __init__(self, *, database: MongoDatabase, archives: Archives) -> None:
        self._database = database
        self._archives = archives

    async def mark(self, collection: str, recalls: Sequence[Recall]) -> None:
        """Before the recalls are stored.

        :raises ServerBusy: they must not be stored; marks that are there already mean nothing.
        """
        try:
            await self._change(
                collection, [each.update({"$addToSet": {"v": each.recall_id}}) for each in recalls]
            )
        except OutcomeUnknown as error:
            raise ServerBusy(error.message, retry_after_ms=error.retry_after_ms) from None

    async def settle(
        self, collection: str, *, stored: Sequence[Recall], refused: Sequence[Recall] = ()
    ) -> None:
        """After it: those that are stored change their targets, the others' marks go. A failure is repaired
        by whoever reads the targets."""
        updates = [
            each.update({"$set": {"b": each.body, "r": True}, "$pull": {"v": each.recall_id}})
            for each in stored
        ]
        updates += [each.update({"$pull": {"v": each.recall_id}}) for each in refused]
        try:
            await self._change(collection, updates)
        except ImError as error:
            self._logger.warn("recalls are left to their readers: {error}", error=error)

    async def _change(self, collection: str, updates: Sequence[bytes]) -> None:
        reply = await self._database.write(
            {"update": collection, "ordered": False}, section="updates", items=updates, repeatable=True
        )
        if reply["n"] < len(updates):
            await self._archives.update(updates)

    async def reveal(self, collection: str, documents: Sequence[Document]) -> None:
        """Let these documents be as they have to be shown; call it with whatever was read, before it is used.

        :raises ServerBusy: that is not known.
        """
        marked = [document for document in documents if document.get("v")]
        recalls = await self._stored(collection, marked) if marked else []
        # The target may have been read before its recall was stored, and the recall after it.
        beside = [
            Recall(document["_id"], document["c"], document["x"], document["y"])
            for document in documents
            if "x" in document and isinstance(document.get("y"), bytes)
        ]
        if not recalls and not beside:
            return
        bodies = {(recall.conversation_id, recall.seq): recall.body for recall in (*recalls, *beside)}
        for document in documents:
            body = bodies.get((document["c"], document["s"]))
            if body is not None:
                document["b"] = body
                document["r"] = True
        if recalls:
            await self.settle(collection, stored=recalls)

    async def _stored(self, collection: str, marked: Sequence[Document]) -> list[Recall]:
        """The recalls that these messages are marked with, as far as they are stored."""
        ids = [recall_id for document in marked for recall_id in document["v"]]
        query = {"_id": {"$in": ids}}
        found = await self._database.documents({"find": collection, "filter": query, "projection": _TRUTH})
        if len(found) < len(ids):
            found += await self._archives.find(query, _TRUTH, count=len(ids) - len(found))
        targets = {(document["c"], document["s"]) for document in marked}
        return [
            Recall(document["_id"], document["c"], document["x"], document["y"])
            for document in found
            if (document.get("c"), document.get("x")) in targets and isinstance(document.get("y"), bytes)
        ]
