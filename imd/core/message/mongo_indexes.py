"""The unique indexes, without which there is no order: made, and looked after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from twisted.logger import Logger

from imd.core.message.mongo_documents import BY_KEY, BY_SEQ, BY_TIME, CURSORS, collection_of
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError, OutcomeUnknown, ServerBusy, StartupError
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep
from imd.storage.mongo import CommandRefused, MongoDatabase

#: Somebody may drop an index at any time; so long it may go unnoticed.
CHECK_EVERY_S = 30.0
#: Many nodes that start at once disturb one another: a collection or an index may just be in the making.
_START_TRIES = 10
_START_RETRY_S = 0.5
_NO_SUCH_COLLECTION = 26


class Index(NamedTuple):
    """An index as it has to be."""

    name: str
    key: Mapping[str, int]
    unique: bool

    def is_among(self, found: Sequence[Mapping[str, Any]]) -> bool:
        """Whether one of these does what this one does; a partial or sparse one guards only a part."""
        return any(
            list(each["key"].items()) == list(self.key.items())
            and (not self.unique or bool(each.get("unique")))
            and not ("partialFilterExpression" in each or each.get("sparse"))
            for each in found
        )

    def specification(self) -> dict[str, Any]:
        """For createIndexes."""
        return {"name": self.name, "key": dict(self.key), **({"unique": True} if self.unique else {})}


#: by_key before by_seq: of a row that offends both the server names the older one.
MESSAGE_INDEXES = (
    Index("by_key", BY_KEY, unique=True),
    Index("by_seq", BY_SEQ, unique=True),
    Index("by_time", BY_TIME, unique=False),
)
CURSOR_INDEXES = (Index("by_conversation", {"c": 1, "u": 1}, unique=True),)


class IndexGuard:
    """A stage: makes the indexes of new collections, and knows whether those that guard us are all there."""

    _logger = Logger()

    def __init__(self, *, database: MongoDatabase, collections: int, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._wanted: dict[str, tuple[Index, ...]] = {
            collection_of(partition): MESSAGE_INDEXES for partition in range(collections)
        }
        self._wanted[CURSORS] = CURSOR_INDEXES
        self._missing: list[str] = ["not looked at yet"]
        self._tasks = Tasks()

    @property
    def ready(self) -> bool:
        """Whether all unique indexes were there when they were looked at last."""
        return not self._missing

    def check(self) -> None:
        """Refuse to write while nothing guards the order.

        :raises ServerBusy: an index is missing.
        """
        if self._missing:
            raise ServerBusy("the message store is not safe to write to", retry_after_ms=1000)

    async def start(self) -> None:
        try:
            for collection, indexes in self._wanted.items():
                await self._make(collection, indexes)
            missing = await self._look()
        except (ImError, CommandRefused) as error:
            raise StartupError(f"MongoDB: the indexes of the messages cannot be made: {error}") from None
        if missing:
            raise StartupError(
                f"MongoDB lacks unique indexes, without which messages may be doubled: {'; '.join(missing)}."
                " Look for doubled entries, then create them in mongosh."
            )
        self._missing = []
        self._tasks.spawn("look after the indexes of the messages", self._watch())

    async def stop(self) -> None:
        await self._tasks.stop()

    async def _make(self, collection: str, indexes: Sequence[Index]) -> None:
        """Where there are messages already, a missing index is for people to look into.

        Whoever finds a message before listing the indexes knows that they were made before it.
        """
        for attempt in range(_START_TRIES):
            try:
                if await self._database.documents({"find": collection, "limit": 1, "projection": {"_id": 1}}):
                    return
                await self._database.administer(
                    {"createIndexes": collection, "indexes": [index.specification() for index in indexes]}
                )
                return
            except (CommandRefused, OutcomeUnknown, ServerBusy) as error:
                if attempt == _START_TRIES - 1:
                    raise
                self._logger.info("{collection}: {error}", collection=collection, error=error)
            await sleep(_START_RETRY_S, clock=self._clock)

    async def _look(self) -> list[str]:
        """Which unique indexes are missing, as createIndex commands."""
        missing: list[str] = []
        for collection, indexes in self._wanted.items():
            try:
                reply = await self._database.administer({"listIndexes": collection})
            except CommandRefused as refused:
                if refused.code != _NO_SUCH_COLLECTION:
                    raise
                found: list[dict[str, Any]] = []
            else:
                found = reply["cursor"]["firstBatch"]
            missing += [
                f"db.{collection}.createIndex({dict(index.key)}, {{unique: true}})"
                for index in indexes
                if index.unique and not index.is_among(found)
            ]
        return missing

    async def _watch(self) -> None:
        while True:
            await sleep(CHECK_EVERY_S, clock=self._clock)
            try:
                missing = await self._look()
            except (ImError, CommandRefused) as error:
                self._logger.warn("the indexes of the messages cannot be looked at: {error}", error=error)
                continue
            if missing and missing != self._missing:
                self._logger.critical(
                    "nothing is written: MongoDB lacks {missing}", missing="; ".join(missing)
                )
            elif self._missing and not missing:
                self._logger.info("the indexes of the messages are all there again")
            self._missing = missing
