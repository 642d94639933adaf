"""MongoDB as a command needs it: blocking, and no answer before a majority has it on the disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bson
from bson.codec_options import DatetimeConversion
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from imd.config.engines import Mongo
from imd.config.secret import read_secret
from imd.core.message.mongo_epoch import ABOUT
from imd.ctl.exits import TARGET, CommandFailed

_SELECTION_TIMEOUT_MS = 15_000
_SOCKET_TIMEOUT_MS = 60_000
#: Times as they are, also those that Python's datetime cannot hold.
CODEC: bson.CodecOptions[dict[str, Any]] = bson.CodecOptions(
    datetime_conversion=DatetimeConversion.DATETIME_MS, tz_aware=True
)


@contextmanager
def open_mongo(mongo: Mongo) -> Iterator[tuple[Database[dict[str, Any]], str]]:
    """The database that [mongo] names, logged in; and what to call it.

    :raises CommandFailed: it cannot be used.
    """
    login: dict[str, Any] = {}
    if mongo.user:
        password = read_secret(mongo.password_file) if mongo.password_file else ""
        login = {"username": mongo.user, "password": password, "authSource": mongo.database}
    if mongo.ca_file:
        login |= {"tls": True, "tlsCAFile": mongo.ca_file}
    if mongo.replica_set:
        login["replicaSet"] = mongo.replica_set
    client: MongoClient[dict[str, Any]] = MongoClient(
        mongo.hosts,
        serverSelectionTimeoutMS=_SELECTION_TIMEOUT_MS,
        connectTimeoutMS=_SELECTION_TIMEOUT_MS,
        socketTimeoutMS=_SOCKET_TIMEOUT_MS,
        **login,
    )
    place = f"{mongo.database} on {', '.join(mongo.hosts)}"
    with client:
        database = client.get_database(
            mongo.database,
            codec_options=CODEC,
            write_concern=WriteConcern(w="majority", j=True),
            read_concern=ReadConcern("majority"),
        )
        try:
            database[ABOUT].find_one()
        except PyMongoError as error:
            raise CommandFailed(
                TARGET,
                f"cannot use MongoDB {place} ({error}): check that it runs, and [mongo] in im-core.toml",
            ) from None
        yield database, place
