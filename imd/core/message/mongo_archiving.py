"""Moving old messages out of the hot collections, a collection a month.

A message is copied, seen in its new place by a majority, and only then deleted, if nothing has changed it
since. So it may be in both places (readers take the hot one) and is never in neither. ``e`` counts its
changes: an old copy never replaces a newer one, however late it comes, and whatever else does the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import bson
from bson.datetime_ms import DatetimeMS
from twisted.internet.defer import CancelledError, Deferred, FirstError, gatherResults
from twisted.logger import Logger

from imd.core.message.mongo import MongoMessageLog
from imd.core.message.mongo_archive_claim import ArchiveClaim, ClaimLost
from imd.core.message.mongo_archives import Archives
from imd.core.message.mongo_documents import BY_EXPIRY, BY_SEQ, Document, archive_of, collection_of
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.errors import ImError, ServerBusy, StartupError
from imd.kernel.ids import snowflake_at
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep
from imd.storage.mongo import DUPLICATE_KEY, CommandRefused, MongoDatabase

#: An idempotency key counts for so long (spec 9.7), and keys are looked for in the hot collections only.
MIN_HOT_DAYS = 7
RUN_EVERY_S = 3600.0
#: A node that starts has more urgent things to do.
FIRST_RUN_AFTER_S = 60.0
#: Partitions at once: each keeps one connection busy, of ``[mongo] pool_size``.
PARALLEL = 4
#: Messages looked at in one step, and what is moved in one: a command of the server takes 48 MB.
STEP = 1000
MOVED_AT_ONCE_BYTES = 8 * 1024 * 1024
#: After a step, of the time that it took: whoever is connected comes first.
PAUSE_SHARE = 0.2
_DAY_MS = 86_400_000
_DAY_S = 86_400
_NO_SUCH_COLLECTION = 26


class Archiving:
    """A stage that moves messages now and then, on one node at a time, though more would do no harm.

    The newest message of a conversation stays: the hot collections alone tell how far one goes.

    :param hot_days: older messages are moved.
    :param archive_days: those that were moved are deleted after so long; 0 keeps them for ever.
    """

    _logger = Logger()

    def __init__(
        self,
        *,
        log: MongoMessageLog,
        database: MongoDatabase,
        clock: Clock,
        wall_clock: WallClock,
        hot_days: int = 30,
        archive_days: int = 180,
    ) -> None:
        self._log = log
        self._database = database
        self._archives = Archives(database=database)
        self._clock = clock
        self._wall_clock = wall_clock
        self._hot_days = hot_days
        self._expire_after_s = (hot_days + archive_days) * _DAY_S if archive_days else None
        self._prepared: set[str] = set()
        self._tasks = Tasks()

    async def start(self) -> None:
        if self._hot_days < MIN_HOT_DAYS:
            raise StartupError(
                f"messages must stay hot for at least {MIN_HOT_DAYS} days, not {self._hot_days}: what was sent"
                " before would be stored again when it is sent again"
            )
        self._tasks.spawn("archive old messages", self._run())

    async def stop(self) -> None:
        await self._tasks.stop()

    async def _run(self) -> None:
        await sleep(FIRST_RUN_AFTER_S, clock=self._clock)
        while True:
            try:
                claim = ArchiveClaim(database=self._database, wall_clock=self._wall_clock)
                if await claim.take():
                    moved = await self.move_all(claim)
                    await claim.keep()
                    self._logger.info("{count} messages were archived", count=moved)
            except ClaimLost:
                self._logger.warn("another node archives by now")
            except (ImError, CommandRefused) as error:
                self._logger.warn("archiving goes on later: {error}", error=error)
            except CancelledError:
                raise
            except Exception:
                self._logger.failure("archiving failed, and is tried again later")
            await sleep(RUN_EVERY_S, clock=self._clock)

    async def move_all(self, claim: ArchiveClaim | None = None) -> int:
        """Move what is old enough; how many messages that were.

        :param claim: goes on where that has come to, and keeps it; None: from the beginning.
        :raises ClaimLost: another node does it by now.
        """
        self._prepared.clear()
        for month in await self._archives.months():
            await self._prepare(month)
        before_id = snowflake_at(self._wall_clock() - self._hot_days * _DAY_MS)
        collections = [collection_of(partition) for partition in range(self._log.partitions)]

        async def work_off() -> int:
            moved = 0
            while collections:
                moved += await self._move_from(collections.pop(), before_id, claim)
            return moved

        workers = [Deferred.fromCoroutine(work_off()) for _ in range(min(PARALLEL, len(collections)))]
        try:
            return sum(await gatherResults(workers, consumeErrors=True))
        except FirstError as first:
            for worker in workers:
                worker.cancel()
            first.subFailure.raiseException()

    async def _move_from(self, collection: str, before_id: int, claim: ArchiveClaim | None) -> int:
        moved, last_id = 0, claim.places.get(collection, 0) if claim is not None else 0
        while True:
            began_s = self._clock.seconds()
            seen = await self._database.documents(
                {
                    "find": collection,
                    "filter": {"_id": {"$gt": last_id, "$lt": before_id}},
                    "sort": {"_id": 1},
                    "limit": STEP,
                    "batchSize": STEP,
                    "projection": {"c": 1, "s": 1, "t": 1, "size": {"$bsonSize": "$$ROOT"}},
                }
            )
            if not seen:
                return moved
            last_id = seen[-1]["_id"]
            seen = [document for document in seen if _is_whole(document)]
            newest = await self._log.last_seqs(list({document["c"] for document in seen}))
            old = [document for document in seen if document["s"] < newest.get(document["c"], 0)]
            for ids in _portions(old):
                moved += await self._move(collection, ids)
            if claim is not None:
                claim.places[collection] = last_id
                await claim.renew()
            await sleep(PAUSE_SHARE * (self._clock.seconds() - began_s), clock=self._clock)

    async def _move(self, collection: str, ids: Sequence[int]) -> int:
        months: dict[str, list[Document]] = {}
        query = {"find": collection, "filter": {"_id": {"$in": ids}}, "batchSize": STEP + 1}
        for document in await self._database.documents(query):
            months.setdefault(archive_of(int(document["t"])), []).append(document)
        moved = 0
        for month, documents in months.items():
            if month not in self._prepared:
                await self._prepare(month)
            await self.copy(month, documents)
            moved += await self.delete(collection, month, documents)
        return moved

    async def copy(self, month: str, documents: Sequence[Document]) -> None:
        """Write copies, except where there is one that is as new, or newer.

        :raises ServerBusy: some are not written.
        """
        # Most have never been changed: a copy that is there is as new, or newer. Inserting costs a third of what
        # looking first does.
        new = [bson.encode(document) for document in documents if "e" not in document]
        changed = [bson.encode(_copying(document)) for document in documents if "e" in document]
        for command, section, items in (("insert", "documents", new), ("update", "updates", changed)):
            if not items:
                continue
            reply = await self._database.write(
                {command: month, "ordered": False}, section=section, items=items, repeatable=True
            )
            for error in reply.get("writeErrors", ()):
                if error.get("code") != DUPLICATE_KEY:
                    raise ServerBusy(f"the archive takes no messages: {error.get('errmsg')}")

    async def delete(self, collection: str, month: str, documents: Sequence[Document]) -> int:
        """Delete what a majority has in the archive and nobody has changed here since it was read."""
        query = {"_id": {"$in": [document["_id"] for document in documents]}}
        copies = {
            copy["_id"]: copy.get("e", 0)
            for copy in await self._database.documents(
                {"find": month, "filter": query, "projection": {"e": 1}, "batchSize": STEP + 1}
            )
        }
        safe = [each for each in documents if copies.get(each["_id"], -1) >= each.get("e", 0)]
        if not safe:
            return 0
        deletes = [bson.encode({"q": _unchanged(each), "limit": 1}) for each in safe if "e" in each]
        # Those that were never changed by one statement, which is planned once.
        never_changed = [each["_id"] for each in safe if "e" not in each]
        unchanged: Document = {"_id": {"$in": never_changed}, "e": {"$exists": False}}
        deletes.append(bson.encode({"q": unchanged, "limit": 0}))
        reply = await self._database.write(
            {"delete": collection, "ordered": False}, section="deletes", items=deletes, repeatable=True
        )
        return int(reply["n"])

    async def _prepare(self, month: str) -> None:
        """Let a month have the indexes that it should have, by the settings of today."""
        expiry = await self._expiry(month)
        wanted = self._expire_after_s
        indexes: list[dict[str, Any]] = [{"name": "by_seq", "key": BY_SEQ}]
        if wanted is not None and expiry is None:
            indexes.append({"name": "by_expiry", "key": BY_EXPIRY, "expireAfterSeconds": wanted})
        await self._database.administer({"createIndexes": month, "indexes": indexes})
        if wanted is None and expiry is not None:
            await self._database.administer({"dropIndexes": month, "index": "by_expiry"})
        elif wanted is not None and expiry not in (None, wanted):
            change = {"name": "by_expiry", "expireAfterSeconds": wanted}
            await self._database.administer({"collMod": month, "index": change})
        self._prepared.add(month)

    async def _expiry(self, month: str) -> int | None:
        try:
            reply = await self._database.administer({"listIndexes": month})
        except CommandRefused as refused:
            if refused.code != _NO_SUCH_COLLECTION:
                raise
            return None
        found: Iterable[Mapping[str, Any]] = reply["cursor"]["firstBatch"]
        return next(
            (int(index["expireAfterSeconds"]) for index in found if index["name"] == "by_expiry"), None
        )


def _portions(documents: Sequence[Document]) -> Iterator[list[int]]:
    """Ids of those that are moved together."""
    portion: list[int] = []
    size_bytes = 0
    for document in documents:
        size_bytes += document["size"]
        if portion and size_bytes > MOVED_AT_ONCE_BYTES:
            yield portion
            portion, size_bytes = [], document["size"]
        portion.append(document["_id"])
    if portion:
        yield portion


def _is_whole(document: Document) -> bool:
    """Whether it is known where it belongs; what is broken stays where it is."""
    return (
        isinstance(document.get("c"), str)
        and isinstance(document.get("s"), int)
        and isinstance(document.get("t"), DatetimeMS)
    )


def _copying(document: Document) -> Document:
    """The statement that copies what was changed; a duplicate key says that a newer copy is there."""
    place = {"_id": document["_id"], "c": document["c"]}
    older = {"$or": [{"e": {"$exists": False}}, {"e": {"$lt": document["e"]}}]}
    return {"q": {**place, **older}, "u": document, "upsert": True}


def _unchanged(document: Document) -> Document:
    return {"_id": document["_id"], "c": document["c"], "e": document["e"]}
