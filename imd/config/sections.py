"""Every key of the configuration, typed, with its default and its reason.

A section is a frozen struct; services never see one: ``roles`` hands them plain values. The
docstring below each attribute is what ``imd.config.reference`` prints above the key.
"""

from __future__ import annotations

from msgspec import Struct, field

KIB = 1024


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all sections: immutable, and an unknown key is an error.

    Each section says ``frozen`` again, for type checkers; msgspec inherits it.
    """


class Listen(Section, frozen=True):
    """Where the server listens. Empty means: not at all. Loopback unless you say otherwise."""

    tcp: str = "127.0.0.1:7700"
    """Native clients: length-prefixed protobuf."""
    tls: str = ""
    """The same over TLS; needs [tls]."""
    http: str = "127.0.0.1:7780"
    """REST under /api/v1 and WebSocket at /ws."""
    https: str = ""
    """The same over TLS; needs [tls]."""
    allow_public_plaintext: bool = False
    """Permit tcp and http on an address that others can reach, without TLS (behind a proxy that adds it)."""


class Tls(Section, frozen=True):
    """Certificate for tls and https; TLS 1.2 and newer."""

    certificate_file: str = ""
    """PEM: the server's certificate, then the chain."""
    private_key_file: str = ""
    """PEM."""


class Gateway(Section, frozen=True):
    """Connections (spec 8, 18.1)."""

    max_connections: int = 25_000
    max_unauthenticated_share: float = 0.2
    """Of max_connections; strangers cannot fill the server."""
    max_devices_per_user: int = 10
    auth_timeout_s: float = 10.0
    heartbeat_interval_s: float = 30.0
    idle_timeout_s: float = 90.0
    frame_timeout_s: float = 10.0
    """A frame that was begun must be complete by then."""
    token_grace_s: float = 60.0
    """A live connection outlasts its token by so much, so that a refresh under way is not cut off."""
    text_bytes: int = 32 * KIB
    binary_bytes: int = 256 * KIB
    queue_messages: int = 100
    """Queued for one slow connection; above, the queue is dropped and the client told to resync."""
    queue_bytes: int = 1024 * KIB
    flush_interval_ms: float = 2.0
    """Write coalescing window; nothing waits when nothing else is pending."""
    drain_timeout_s: float = 120.0
    """On stop: how long clients have to leave by themselves."""
    drain_remaining_share: float = 0.1
    """On stop: do not wait for these last ones."""
    origins: list[str] = field(default_factory=list)
    """Web pages that may open /ws, such as "https://chat.example.com". Empty: only pages from this very host."""
    websocket_deflate: bool = False
    """permessage-deflate; off, because the WebSocket library cuts some oversized inflated messages silently."""


class Limits(Section, frozen=True):
    """Rates (spec 18.5). A rate of 0 switches that limit off."""

    user_text_per_min: float = 30
    user_media_per_min: float = 10
    user_burst: float = 30
    conversation_per_s: float = 500
    device_frames_per_s: float = 100
    """All frames of one connection, not only messages."""
    ip_frames_per_s: float = 2000
    """All connections of one address together; many people may share one."""
    ip_connects_per_s: float = 200
    logins_per_min: float = 10
    """For one account and address; then 1005 with a time to wait."""
    registrations_per_hour_per_ip: float = 20
    user_requests_per_s: float = 10
    """REST requests of one user, on all devices; ten seconds' worth at once."""


class Messages(Section, frozen=True):
    """The pipeline (spec 5, 9, 18.3)."""

    batch_size: int = 200
    """Most messages in one commit."""
    queue_size: int = 20_000
    """Messages admitted and not stored yet, on this node; water marks at 70, 85 and 95 %."""
    recall_window_s: float = 120.0
    hint_members_online: int = 1000
    """Above so many online members: hint and pull."""
    hint_body_bytes: int = 10 * KIB
    """A larger message goes as a hint, except in 1:1 conversations and small groups."""
    hint_fanout_ms: float = 200.0
    """A fan-out slower than this switches the conversation to hints for a minute."""
    small_group_members: int = 100
    receipts_max_members: int = 500
    """Larger groups get no receipts pushed."""
    sweep_interval_s: float = 20.0
    """How often the store is asked for tails that were never fanned out."""


class Presence(Section, frozen=True):
    """Who is online (spec 7.5)."""

    merge_window_s: float = 3.0
    """Going and coming within this window is told to nobody."""
    max_watched: int = 500


class Accounts(Section, frozen=True):
    """People and their tokens (spec 24.4)."""

    registration: bool = True
    """Whether anybody may register by REST."""
    token_ttl_s: int = 3600
    refresh_below_s: int = 900
    """A token may be refreshed once so little of it is left."""
    login_ttl_s: int = 7 * 24 * 3600
    """After so long even refreshing ends, and the password is asked again."""
    password_min_length: int = 8
    hash_threads: int = 2
    """argon2 costs about 64 MiB and 100 ms a time; so many at once."""
    hash_queue: int = 50
    group_max_members: int = 10_000
    groups_per_user: int = 500


class Config(Section, frozen=True):
    """The whole file of `twistd im`."""

    data_dir: str = "imd-data"
    """Databases and generated secrets; made at first start, mode 0700."""
    node_id: int = 0
    """Different on every node."""
    listen: Listen = Listen()
    tls: Tls = Tls()
    gateway: Gateway = Gateway()
    limits: Limits = Limits()
    messages: Messages = Messages()
    presence: Presence = Presence()
    accounts: Accounts = Accounts()
