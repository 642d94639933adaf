"""Who has read how far, in MongoDB: one document a user and conversation.

``{c: conversation_id, u: user_id, d: delivered_seq, r: read_seq}``, unique by ``(c, u)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import bson

from imd.core.message.model import CursorRow
from imd.core.message.mongo_documents import CURSORS
from imd.kernel.errors import OutcomeUnknown
from imd.storage.mongo import DUPLICATE_KEY, MongoDatabase

#: In one command; it keeps a connection until it is done.
MAX_UPDATES = 1000
#: Of two nodes that make the same cursor one is refused, and finds it the next time.
_TRIES = 3


class MongoCursors:
    """How far each user has come (port ``Cursors``). Its index is made by ``MongoMessageLog``."""

    def __init__(self, *, database: MongoDatabase) -> None:
        self._database = database

    async def advance(self, rows: Sequence[CursorRow]) -> None:
        highest: dict[tuple[str, int], tuple[int, int]] = {}
        for conversation_id, user_id, delivered_seq, read_seq in rows:
            delivered, read = highest.get((conversation_id, user_id), (0, 0))
            highest[conversation_id, user_id] = (max(delivered, delivered_seq), max(read, read_seq))
        updates = [
            bson.encode({"q": {"c": c, "u": u}, "u": {"$max": {"d": d, "r": r}}, "upsert": True})
            for (c, u), (d, r) in highest.items()
        ]
        for begin in range(0, len(updates), MAX_UPDATES):
            await self._raise(updates[begin : begin + MAX_UPDATES])

    async def _raise(self, updates: Sequence[bytes]) -> None:
        for _ in range(_TRIES):
            reply = await self._database.write(
                {"update": CURSORS, "ordered": False}, section="updates", items=updates, repeatable=True
            )
            errors = reply.get("writeErrors", ())
            updates = [updates[error["index"]] for error in errors if error.get("code") == DUPLICATE_KEY]
            if len(updates) < len(errors):
                break
            if not updates:
                return
        raise OutcomeUnknown("the message store has not taken all cursors", retry_after_ms=1000)

    async def of_user(self, user_id: int, conversation_ids: Sequence[str]) -> Mapping[str, CursorRow]:
        query = {"c": {"$in": list(conversation_ids)}, "u": user_id}
        return {row.conversation_id: row for row in await self._find(query, len(conversation_ids))}

    async def of_conversation(self, conversation_id: str, limit: int) -> Sequence[CursorRow]:
        return await self._find({"c": conversation_id}, limit)

    async def _find(self, query: Mapping[str, Any], count: int) -> list[CursorRow]:
        if not count:
            return []
        found = await self._database.documents(
            {"find": CURSORS, "filter": query, "limit": count, "batchSize": count, "projection": {"_id": 0}}
        )
        return [CursorRow(document["c"], document["u"], document["d"], document["r"]) for document in found]
