"""What is held for review, what the outside is told, who did what."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.mysql import LONGBLOB, MEDIUMTEXT

from imd.business.tables.base import SCHEMA
from imd.storage.sql import MYSQL_TABLE, Id

# Messages that wait for a person's yes or no.
reviews = Table(
    "reviews",
    SCHEMA,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("conversation_id", String(64), nullable=False),
    Column("sender_id", Id, nullable=False),
    Column("client_msg_id", String(64), nullable=False),
    Column("device_id", String(64), nullable=False),
    Column("state", SmallInteger, nullable=False),
    # Why it is held.
    Column("reason", String(200), nullable=False),
    # A serialised im.v1.SendMessageReq, as it will be sent; the hash is of what the client sent.
    Column("request", LargeBinary().with_variant(LONGBLOB(), "mysql", "mariadb"), nullable=False),
    Column("content_hash", String(64), nullable=False),
    Column("created_at_ms", Id, nullable=False),
    Column("decided_at_ms", Id, nullable=False),
    Column("decided_by", String(64), nullable=False),
    Column("note", String(500), nullable=False),
    # Once it is delivered.
    Column("seq", Id, nullable=False),
    # When something has to be done about it: expire it, deliver it, tell its sender, forget it.
    Column("due_at_ms", Id, nullable=False),
    # Whether the sender was told how it ended.
    Column("told", SmallInteger, nullable=False),
    UniqueConstraint("conversation_id", "sender_id", "client_msg_id"),
    Index(None, "state", "id"),
    Index(None, "sender_id", "state"),
    Index(None, "due_at_ms"),
    **MYSQL_TABLE,
)

# Events on their way to the outside. Those of one key are sent in the order of their positions, then of their ids.
outbox = Table(
    "outbox",
    SCHEMA,
    Column("id", Id, primary_key=True, autoincrement=True),
    # Told to the receiver, who drops what it has seen.
    Column("event_id", String(128), nullable=False, unique=True),
    Column("order_key", String(80), nullable=False),
    # A message's seq; 0: as they come.
    Column("position", Id, nullable=False),
    Column("kind", String(64), nullable=False),
    Column("payload", Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb"), nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("last_error", String(200), nullable=False),
    Column("created_at_ms", Id, nullable=False),
    # When it was sent or given up.
    Column("settled_at_ms", Id, nullable=False),
    Index(None, "order_key", "state", "position", "id"),
    Index(None, "state", "id"),
    Index(None, "state", "settled_at_ms"),
    sqlite_autoincrement=True,
    **MYSQL_TABLE,
)

# One row for each key: when somebody has to look whether it has events, and who is sending them.
outbox_lines = Table(
    "outbox_lines",
    SCHEMA,
    Column("order_key", String(80), primary_key=True),
    # Sent so far; a position that does not follow waits a moment for the one before it.
    Column("last_position", Id, nullable=False),
    Column("due_at_ms", Id, nullable=False),
    Column("lease_owner", String(64), nullable=False),
    Column("lease_until_ms", Id, nullable=False),
    Column("touched_at_ms", Id, nullable=False),
    Index(None, "due_at_ms"),
    sqlite_with_rowid=False,
    **MYSQL_TABLE,
)

# Who did what: everything that was not a plain yes.
audit_events = Table(
    "audit_events",
    SCHEMA,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("event_id", String(64), nullable=False, unique=True),
    Column("at_ms", Id, nullable=False),
    Column("node", String(32), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("actor_id", Id, nullable=False),
    Column("subject_id", Id, nullable=False),
    Column("conversation_id", String(64), nullable=False),
    Column("action", String(64), nullable=False),
    Column("decision", String(32), nullable=False),
    Column("reason", String(64), nullable=False),
    Column("policy_version", Id, nullable=False),
    Column("level", SmallInteger, nullable=False),
    # JSON: whatever belongs to this action alone.
    Column("detail", Text, nullable=False),
    Index(None, "at_ms"),
    Index(None, "actor_id", "at_ms"),
    Index(None, "subject_id", "at_ms"),
    Index(None, "conversation_id", "at_ms"),
    sqlite_autoincrement=True,
    **MYSQL_TABLE,
)
