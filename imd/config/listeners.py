"""Every address on which a role can listen, and under which key: docs/ports.rst is held to this table by a test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from imd.config.section import Section

_PLAINTEXT = "listen.allow_public_plaintext"


class Listener(NamedTuple):
    """What may stand in one key of a role."""

    path: str
    protocol: str
    #: Who connects there.
    peers: str
    tls: bool
    #: The key that permits an address which others can reach; empty: none is needed.
    permitted_by: str = ""


_CLIENTS = "native clients"
_BROWSERS = "web clients, users' REST, probes, proxies"

LISTENERS: tuple[Listener, ...] = (
    Listener("listen.tcp", "varint-framed protobuf", _CLIENTS, tls=False, permitted_by=_PLAINTEXT),
    Listener("listen.tls", "varint-framed protobuf", _CLIENTS, tls=True),
    Listener("listen.http", "HTTP/1.1; at /ws WebSocket", _BROWSERS, tls=False, permitted_by=_PLAINTEXT),
    Listener("listen.https", "HTTP/1.1; at /ws WebSocket", _BROWSERS, tls=True),
    Listener(
        "metrics.listen", "HTTP/1.1; /metrics", "Prometheus", tls=False, permitted_by="metrics.allow_public"
    ),
    # A port of this machine or a unix socket; SSH encrypts by itself.
    Listener("manhole.listen", "SSH", "operators, by key", tls=True),
)


def listeners_of(config: Section) -> Iterator[tuple[Listener, str]]:
    """Those that this configuration opens at an address, each with that as it is written there."""
    for listener in LISTENERS:
        text = value_at(config, listener.path)
        if text and "/" not in text:
            yield listener, text


def value_at(config: Section, path: str) -> Any:
    """What stands in a key, or None if this role has no such key."""
    found: Any = config
    for name in path.split("."):
        found = getattr(found, name, None)
    return found
