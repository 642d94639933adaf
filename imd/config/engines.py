"""Sections of the servers that the roles stand on: NATS, MongoDB, Redis, MySQL or MariaDB.

Each is reached as ``user`` with the password in ``password_file``. TLS is on where ``ca_file`` names whom to
trust; the server's certificate must then be for the name by which it is called here.
"""

from __future__ import annotations

from msgspec import field

from imd.config.section import Section


class Nats(Section, frozen=True):
    """The bus between the roles: NATS with JetStream (etc/nats.conf). The same for all nodes."""

    servers: list[str] = field(default_factory=lambda: ["nats://127.0.0.1:4222"])
    """All servers of the cluster, as nats://HOST:PORT or tls://HOST:PORT."""
    user: str = ""
    """The role's account. Empty: no authentication."""
    password_file: str = ""
    """Only its owner and group may read it; a line end at its end does not count."""
    ca_file: str = ""
    """PEM: trusted to sign the servers' certificates; switches TLS on. Empty with tls://: the system's."""
    allow_plaintext: bool = False
    """Permit another machine without TLS, or without a password (on a network that nobody else is on)."""
    certificate_file: str = ""
    """PEM: this node's own certificate, where the servers ask for one."""
    private_key_file: str = ""
    """PEM: its key."""
    replicas: int = 1
    """Copies of each durable event; 3 where NATS has three servers."""


class Mongo(Section, frozen=True):
    """Messages and read cursors: MongoDB, as a replica set (spec 9.6). The same for all nodes."""

    hosts: list[str] = field(default_factory=lambda: ["127.0.0.1:27017"])
    """Members of the replica set, HOST:PORT, by the names that the set itself uses."""
    replica_set: str = "imd"
    """Its name. Empty: one server without replication; STORED then does not outlive that server."""
    database: str = "imd"
    """Also where the user is defined."""
    user: str = ""
    """Made with mechanisms: ["SCRAM-SHA-1"]. Empty: no authentication."""
    password_file: str = ""
    """Only its owner and group may read it; a line end at its end does not count."""
    ca_file: str = ""
    """PEM: trusted to sign the servers' certificates; switches TLS on."""
    allow_plaintext: bool = False
    """Permit another machine without TLS, or without a password (on a network that nobody else is on)."""
    message_collections: int = 4
    """Over so many collections messages are spread; each takes one write of a node at a time. A command costs as
    much as thirty messages in it, so few of them are cheaper than many. Cannot be changed once there are messages."""
    pool_size: int = 16
    """Connections of this node; each does one thing at a time."""
    timeout_s: float = 5.0
    """A call takes no longer; a write is then in doubt, and settled later."""
    hot_days: int = 30
    """Older messages are moved to the archive, a collection a month."""
    archive_days: int = 180
    """Archived messages are deleted after so long; 0: never."""


class Redis(Section, frozen=True):
    """Nodes, shard leases, routes, presence, caches: Redis. Losing it costs speed, never messages. The same for
    all nodes."""

    address: str = "127.0.0.1:6379"
    """HOST:PORT."""
    user: str = ""
    """Empty: the default user."""
    password_file: str = ""
    """Only its owner and group may read it; a line end at its end does not count. Empty: no authentication."""
    ca_file: str = ""
    """PEM: trusted to sign the server's certificate; switches TLS on."""
    allow_plaintext: bool = False
    """Permit another machine without TLS, or without a password (on a network that nobody else is on)."""
    database: int = 0
    timeout_ms: float = 50.0
    """A question takes no longer; the node then goes on with what it knows."""


class Sql(Section, frozen=True):
    """Accounts, groups and settings: MySQL 8 or MariaDB 10.6, and newer. The same for all nodes of a role."""

    address: str = "127.0.0.1:3306"
    """HOST:PORT."""
    database: str = "imd"
    """Must be there, with character set utf8mb4; its tables are made and upgraded at start."""
    user: str = "imd"
    password_file: str = ""
    """Only its owner and group may read it; a line end at its end does not count. Empty: no password."""
    ca_file: str = ""
    """PEM: trusted to sign the server's certificate; switches TLS on."""
    allow_plaintext: bool = False
    """Permit another machine without TLS, or without a password (on a network that nobody else is on)."""
    pool_size: int = 8
    """Connections of this node, each with a thread."""
    timeout_s: float = 10.0
    """A transaction takes no longer."""
