"""What must hold between keys, and of the files and addresses that they name."""

from __future__ import annotations

import re
from collections.abc import Iterator

from imd.config.conflict import Conflict
from imd.config.engine_conflicts import host_conflicts, of_mongo, of_nats, of_redis, of_sql
from imd.config.file_conflicts import private_key, readable
from imd.config.listen_conflicts import AnyListen, listeners_of, of_listen, of_shared_ports
from imd.config.log import of_log
from imd.config.login_limits import EXPECTED_LIMIT, LOGIN_KINDS, parse_limit
from imd.config.manhole import of_manhole
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
_WEBSOCKET = re.compile(r"wss?://[^/\s?#@]+(/[^\s?#]*)?\Z")


def conflicts(config: Section) -> Iterator[Conflict]:
    """What types and bounds cannot say. Reads certificates and secrets; touches nothing else."""
    if isinstance(config, Config | CoreConfig | BusinessConfig | AdminConfig):
        yield from of_log(config.log)
        listeners = {f"listen.{name}": text for name, text in listeners_of(config.listen).items()}
        yield from of_metrics(config.metrics, listeners)
        shares_ports = isinstance(config, CoreConfig) and config.listen.reuse_port
        yield from of_manhole(config.manhole, node_id=config.node_id, shares_ports=shares_ports)
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
        yield from of_nats(config.nats)
        yield from of_mongo(config.mongo)
        yield from of_redis(config.redis)
    elif isinstance(config, BusinessConfig):
        yield from _token_secret(config.token_secret_file)
        if not config.operator_token_file.strip():
            yield Conflict("operator_token_file", "is empty; expected a file, made at first start")
        yield from _of_clients(config.listen, config.tls)
        yield from _access(config.gateway)
        yield from _accounts(config.accounts)
        yield from _login_policy(config.login_policy)
        yield from of_webhook(config.webhook)
        yield from of_nats(config.nats)
        yield from of_sql(config.sql)
    else:
        if not config.bootstrap_token_file.strip():
            yield Conflict("bootstrap_token_file", "is empty; expected a file, made at first start")
        yield from _of_clients(config.listen, config.tls)
        yield from of_nats(config.nats)
        yield from of_sql(config.sql)


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
            yield from readable(path, file)
            if path == "tls.private_key_file":
                yield from private_key(path, file)
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
            yield from host_conflicts(f"node.{name}", text)
    if node.public_ws and not _WEBSOCKET.match(node.public_ws):
        yield Conflict(
            "node.public_ws", f"{node.public_ws!r} is no address; expected such as wss://chat.example.com/ws"
        )
