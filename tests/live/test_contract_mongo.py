"""The contracts of the message log and the cursors on MongoDB."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred

from imd.core.message.mongo import MongoMessageLog
from imd.core.message.mongo_cursors import MongoCursors
from tests.contract import cursors, message_log, places
from tests.live.mongo import MongoCase


class OnMongo(MongoCase):
    """Scenarios run on the real reactor."""

    def drive(self, work: Coroutine[Any, Any, None]) -> Deferred[None]:
        return Deferred.fromCoroutine(work)


class LogOnMongo(OnMongo):
    async def make(self) -> MongoMessageLog:
        return await self.log_on(await self.opened())


class MongoMessageLogLiveTests(LogOnMongo, message_log.MessageLogContract):
    """MongoMessageLog keeps the contract."""


class OneCollectionLiveTests(LogOnMongo, message_log.MessageLogContract):
    """MongoMessageLog keeps the contract when all conversations share a collection."""

    collections = 1


class MongoPlacesLiveTests(OnMongo, places.PlacesContract):
    """MongoMessageLog finds messages by their server ids."""

    async def make_both(self) -> tuple[MongoMessageLog, MongoMessageLog]:
        log = await self.log_on(await self.opened())
        return log, log


class MongoCursorsLiveTests(OnMongo, cursors.CursorsContract):
    """MongoCursors keeps the contract."""

    async def make(self) -> MongoCursors:
        database = await self.opened()
        await self.log_on(database)
        return MongoCursors(database=database)
