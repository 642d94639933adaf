"""Reading what has been moved out of the hot collections: one collection a month."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imd.core.message.mongo_documents import ARCHIVE_PREFIX, Document
from imd.storage.mongo import MongoDatabase


class Archives:
    """All months that there are.

    They are listed anew for each question, and only after the hot collection was read: a message is deleted
    there only when a majority has it here, so whoever missed it there finds it here. The other way round it
    could be missed on both sides.
    """

    def __init__(self, *, database: MongoDatabase) -> None:
        self._database = database

    async def months(self, *, newest_first: bool = True) -> list[str]:
        """The names of the collections."""
        return sorted(await self._database.collections(ARCHIVE_PREFIX), reverse=newest_first)

    async def find(
        self, query: Mapping[str, Any], projection: Mapping[str, int], *, count: int
    ) -> list[Document]:
        """At most ``count`` messages of any month."""
        found: list[Document] = []
        for month in await self.months():
            command = {"find": month, "filter": query, "projection": projection, "limit": count - len(found)}
            found += await self._database.documents(command)
            if len(found) >= count:
                break
        return found

    async def update(self, updates: Sequence[bytes]) -> None:
        """Apply these in every month; a statement finds its message in one of them, or in none."""
        for month in await self.months():
            await self._database.write({"update": month}, section="updates", items=updates, repeatable=True)
