"""All tables of the business role, on one screen; versioned and migrated together."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import (
    Column,
    Engine,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
)

from imd.storage.sql import MYSQL_TABLE, Id, metadata
from imd.storage.sql_mysql import MysqlServer, open_mysql, open_mysql_for_upgrade
from imd.storage.sql_schema import UPGRADE_PATIENCE_S, Migrations, prepare_schema
from imd.storage.sql_sqlite import open_sqlite

SCHEMA = metadata()

#: A change of a table here is also a new step in migrations/versions, and its name the head.
MIGRATIONS = Migrations(folder=Path(__file__).parent / "migrations", first="0001", head="0001")

users = Table(
    "users",
    SCHEMA,
    Column("id", Id, primary_key=True, autoincrement=False),
    # Case-folded before it comes here, so the unique index is all that is needed.
    Column("handle", String(32), nullable=False, unique=True),
    Column("display_name", String(64), nullable=False),
    Column("password_hash", String(255), nullable=False),
    Column("status", SmallInteger, nullable=False),
    # Rises when every token of the user is to end at once.
    Column("token_version", Integer, nullable=False),
    Column("created_at_ms", Id, nullable=False),
    **MYSQL_TABLE,
)

logins = Table(
    "logins",
    SCHEMA,
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("device_id", String(64), primary_key=True),
    Column("login_id", String(32), nullable=False),
    Column("platform", String(32), nullable=False),
    # When the password was given.
    Column("created_at_ms", Id, nullable=False),
    Column("refreshed_at_ms", Id, nullable=False),
    **MYSQL_TABLE,
)

direct_conversations = Table(
    "direct_conversations",
    SCHEMA,
    Column("id", String(40), primary_key=True),
    Column("user_low", Id, ForeignKey("users.id"), nullable=False),
    Column("user_high", Id, ForeignKey("users.id"), nullable=False),
    Column("created_at_ms", Id, nullable=False),
    UniqueConstraint("user_low", "user_high"),
    Index(None, "user_high"),
    **MYSQL_TABLE,
)

# Dissolved groups stay, so that their version goes on rising and their id is never used again.
group_conversations = Table(
    "group_conversations",
    SCHEMA,
    Column("id", String(40), primary_key=True),
    Column("title", String(128), nullable=False),
    Column("version", Id, nullable=False),
    Column("member_count", Integer, nullable=False),
    Column("created_at_ms", Id, nullable=False),
    Column("dissolved_at_ms", Id, nullable=False),
    **MYSQL_TABLE,
)

group_members = Table(
    "group_members",
    SCHEMA,
    Column(
        "group_id", String(40), ForeignKey("group_conversations.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("user_id", Id, ForeignKey("users.id"), primary_key=True),
    Column("role", SmallInteger, nullable=False),
    Column("joined_at_ms", Id, nullable=False),
    Index(None, "user_id"),
    sqlite_with_rowid=False,
    **MYSQL_TABLE,
)


def open_business(path: Path | None) -> Engine:
    """The business database in a file, its tables made or brought up to date; None: in memory."""
    engine = open_sqlite(path)
    prepare_schema(engine, SCHEMA, name="business", migrations=MIGRATIONS)
    return engine


def open_business_on(server: MysqlServer, *, connections: int) -> Engine:
    """The business database on a server, its tables made or brought up to date; other nodes may do the same."""
    upgrading = open_mysql_for_upgrade(server, patience_s=UPGRADE_PATIENCE_S)
    try:
        prepare_schema(upgrading, SCHEMA, name="business", migrations=MIGRATIONS)
    finally:
        upgrading.dispose()
    return open_mysql(server, connections=connections)
