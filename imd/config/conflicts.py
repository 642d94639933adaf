"""What must hold between keys, and of the files and addresses that they name."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from imd.config.address import EXPECTED_HOST, is_this_machine, parse_host
from imd.config.conflict import Conflict
from imd.config.engines import Mongo, Nats, Redis, Sql
from imd.config.listen_conflicts import AnyListen, listeners_of, of_listen, of_shared_ports
from imd.config.log import of_log
from imd.config.login_limits import EXPECTED_LIMIT, LOGIN_KINDS, parse_limit
from imd.config.metrics_conflicts import of_metrics
from imd.config.permission import Permission, problems_of
from imd.config.policy_conflicts import of_content, of_webhook
from imd.config.secret import read_secret
from imd.config.section import Section
from imd.config.sections import (
    Access,
    Accounts,
    AdminConfig,
    BusinessConfig,
    Config,
    CoreConfig,
    Gateway,
    LoginPolicy,
    Node,
    Tls,
)
from imd.config.tracing import of_tracing

#: HS256 is as strong as its key (RFC 8725 section 3.5).
TOKEN_SECRET_BYTES = 32

_ORIGIN = re.compile(r"https?://[^/\s?#@]+\Z")
_NATS = re.compile(r"(?:nats|tls)://([^/\s?#@]+)\Z")
_WEBSOCKET = re.compile(r"wss?://[^/\s?#@]+(/[^\s?#]*)?\Z")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}\Z")


def conflicts(config: Section) -> Iterator[Conflict]:
    """What types and bounds cannot say. Reads certificates and secrets; touches nothing else."""
    if isinstance(config, Config | CoreConfig | BusinessConfig | AdminConfig):
        yield from of_log(config.log)
        listeners = {f"listen.{name}": text for name, text in listeners_of(config.listen).items()}
        yield from of_metrics(config.metrics, listeners)
        yield from _of_role(config)
    if isinstance(config, Config | CoreConfig | BusinessConfig):
        yield from of_tracing(config.tracing)


def _of_role(config: Config | CoreConfig | BusinessConfig | AdminConfig) -> Iterator[Conflict]:
    if isinstance(config, Config):
        if not config.data_dir.strip():
            yield Conflict("data_dir", "is empty; expected a folder")
        yield from _of_clients(config.listen, config.tls)
        yield from _gateway(config.gateway)
        yield from _access(config.gateway)
        yield from _permission(config.permission)
        yield from _accounts(config.accounts)
        yield from _login_policy(config.login_policy)
        yield from of_content(config.content)
        yield from of_webhook(config.webhook)
    elif isinstance(config, CoreConfig):
        yield from _of_clients(config.listen, config.tls)
        yield from of_shared_ports(config.listen)
        yield from _gateway(config.gateway)
        yield from _access(config.gateway)
        yield from _permission(config.permission)
        yield from _node(config.node)
        yield from of_content(config.content)
        yield from _nats(config.nats)
        yield from _mongo(config.mongo)
        yield from _redis(config.redis)
    elif isinstance(config, BusinessConfig):
        yield from _token_secret(config.token_secret_file)
        if not config.operator_token_file.strip():
            yield Conflict("operator_token_file", "is empty; expected a file, made at first start")
        yield from _of_clients(config.listen, config.tls)
        yield from _access(config.gateway)
        yield from _accounts(config.accounts)
        yield from _login_policy(config.login_policy)
        yield from of_webhook(config.webhook)
        yield from _nats(config.nats)
        yield from _sql(config.sql)
    else:
        if not config.bootstrap_token_file.strip():
            yield Conflict("bootstrap_token_file", "is empty; expected a file, made at first start")
        yield from _of_clients(config.listen, config.tls)
        yield from _nats(config.nats)
        yield from _sql(config.sql)


def _of_clients(listen: AnyListen, tls: Tls) -> Iterator[Conflict]:
    given = listeners_of(listen)
    yield from of_listen(listen, given)
    yield from _tls(given, tls)


def _tls(given: dict[str, str], tls: Tls) -> Iterator[Conflict]:
    secure = tuple(f"listen.{name}" for name in ("tls", "https") if name in given)
    for path, file in (
        ("tls.certificate_file", tls.certificate_file),
        ("tls.private_key_file", tls.private_key_file),
    ):
        if file:
            yield from _readable(path, file)
            if path == "tls.private_key_file":
                yield from _private(path, file)
        elif secure:
            yield Conflict(
                path, f"is empty; {' and '.join(secure)} cannot do without a PEM file here", secure
            )


def _gateway(gateway: Gateway) -> Iterator[Conflict]:
    if gateway.heartbeat_interval_s >= gateway.idle_timeout_s:
        yield Conflict(
            "gateway.heartbeat_interval_s",
            f"{gateway.heartbeat_interval_s:g} is not below gateway.idle_timeout_s = {gateway.idle_timeout_s:g}; "
            "quiet clients would be thrown out",
            ("gateway.idle_timeout_s",),
        )
    if gateway.text_bytes > gateway.binary_bytes:
        yield Conflict(
            "gateway.text_bytes",
            f"{gateway.text_bytes} is above gateway.binary_bytes = {gateway.binary_bytes}, "
            "which bounds the whole message",
            ("gateway.binary_bytes",),
        )
    if gateway.queue_bytes < gateway.binary_bytes:
        yield Conflict(
            "gateway.queue_bytes",
            f"{gateway.queue_bytes} is below gateway.binary_bytes = {gateway.binary_bytes}; "
            "the largest message would not fit",
            ("gateway.binary_bytes",),
        )


def _access(access: Access) -> Iterator[Conflict]:
    for index, origin in enumerate(access.origins):
        if not _ORIGIN.match(origin):
            yield Conflict(
                f"gateway.origins[{index}]",
                f"{origin!r} is not an origin; expected scheme and host only, such as https://chat.example.com",
                ("gateway.origins",),
            )


def _accounts(accounts: Accounts) -> Iterator[Conflict]:
    if accounts.refresh_below_s >= accounts.token_ttl_s:
        yield Conflict(
            "accounts.refresh_below_s",
            f"{accounts.refresh_below_s} is not below accounts.token_ttl_s = {accounts.token_ttl_s}",
            ("accounts.token_ttl_s",),
        )
    if accounts.token_ttl_s > accounts.login_ttl_s:
        yield Conflict(
            "accounts.token_ttl_s",
            f"{accounts.token_ttl_s} is above accounts.login_ttl_s = {accounts.login_ttl_s}",
            ("accounts.login_ttl_s",),
        )


def _login_policy(policy: LoginPolicy) -> Iterator[Conflict]:
    for kind in LOGIN_KINDS:
        try:
            parse_limit(getattr(policy, kind))
        except ValueError as error:
            yield Conflict(f"login_policy.{kind}", f"{error}; expected {EXPECTED_LIMIT}")


def _readable(path: str, file: str) -> Iterator[Conflict]:
    try:
        with Path(file).open("rb") as opened:
            opened.read(1)
    except OSError as error:
        yield Conflict(path, f"cannot read {file}: {error.strerror}; expected a PEM file")


def _private(path: str, file: str) -> Iterator[Conflict]:
    """Whoever has the key is the server; one that cannot be read is told already."""
    if not file:
        return
    with suppress(OSError):
        mode = stat.S_IMODE(Path(file).stat().st_mode)
        if mode & 0o007:
            yield Conflict(path, f"{file} is open to everybody (mode {mode:04o}): chmod 0600 {file}")


def _token_secret(file: str) -> Iterator[Conflict]:
    path = "token_secret_file"
    if not file:
        yield Conflict(
            path,
            "is empty; expected the file that every im-business has: (umask 077; openssl rand -hex 32 > token.key)",
        )
        return
    try:
        secret = read_secret(file)
    except ValueError as error:
        yield Conflict(path, str(error))
    else:
        if len(secret.encode()) < TOKEN_SECRET_BYTES or len(set(secret)) < 8:
            yield Conflict(path, f"{file} is shorter than {TOKEN_SECRET_BYTES} bytes or too regular; openssl rand -hex 32 "
                                 "makes a good one")  # fmt: skip


def _permission(permission: Permission) -> Iterator[Conflict]:
    for key, text in problems_of(permission):
        yield Conflict(f"permission.{key}", text)


def _node(node: Node) -> Iterator[Conflict]:
    for name in ("public_tcp", "public_tls"):
        if text := getattr(node, name):
            yield from _host(f"node.{name}", text)
    if node.public_ws and not _WEBSOCKET.match(node.public_ws):
        yield Conflict(
            "node.public_ws", f"{node.public_ws!r} is no address; expected such as wss://chat.example.com/ws"
        )


def _host(path: str, text: str) -> Iterator[Conflict]:
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
        yield from _readable(f"{section}.ca_file", ca_file)


def _plaintext(section: str, engine: Nats | Mongo | Redis | Sql, paths: dict[str, str]) -> Iterator[Conflict]:
    """:param paths: where each address of the engine stands, and the address."""
    if not engine.password_file or engine.ca_file or engine.allow_plaintext:
        return
    for path, text in paths.items():
        try:
            host, _ = parse_host(text)
        except ValueError:
            # Told already.
            continue
        if not is_this_machine(host):
            yield Conflict(
                path,
                f"{text} is another machine, and the password and all that follows would go there without TLS; set "
                f"{section}.ca_file, or {section}.allow_plaintext on a network that nobody else is on",
                (f"{section}.ca_file", f"{section}.allow_plaintext"),
            )


def _nats(nats: Nats) -> Iterator[Conflict]:
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
            yield from _host(f"nats.servers[{index}]", found[1])
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
    yield from _private("nats.private_key_file", nats.private_key_file)
    for name, file in pair.items():
        if file:
            yield from _readable(f"nats.{name}", file)
        elif any(pair.values()):
            yield Conflict(f"nats.{name}", "is empty; certificate and key go together")


def _mongo(mongo: Mongo) -> Iterator[Conflict]:
    if not mongo.hosts:
        yield Conflict("mongo.hosts", "is empty; expected at least one, such as 127.0.0.1:27017")
    for index, text in enumerate(mongo.hosts):
        yield from _host(f"mongo.hosts[{index}]", text)
    if not _NAME.match(mongo.database):
        yield Conflict("mongo.database", f"{mongo.database!r} is no name of a database")
    yield from _account("mongo", mongo.user, mongo.password_file, mongo.ca_file)
    yield from _plaintext("mongo", mongo, {f"mongo.hosts[{i}]": text for i, text in enumerate(mongo.hosts)})
    if mongo.password_file and not mongo.user:
        yield Conflict("mongo.user", "is empty, but there is a password_file", ("mongo.password_file",))


def _redis(redis: Redis) -> Iterator[Conflict]:
    yield from _host("redis.address", redis.address)
    yield from _account("redis", redis.user, redis.password_file, redis.ca_file)
    yield from _plaintext("redis", redis, {"redis.address": redis.address})


def _sql(sql: Sql) -> Iterator[Conflict]:
    yield from _host("sql.address", sql.address)
    if not _NAME.match(sql.database):
        yield Conflict("sql.database", f"{sql.database!r} is no name of a database")
    if not sql.user:
        yield Conflict("sql.user", "is empty; expected the account that owns the database")
    yield from _account("sql", sql.user, sql.password_file, sql.ca_file)
    yield from _plaintext("sql", sql, {"sql.address": sql.address})
