"""Makes a replica set of mongods that are there, and imd's user in it.

    python -m imd.ctl.cluster.replica_set --hosts mongo:27017 \\
        --root-password-file /run/secrets/mongo_root --password-file /run/secrets/mongo

Does nothing where both are made; deploy/compose.yaml runs it at each start.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from imd.config.secret import read_secret

Client = MongoClient[dict[str, Any]]

_ALREADY_INITIALIZED = 23
_CALL_TIMEOUT_MS = 5000
_ATTEMPT_INTERVAL_S = 1.0


def initiate(
    client: Client, *, name: str, hosts: Sequence[str], settings: Mapping[str, int] | None = None
) -> None:
    """Make the set; nothing happens if its members belong to one.

    :param client: of one member, directly.
    :param hosts: all members, by the names under which they and the nodes find one another.
    """
    config = {
        "_id": name,
        "members": [{"_id": index, "host": host} for index, host in enumerate(hosts)],
        "settings": dict(settings or {}),
    }
    try:
        client.admin.command("replSetInitiate", config)
    except OperationFailure as error:
        if error.code != _ALREADY_INITIALIZED:
            raise


def create_user(client: Client, *, database: str, user: str, password: str) -> None:
    """Make imd's user where it is not; it reads and writes that database only.

    :param client: of the primary, as root.
    """
    if client[database].command("usersInfo", user)["users"]:
        return
    client[database].command(
        "createUser",
        user,
        pwd=password,
        roles=["readWrite", "dbAdmin"],
        # txmongo knows SCRAM-SHA-1 only.
        mechanisms=["SCRAM-SHA-1", "SCRAM-SHA-256"],
        writeConcern={"w": "majority", "j": True},
    )


def main(arguments: Sequence[str]) -> int:
    """The exit code."""
    parsed = _parser().parse_args(arguments)
    try:
        root_password = read_secret(parsed.root_password_file)
        password = read_secret(parsed.password_file)
    except ValueError as error:
        print(f"replica_set: {error}", file=sys.stderr)
        return 2
    deadline_s = time.monotonic() + parsed.timeout_s
    while True:
        try:
            _make(parsed, root_password, password)
        except PyMongoError as error:
            if time.monotonic() > deadline_s:
                print(f"replica_set: not made in {parsed.timeout_s:g} s: {error}", file=sys.stderr)
                return 1
            time.sleep(_ATTEMPT_INTERVAL_S)
        else:
            print(f"replica_set: {parsed.name} of {', '.join(parsed.hosts)} is there, with {parsed.user}")
            return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m imd.ctl.cluster.replica_set", description=__doc__)
    parser.add_argument("--hosts", nargs="+", required=True, metavar="HOST:PORT", help="all members")
    parser.add_argument("--name", default="imd", help="of the set; default: imd")
    parser.add_argument("--database", default="imd", help="default: imd")
    parser.add_argument("--user", default="imd", help="default: imd")
    parser.add_argument("--password-file", required=True, metavar="FILE")
    parser.add_argument("--root-user", default="root", help="who is there already; default: root")
    parser.add_argument("--root-password-file", required=True, metavar="FILE")
    parser.add_argument("--timeout-s", type=float, default=120.0, help="for all of it; default: 120")
    return parser


def _make(parsed: argparse.Namespace, root_password: str, password: str) -> None:
    options: dict[str, Any] = {
        "username": parsed.root_user,
        "password": root_password,
        "serverSelectionTimeoutMS": _CALL_TIMEOUT_MS,
        "connectTimeoutMS": _CALL_TIMEOUT_MS,
        "socketTimeoutMS": 4 * _CALL_TIMEOUT_MS,
    }
    with MongoClient[dict[str, Any]](parsed.hosts[0], directConnection=True, **options) as client:
        initiate(client, name=parsed.name, hosts=parsed.hosts)
    with MongoClient[dict[str, Any]](parsed.hosts, replicaSet=parsed.name, **options) as client:
        create_user(client, database=parsed.database, user=parsed.user, password=password)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
