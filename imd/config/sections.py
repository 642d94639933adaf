"""Every key of the configuration, typed, with its default and its reason.

A section is a frozen struct; services never see one: ``roles`` hands them plain values. The
docstring below each attribute is what ``imd.config.reference`` prints above the key. A role's file has
the sections and keys that the role uses, and no others: a key without effect would be a trap.
"""

from __future__ import annotations

from msgspec import field

from imd.config.engines import Mongo, Nats, Redis, Sql
from imd.config.log import Log
from imd.config.manhole import Manhole
from imd.config.metrics import AdminMetrics, BusinessMetrics, CoreMetrics, Metrics
from imd.config.permission import Permission
from imd.config.policy import BusinessWebhook, Content, CoreWebhook, Webhook
from imd.config.quotas import Quotas
from imd.config.section import KIB, Section
from imd.config.tracing import SpanExport, Tracing


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
    trusted_proxies: list[str] = field(default_factory=list)
    """Networks of your own proxies. Connections from there must begin with a PROXY header (version 1 or 2) on tcp and tls,
    and are believed in forwarded_header on http and https; from elsewhere nothing of the kind is believed."""
    forwarded_header: str = "X-Forwarded-For"
    """The one that your proxies set: X-Forwarded-For or Forwarded. The other one is whatever a client wrote."""


class CoreListen(Section, frozen=True):
    """Where the node listens. Empty means: not at all. Loopback unless you say otherwise."""

    tcp: str = "127.0.0.1:7700"
    """Native clients: length-prefixed protobuf."""
    tls: str = ""
    """The same over TLS; needs [tls]."""
    http: str = "127.0.0.1:7780"
    """WebSocket at /ws, /healthz, /readyz, and nothing else: REST is on the HTTP port of im-business. A proxy
    in front sends /ws here and /api there, or clients learn both addresses (GET /api/v1/gateways)."""
    https: str = ""
    """The same over TLS; needs [tls]."""
    allow_public_plaintext: bool = False
    """Permit tcp and http on an address that others can reach, without TLS (behind a proxy that adds it)."""
    trusted_proxies: list[str] = field(default_factory=list)
    """Networks of your own proxies. Connections from there must begin with a PROXY header (version 1 or 2) on tcp and tls,
    and are believed in forwarded_header on http and https; from elsewhere nothing of the kind is believed."""
    forwarded_header: str = "X-Forwarded-For"
    """The one that your proxies set: X-Forwarded-For or Forwarded. The other one is whatever a client wrote."""
    reuse_port: bool = False
    """Let several nodes of this machine share these ports (SO_REUSEPORT); the kernel deals out connections, and
    any of the nodes answers /readyz. `twistd im-core --workers N` sets it by itself."""


class BusinessListen(Section, frozen=True):
    """Where the node listens. Empty means: not at all. Loopback unless you say otherwise."""

    http: str = "127.0.0.1:7790"
    """REST under /api/v1, /healthz, /readyz; no WebSocket: that is on the HTTP port of im-core."""
    https: str = ""
    """The same over TLS; needs [tls]."""
    allow_public_plaintext: bool = False
    """Permit http on an address that others can reach, without TLS (behind a proxy that adds it)."""
    trusted_proxies: list[str] = field(default_factory=list)
    """Networks of your own proxies: these are believed in forwarded_header, others are not."""
    forwarded_header: str = "X-Forwarded-For"
    """The one that your proxies set: X-Forwarded-For or Forwarded. The other one is whatever a client wrote."""


class AdminListen(Section, frozen=True):
    """Where the node listens. Empty means: not at all. Loopback unless you say otherwise."""

    http: str = "127.0.0.1:7795"
    """For operators: /api/v1/settings, /api/v1/operators, /healthz, /readyz."""
    https: str = ""
    """The same over TLS; needs [tls]."""
    allow_public_plaintext: bool = False
    """Permit http on an address that others can reach, without TLS (behind a proxy that adds it)."""


