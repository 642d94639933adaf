"""``imctl new-epoch``: the last step of a restore of a cluster's databases, before the first node starts."""

from __future__ import annotations

import argparse
import os
import secrets
from pathlib import Path
from typing import Any

from pymongo.database import Database
from pymongo.errors import PyMongoError

from imd.config.load import ConfigError, load
from imd.config.sections import CoreConfig
from imd.core.message.mongo_epoch import ABOUT, EPOCH_ID, MOVING_IN
from imd.ctl.exits import OK, TARGET, USAGE, CommandFailed
from imd.ctl.open_mongo import open_mongo
from imd.ctl.redis_line import RedisLine, open_redis

DESCRIPTION = """\
After MongoDB and MySQL were restored from a backup, and before any node is started: forget in Redis what belongs to the
time that was lost (routes, leases, rights, keys of messages; not when people were last seen), and give the messages a new
epoch, so that clients drop their cursors and sync anew. Refuses while a core node is up.

Run it with the configuration of im-core. It may be run again. Empty NATS' JetStream, too, and delete the *.settings.json in
every node's settings_dir: docs/backup.rst tells why.
"""
EPILOG = """\
Exit codes: 0 done; 2 wrong usage or configuration; 4 MongoDB or Redis cannot be used, or a node is up.
"""

_NODES = "core:nodes"
_ALL = "core:*"
#: A convenience that no restore of anything else makes wrong.
_KEPT = b"core:seen:"
_KEYS_AT_ONCE = 1000


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe it."""
    command = commands.add_parser(
        "new-epoch",
        help="after a restore of MongoDB and MySQL: let clients sync anew",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--config",
        type=Path,
        required=True,
        metavar="FILE",
        help="im-core.toml; variables IM__... count, too",
    )
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """The exit code."""
    try:
        config = load(str(arguments.config), os.environ, CoreConfig)
    except ConfigError as error:
        raise CommandFailed(USAGE, str(error)) from None
    with open_mongo(config.mongo) as (database, place), open_redis(config.redis) as redis:
        _refuse_living(redis)
        # First: whoever is interrupted here runs it again, and no node has seen the new epoch.
        print(f"Redis at {config.redis.address}: {_forget(redis):,} keys forgotten")
        old, new = _renew(database, place)
        print(f"MongoDB {place}: epoch {old or '(none)'} is now {new}")
    print("start the nodes: im-business first, then im-core; clients sync by themselves")
    return OK


def _refuse_living(redis: RedisLine) -> None:
    """By the clock of Redis, as the nodes themselves judge."""
    time, nodes = redis.ask([("TIME",), ("HGETALL", _NODES)])
    if not isinstance(time, list) or not isinstance(nodes, list):
        raise CommandFailed(TARGET, "Redis answers what it was not asked: is it Redis?")
    now_ms = int(time[0]) * 1000  # type: ignore[arg-type]
    for node, entry in zip(nodes[::2], nodes[1::2], strict=True):
        if isinstance(entry, bytes) and isinstance(node, bytes) and int(entry.split()[0]) > now_ms:
            raise CommandFailed(
                TARGET,
                f"core node {node.decode()} is up, or was a moment ago: stop all nodes, and try again in 20 s",
            )


def _forget(redis: RedisLine) -> int:
    count, cursor = 0, b"0"
    while True:
        (answer,) = redis.ask([("SCAN", cursor, "MATCH", _ALL, "COUNT", _KEYS_AT_ONCE)])
        assert isinstance(answer, list)
        cursor, found = answer  # type: ignore[assignment]
        keys = [key for key in found if isinstance(key, bytes) and not key.startswith(_KEPT)]  # type: ignore[union-attr]
        if keys:
            redis.ask([("UNLINK", *keys)])
            count += len(keys)
        if cursor == b"0":
            return count


def _renew(database: Database[dict[str, Any]], place: str) -> tuple[str, str]:
    new = secrets.token_hex(8)
    try:
        found = database[ABOUT].find_one({"_id": EPOCH_ID}) or {}
        if found.get("value") == MOVING_IN:
            raise CommandFailed(
                TARGET, f"`imctl migrate` has not finished moving a data folder into {place}: run it again"
            )
        database[ABOUT].update_one({"_id": EPOCH_ID}, {"$set": {"value": new}}, upsert=True)
    except PyMongoError as error:
        raise CommandFailed(TARGET, f"MongoDB {place} failed ({error}): run the same command again") from None
    return str(found.get("value", "")), new
