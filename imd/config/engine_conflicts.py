"""What must hold of the servers that the roles stand on."""

from __future__ import annotations

import re
from collections.abc import Iterator

from imd.config.address import EXPECTED_HOST, is_this_machine, parse_host
from imd.config.conflict import Conflict
from imd.config.engines import Mongo, Nats, Redis, Sql
from imd.config.file_conflicts import private_key, readable
from imd.config.secret import read_secret

_NATS = re.compile(r"(?:nats|tls)://([^/\s?#@]+)\Z")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}\Z")


def host_conflicts(path: str, text: str) -> Iterator[Conflict]:
    """Something to connect to."""
    try:
        parse_host(text)
    except ValueError as error:
        yield Conflict(path, f"{text!r} {error}; expected {EXPECTED_HOST}")


def _account(section: str, user: str, password_file: str, ca_file: str) -> Iterator[Conflict]:
    if password_file:
        try:
            read_secret(password_file)
        except ValueError as error:
            yield Conflict(f"{section}.password_file", str(error))
    elif user and section != "sql":
        yield Conflict(
            f"{section}.password_file", f"is empty, but there is a user, {user!r}", (f"{section}.user",)
        )
    if ca_file:
        yield from readable(f"{section}.ca_file", ca_file)


def _plaintext(section: str, engine: Nats | Mongo | Redis | Sql, paths: dict[str, str]) -> Iterator[Conflict]:
    """:param paths: where each address of the engine stands, and the address."""
    if engine.ca_file or engine.allow_plaintext:
        return
    if engine.password_file:
        why = "the password and all that follows would go there without TLS"
    else:
        why = "there is no password: whoever reaches it is let in, and all goes there without TLS"
    for path, text in paths.items():
        try:
            host, _ = parse_host(text)
        except ValueError:
            # Told already.
            continue
        if not is_this_machine(host):
            yield Conflict(
                path,
                f"{text} is another machine, and {why}; set {section}.ca_file, or {section}.allow_plaintext on a "
                "network that nobody else is on",
                (f"{section}.ca_file", f"{section}.allow_plaintext", f"{section}.password_file"),
            )


def of_nats(nats: Nats) -> Iterator[Conflict]:
    """What must hold within [nats]."""
    if not nats.servers:
        yield Conflict("nats.servers", "is empty; expected at least one, such as nats://127.0.0.1:4222")
    for index, text in enumerate(nats.servers):
        found = _NATS.match(text)
        if found is None:
            yield Conflict(
                f"nats.servers[{index}]",
                "is no server; expected nats://HOST:PORT or tls://HOST:PORT, with user and password_file beside it",
                ("nats.servers",),
            )
        else:
            yield from host_conflicts(f"nats.servers[{index}]", found[1])
    yield from _account("nats", nats.user, nats.password_file, nats.ca_file)
    # One tls:// is enough: it is then asked of all of them.
    if not any(text.startswith("tls://") for text in nats.servers):
        found_at = {
            f"nats.servers[{index}]": text.removeprefix("nats://") for index, text in enumerate(nats.servers)
        }
        yield from _plaintext("nats", nats, found_at)
    if nats.password_file and not nats.user:
        yield Conflict("nats.user", "is empty, but there is a password_file", ("nats.password_file",))
    pair = {"certificate_file": nats.certificate_file, "private_key_file": nats.private_key_file}
    yield from private_key("nats.private_key_file", nats.private_key_file)
    for name, file in pair.items():
        if file:
            yield from readable(f"nats.{name}", file)
        elif any(pair.values()):
            yield Conflict(f"nats.{name}", "is empty; certificate and key go together")


def of_mongo(mongo: Mongo) -> Iterator[Conflict]:
    """What must hold within [mongo]."""
    if not mongo.hosts:
        yield Conflict("mongo.hosts", "is empty; expected at least one, such as 127.0.0.1:27017")
    for index, text in enumerate(mongo.hosts):
        yield from host_conflicts(f"mongo.hosts[{index}]", text)
    if not _NAME.match(mongo.database):
        yield Conflict("mongo.database", f"{mongo.database!r} is no name of a database")
    yield from _account("mongo", mongo.user, mongo.password_file, mongo.ca_file)
    yield from _plaintext("mongo", mongo, {f"mongo.hosts[{i}]": text for i, text in enumerate(mongo.hosts)})
    if mongo.password_file and not mongo.user:
        yield Conflict("mongo.user", "is empty, but there is a password_file", ("mongo.password_file",))


def of_redis(redis: Redis) -> Iterator[Conflict]:
    """What must hold within [redis]."""
    yield from host_conflicts("redis.address", redis.address)
    yield from _account("redis", redis.user, redis.password_file, redis.ca_file)
    yield from _plaintext("redis", redis, {"redis.address": redis.address})


def of_sql(sql: Sql) -> Iterator[Conflict]:
    """What must hold within [sql]."""
    yield from host_conflicts("sql.address", sql.address)
    if not _NAME.match(sql.database):
        yield Conflict("sql.database", f"{sql.database!r} is no name of a database")
    if not sql.user:
        yield Conflict("sql.user", "is empty; expected the account that owns the database")
    yield from _account("sql", sql.user, sql.password_file, sql.ca_file)
    yield from _plaintext("sql", sql, {"sql.address": sql.address})