class Tls(Section, frozen=True):
    """Certificate for tls and https; TLS 1.2 and newer."""

    certificate_file: str = ""
    """PEM: the server's certificate, then the chain."""
    private_key_file: str = ""
    """PEM."""


class Access(Section, frozen=True):
    """Who may come, and with how many devices."""

    max_devices_per_user: int = 10
    origins: list[str] = field(default_factory=list)
    """Web pages that may open /ws and use REST, such as "https://chat.example.com". Empty: only pages from this
    very host."""


class Gateway(Access, frozen=True):
    """Connections (spec 8, 18.1)."""

    max_connections: int = 25_000
    max_unauthenticated_share: float = 0.2
    """Of max_connections; strangers cannot fill the server."""
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
    websocket_deflate: bool = False
    """permessage-deflate; off, because the WebSocket library cuts some oversized inflated messages silently."""


class CoreLimits(Section, frozen=True):
    """Rates (spec 18.5): of users and conversations over all nodes, the others each node for itself.
    A rate of 0 switches that limit off."""

    user_text_per_min: float = 30
    user_media_per_min: float = 10
    user_burst: float = 30
    conversation_per_s: float = 500
    device_frames_per_s: float = 100
    """All frames of one connection, not only messages."""
    ip_frames_per_s: float = 2000
    """All connections of one address together; many people may share one."""
    ip_connects_per_s: float = 200


class BusinessLimits(Section, frozen=True):
    """Rates (spec 18.5), each node for itself. A rate of 0 switches that limit off."""

    logins_per_min: float = 10
    """For one account and address; then 1005 with a time to wait."""
    registrations_per_hour_per_ip: float = 20
    user_requests_per_s: float = 10
    """REST requests of one user, on all devices; ten seconds' worth at once."""


class Limits(CoreLimits, frozen=True):
    """Rates (spec 18.5). A rate of 0 switches that limit off."""

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
    device_failures: int = 15
    """So many wrong passwords from one device at one address, within device_window_s, keep it out for
    device_ban_s, unless somebody is logged in on it. 0: none is kept out."""
    device_window_s: int = 900
    device_ban_s: int = 24 * 3600
    group_max_members: int = 10_000
    groups_per_user: int = 500


class Audit(Section, frozen=True):
    """What is kept of who did what (GET /api/v1/operator/audit)."""

    keep_days: int = 180
    """Events older than this are dropped; 0: none are."""


class LoginPolicy(Section, frozen=True):
    """On how many devices of a kind somebody may be logged in at once: "1 kick" ends the login that was idle for
    longest when there is one more, "2 refuse" lets no further one in. Empty: only max_devices_per_user of [gateway]
    counts. The kind is the first word of what a device calls its platform."""

    mobile: str = ""
    """ios, iphone, ipad, android, harmony, mobile"""
    desktop: str = ""
    """windows, macos, linux, desktop, terminal"""
    web: str = ""
    """web, browser, miniprogram"""
    other: str = ""
    """All the rest."""


class Node(Section, frozen=True):
    """How this node stands among the others (spec 7)."""

    zone: str = ""
    """Where it is; clients of the same zone are sent here first."""
    heartbeat_interval_s: float = 5.0
    """How often it tells the registry that it is alive."""
    missed_heartbeats: int = 3
    """After so many the others take its shards."""
    route_ttl_s: float = 120.0
    """A route that nobody refreshes is forgotten by then; refreshed three times as often."""
    route_cache_users: int = 1000
    """Routes kept at hand, of so many users."""
    route_cache_ttl_s: float = 30.0
    route_audit_interval_s: float = 600.0
    """How often routes are compared with the connections that are really here, and repaired."""
    public_tcp: str = ""
    """HOST:PORT at which clients reach tcp of [listen], as they are told by GET /api/v1/gateways. Empty: as in
    [listen], if that is one address and not all of the machine's."""
    public_tls: str = ""
    """The same for tls."""
    public_ws: str = ""
    """ws:// or wss:// URL of /ws, the same way."""
    version_labels: list[str] = field(default_factory=list)
    """Only clients that say one of these labels are sent here. Empty: all."""
    weight: int = 100
    """New clients are dealt out in proportion to it; 0: none come here by discovery."""


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
    quotas: Quotas = Quotas()
    messages: Messages = Messages()
    permission: Permission = Permission()
    presence: Presence = Presence()
    accounts: Accounts = Accounts()
    audit: Audit = Audit()
    login_policy: LoginPolicy = LoginPolicy()
    content: Content = Content()
    webhook: Webhook = Webhook()
    log: Log = Log()
    metrics: Metrics = Metrics()
    tracing: Tracing = Tracing()
    manhole: Manhole = Manhole()


