"""What each number of the configuration may be, and what must hold between keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from imd.config.address import EXPECTED, Address, parse_address
from imd.config.sections import KIB, Accounts, Config, Gateway, Listen, Tls

DAY_S = 24 * 3600


#: A bound against slips of the keyboard only; not worth a word.
PLENTY = 1_000_000_000


class Range(NamedTuple):
    """From ``low`` to ``high``, both allowed."""

    low: float
    high: float = PLENTY

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high

    def __str__(self) -> str:
        if self.high >= PLENTY:
            return f"{_number(self.low)} or more"
        return f"{_number(self.low)} to {_number(self.high)}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


_RATE = Range(0)
_SHARE = Range(0, 1)

#: Every number has one; a test sees to it.
BOUNDS = {
    "node_id": Range(0, 1023),
    "gateway.max_connections": Range(1),
    "gateway.max_unauthenticated_share": Range(0.001, 1),
    "gateway.max_devices_per_user": Range(1, 1000),
    "gateway.auth_timeout_s": Range(0.1, 300),
    "gateway.heartbeat_interval_s": Range(0.1, 3600),
    "gateway.idle_timeout_s": Range(0.1, DAY_S),
    "gateway.frame_timeout_s": Range(0.1, 300),
    "gateway.token_grace_s": Range(0, 3600),
    "gateway.text_bytes": Range(1, 256 * KIB),
    "gateway.binary_bytes": Range(1, 256 * KIB),
    "gateway.queue_messages": Range(1),
    "gateway.queue_bytes": Range(KIB),
    "gateway.flush_interval_ms": Range(0, 1000),
    "gateway.drain_timeout_s": Range(0, 3600),
    "gateway.drain_remaining_share": _SHARE,
    "limits.user_text_per_min": _RATE,
    "limits.user_media_per_min": _RATE,
    "limits.user_burst": Range(1),
    "limits.conversation_per_s": _RATE,
    "limits.device_frames_per_s": _RATE,
    "limits.ip_frames_per_s": _RATE,
    "limits.ip_connects_per_s": _RATE,
    "limits.logins_per_min": _RATE,
    "limits.registrations_per_hour_per_ip": _RATE,
    "limits.user_requests_per_s": _RATE,
    "messages.batch_size": Range(1, 10_000),
    "messages.queue_size": Range(1),
    "messages.recall_window_s": Range(0),
    "messages.hint_members_online": Range(1),
    "messages.hint_body_bytes": Range(0, 256 * KIB),
    "messages.hint_fanout_ms": Range(1, 60_000),
    "messages.small_group_members": Range(2, 100_000),
    "messages.receipts_max_members": Range(0, 100_000),
    "messages.sweep_interval_s": Range(0.1, 3600),
    "presence.merge_window_s": Range(0, 60),
    "presence.max_watched": Range(1, 100_000),
    "accounts.token_ttl_s": Range(1, DAY_S),
    "accounts.refresh_below_s": Range(1, DAY_S),
    "accounts.login_ttl_s": Range(1),
    "accounts.password_min_length": Range(1, 128),
    "accounts.hash_threads": Range(1, 64),
    "accounts.hash_queue": Range(1, 100_000),
    # All members of a conversation travel in one answer on the bus, 12 bytes each of 1 MB.
    "accounts.group_max_members": Range(2, 50_000),
    "accounts.groups_per_user": Range(1),
}

#: Plain listeners, and what to use instead.
_ENCRYPTED = {"tcp": "listen.tls", "http": "listen.https"}
_ORIGIN = re.compile(r"https?://[^/\s?#@]+\Z")


class Conflict(NamedTuple):
    """``text`` is what is wrong with ``path``; it also depends on the keys in ``given``."""

    path: str
    text: str
    given: tuple[str, ...] = ()


def conflicts(config: Config) -> Iterator[Conflict]:
    """What types and bounds cannot say. Reads the certificate files; touches nothing else."""
    if not config.data_dir.strip():
        yield Conflict("data_dir", "is empty; expected a folder")
    yield from _listen(config.listen)
    yield from _tls(config.listen, config.tls)
    yield from _gateway(config.gateway)
    yield from _accounts(config.accounts)


def _listen(listen: Listen) -> Iterator[Conflict]:
    taken: dict[Address, str] = {}
    for name in ("tcp", "tls", "http", "https"):
        path, text = f"listen.{name}", getattr(listen, name)
        if not text:
            continue
        try:
            address = parse_address(text)
        except ValueError as error:
            yield Conflict(path, f"{error}; expected {EXPECTED}")
            continue
        if address.port and address in taken:
            yield Conflict(path, f"{address} is taken by {taken[address]}", (taken[address],))
        taken[address] = path
        if name in _ENCRYPTED and address.is_public and not listen.allow_public_plaintext:
            yield Conflict(
                path,
                f"{address} can be reached by others and is not encrypted; use {_ENCRYPTED[name]} "
                "with a certificate, or set listen.allow_public_plaintext if a proxy adds TLS",
                ("listen.allow_public_plaintext",),
            )
    if not (listen.tcp or listen.tls or listen.http or listen.https):
        yield Conflict(
            "listen", "listens nowhere; expected at least one of tcp, tls, http, https", ("listen.tcp",)
        )


def _tls(listen: Listen, tls: Tls) -> Iterator[Conflict]:
    secure = tuple(f"listen.{name}" for name in ("tls", "https") if getattr(listen, name))
    for path, file in (
        ("tls.certificate_file", tls.certificate_file),
        ("tls.private_key_file", tls.private_key_file),
    ):
        if file:
            try:
                with Path(file).open("rb") as opened:
                    opened.read(1)
            except OSError as error:
                yield Conflict(path, f"cannot read {file}: {error.strerror}; expected a PEM file")
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
    for index, origin in enumerate(gateway.origins):
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
