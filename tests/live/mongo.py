"""A real MongoDB for tests, and what they store in it."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor  # noqa: TID251 -- a real server, on real time
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from imd.core.message.mongo import MongoMessageLog
from imd.ctl.cluster.engines import Mongod
from imd.ctl.cluster.mongod import REPLICA_SET
from imd.kernel.clocks import system_wall_clock
from imd.storage.mongo import MongoDatabase
from imd.storage.mongo_primary import tcp_endpoints
from tests.live.engines import engine


def database_of(mongod: Mongod, **other: Any) -> MongoDatabase:
    """A client of this server, not started."""
    settings: dict[str, Any] = {
        "hosts": [f"{mongod.host}:{port}" for port in mongod.advertised],
        "replica_set": REPLICA_SET,
        "database": mongod.database,
        "user": mongod.user,
        "password": mongod.password,
        "endpoint_for": tcp_endpoints(reactor),
        "clock": reactor,
        "wall_clock": system_wall_clock,
    }
    return MongoDatabase(**{**settings, **other})


def empty(mongod: Mongod) -> None:
    """Delete all documents; collections and indexes stay, which are slow to make. Blocks."""
    with mongod.client() as client:
        database = client[mongod.database]
        for name in database.list_collection_names():
            if name.startswith("message_archive_"):
                database.drop_collection(name)
            else:
                database[name].delete_many({})


class MongoCase(TestCase):
    """A test on the shared server, which is empty when it begins."""

    #: Seconds; nothing here waits for a server that is down.
    timeout = 60
    collections = 8

    async def opened(self) -> MongoDatabase:
        """A started database, stopped after the test."""
        self.mongod = await deferToThread(engine, "mongo")
        await deferToThread(empty, self.mongod)
        database = database_of(self.mongod)
        await database.start()
        self.addCleanup(lambda: self.ended(database))
        return database

    async def log_on(self, database: MongoDatabase) -> MongoMessageLog:
        """A started log, stopped after the test."""
        log = MongoMessageLog(database=database, clock=reactor, collections=self.collections)
        await log.start()
        self.addCleanup(lambda: self.ended(log))
        return log

    def ended(self, stage: Any) -> Any:
        """Stop a stage, as a cleanup."""
        return Deferred.fromCoroutine(stage.stop())