class CoreConfig(Section, frozen=True):
    """The whole file of `twistd im-core`."""

    node_id: int = 0
    """Different on every im-core, whatever the machine; worker n of --workers N has node_id + n."""
    settings_dir: str = "."
    """Where the node keeps the settings of im-admin that it took last, in a file of its own, for a start at which
    nobody can be asked."""
    record_dir: str = "."
    """Where the node remembers for about a day what it did with messages, for `imctl explain`: in a folder of its own,
    at most 208 MB. Where that cannot be written, and with "", in memory, and a tenth of it."""
    listen: CoreListen = CoreListen()
    tls: Tls = Tls()
    gateway: Gateway = Gateway()
    limits: CoreLimits = CoreLimits()
    quotas: Quotas = Quotas()
    messages: Messages = Messages()
    permission: Permission = Permission()
    presence: Presence = Presence()
    content: Content = Content()
    webhook: CoreWebhook = CoreWebhook()
    node: Node = Node()
    nats: Nats = Nats()
    mongo: Mongo = Mongo()
    redis: Redis = Redis()
    log: Log = Log()
    metrics: CoreMetrics = CoreMetrics()
    tracing: Tracing = Tracing()
    manhole: Manhole = Manhole()


class BusinessConfig(Section, frozen=True):
    """The whole file of `twistd im-business`."""

    node_id: int = 0
    """Different on every im-business."""
    token_secret_file: str = ""
    """Signs tokens: the same 32 bytes or more on every im-business, mode 0600. Make one with
    `(umask 077; openssl rand -hex 32 > token.key)`; moving from `twistd im`, take secrets/token.key of its data
    folder, so that everybody stays logged in."""
    operator_token_file: str = "im-business.token"
    """Holds the token that operators' requests to /api/v1/operator carry; made at first start, mode 0600. Give
    the same file to every im-business, or each has a token of its own."""
    settings_dir: str = "."
    """Where the node keeps the settings of im-admin that it took last, in a file of its own, for a start at which
    nobody can be asked."""
    listen: BusinessListen = BusinessListen()
    tls: Tls = Tls()
    gateway: Access = Access()
    limits: BusinessLimits = BusinessLimits()
    accounts: Accounts = Accounts()
    audit: Audit = Audit()
    login_policy: LoginPolicy = LoginPolicy()
    webhook: BusinessWebhook = BusinessWebhook()
    nats: Nats = Nats()
    sql: Sql = Sql()
    log: Log = Log()
    metrics: BusinessMetrics = BusinessMetrics()
    tracing: SpanExport = SpanExport()
    manhole: Manhole = Manhole()


class AdminConfig(Section, frozen=True):
    """The whole file of `twistd im-admin`."""

    node_id: int = 0
    """Different on every im-admin."""
    settings_dir: str = "."
    """Where the node keeps the settings that it took last, in a file of its own, for a start at which
    nobody can be asked."""
    bootstrap_token_file: str = "im-admin.token"
    """Holds the token that an operator's requests carry; made at first start, mode 0600."""
    listen: AdminListen = AdminListen()
    tls: Tls = Tls()
    nats: Nats = Nats()
    sql: Sql = Sql()
    log: Log = Log()
    metrics: AdminMetrics = AdminMetrics()
    manhole: Manhole = Manhole()
