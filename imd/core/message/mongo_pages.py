"""Pages of history, across the border between hot and archived messages."""

from __future__ import annotations

from collections.abc import Sequence

from imd.core.message.model import Page, StoredBody
from imd.core.message.mongo_archives import Archives
from imd.core.message.mongo_documents import TO_SHOW, Document, body_of
from imd.core.message.mongo_recall import Recalls
from imd.storage.mongo import MongoDatabase

#: Messages fetched before it is known how large they are here; 16 MiB if all are as large as can be.
FIRST_CHUNK = 64
_NO_END = (1 << 63) - 1


class MongoPages:
    """Reads the hot collection first, and the archives only for what is missing in it."""

    def __init__(self, *, database: MongoDatabase, archives: Archives, recalls: Recalls) -> None:
        self._database = database
        self._archives = archives
        self._recalls = recalls

    async def page(
        self,
        collection: str,
        conversation_id: str,
        *,
        from_seq: int,
        limit: int,
        max_bytes: int,
        backward: bool,
    ) -> Page:
        """As ``MessageLog.page``; ``collection`` is the conversation's."""
        scan = _Scan(self._database, conversation_id, limit + 1, max_bytes, backward)
        low, high = (1, from_seq) if backward else (max(1, from_seq), _NO_END)
        hot, complete = await scan(collection, low, high)
        found = {document["s"]: document for document in hot}
        # What hot holds bounds what may be missing in it: behind its last one nothing was looked for.
        end = hot[-1]["s"] if hot else 0
        if backward:
            high = await self._top(collection, conversation_id, from_seq, hot)
            if not complete:
                low = end
            wanted = range(max(low, high - limit), high + 1)
        else:
            # The newest message is always hot: from where hot holds nothing on there is nothing.
            high = end
            wanted = range(low, min(low + limit, high) + 1)
        if any(seq not in found for seq in wanted):
            for month in await self._archives.months(newest_first=backward):
                archived, _ = await scan(month, low, high)
                found = {document["s"]: document for document in archived} | found
                if all(seq in found for seq in wanted):
                    break
        await self._recalls.reveal(collection, list(found.values()))
        return _cut(conversation_id, found, limit, max_bytes, backward=backward)

    async def _top(
        self, collection: str, conversation_id: str, from_seq: int, hot: Sequence[Document]
    ) -> int:
        """The highest seq that may be on a page that goes back from ``from_seq``."""
        if hot and hot[0]["s"] == from_seq:
            return from_seq
        newest = await self._database.documents(
            {
                "find": collection,
                "filter": {"c": conversation_id},
                "sort": {"s": -1},
                "limit": 1,
                "projection": {"s": 1},
            }
        )
        return min(from_seq, newest[0]["s"]) if newest else 0


class _Scan:
    """Reads one conversation in one direction, until there is enough for a page."""

    def __init__(
        self, database: MongoDatabase, conversation_id: str, count: int, max_bytes: int, backward: bool
    ) -> None:
        self._database = database
        self._conversation_id = conversation_id
        self._count = count
        self._max_bytes = max_bytes
        self._backward = backward

    async def __call__(self, collection: str, low: int, high: int) -> tuple[list[Document], bool]:
        """The messages from ``low`` to ``high``, and whether these are all of them."""
        found: list[Document] = []
        size_bytes = 0
        chunk = FIRST_CHUNK
        while len(found) < self._count and size_bytes <= self._max_bytes:
            wanted = min(chunk, self._count - len(found))
            got = await self._chunk(collection, low, high, wanted)
            found += got
            if len(got) < wanted:
                return found, True
            if self._backward:
                high = got[-1]["s"] - 1
            else:
                low = got[-1]["s"] + 1
            size_bytes += sum(_size(document) for document in got)
            # As many as should fit, going by those that were seen.
            chunk = 1 + (self._max_bytes - size_bytes) * len(found) // (size_bytes + 1)
        return found, False

    async def _chunk(self, collection: str, low: int, high: int, count: int) -> list[Document]:
        return await self._database.documents(
            {
                "find": collection,
                "filter": {"c": self._conversation_id, "s": {"$gte": low, "$lte": high}},
                "sort": {"s": -1 if self._backward else 1},
                "limit": count,
                "batchSize": count,
                "projection": TO_SHOW,
            }
        )


def _size(document: Document) -> int:
    body = document.get("b")
    return len(body) if isinstance(body, bytes) else 0


def _cut(
    conversation_id: str, found: dict[int, Document], limit: int, max_bytes: int, *, backward: bool
) -> Page:
    """The first of these, in reading direction, as far as there is room.

    A seq that is missing between two others is lost; something stands in its place, so that clients do not
    ask for it for ever. Before the first one nothing is: that is what has expired.
    """
    messages: list[StoredBody] = []
    more = False
    size_bytes = 0
    last = 0
    for seq in sorted(found, reverse=backward):
        step = -1 if backward else 1
        for place in range(last + step, seq + step, step) if last else (seq,):
            if len(messages) == limit:
                more = True
                break
            body = body_of(conversation_id, place, found.get(place))
            size_bytes += len(body)
            if messages and size_bytes > max_bytes:
                more = True
                break
            messages.append(StoredBody(place, body))
        if more:
            break
        last = seq
    if backward:
        messages.reverse()
    return Page(messages=messages, more=more)
