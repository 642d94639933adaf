"""Accounts, logins, and how people stand to each other."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, SmallInteger, String, Table, UniqueConstraint

from imd.business.tables.base import SCHEMA
from imd.storage.sql import MYSQL_TABLE, Id

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
    Column("about", String(256), nullable=False, server_default=""),
    Column("avatar_url", String(512), nullable=False, server_default=""),
    # Who may write to, add, see and find this user; 0 is everyone, as before there was a choice.
    Column("message_from", SmallInteger, nullable=False, server_default="0"),
    Column("add_from", SmallInteger, nullable=False, server_default="0"),
    Column("presence_to", SmallInteger, nullable=False, server_default="0"),
    Column("findable", SmallInteger, nullable=False, server_default="1"),
    # For policies that are let loose by user level.
    Column("level", SmallInteger, nullable=False, server_default="0"),
    # When the status became what it is, and why.
    Column("status_at_ms", Id, nullable=False, server_default="0"),
    Column("status_reason", String(200), nullable=False, server_default=""),
    # Rises with every change of the user's friends; an epoch begins anew where versions went back. What ended up to
    # the floor is forgotten. The last is the version at which friend groups were changed.
    Column("friends_version", Id, nullable=False, server_default="0"),
    Column("friends_epoch", Id, nullable=False, server_default="0"),
    Column("friends_floor", Id, nullable=False, server_default="0"),
    Column("friend_groups_version", Id, nullable=False, server_default="0"),
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
    # Where it was given from; see ``attempts.address_key``.
    Column("address_key", String(64), nullable=False, server_default=""),
    Index(None, "device_id"),
    **MYSQL_TABLE,
)

# One row for each side. Ended ones stay for a while, so that a device that was away hears of the end.
friends = Table(
    "friends",
    SCHEMA,
    Column("user_id", Id, ForeignKey("users.id"), primary_key=True),
    Column("friend_id", Id, ForeignKey("users.id"), primary_key=True),
    Column("remark", String(64), nullable=False),
    # 0: in none of the user's friend groups.
    Column("friend_group_id", Id, nullable=False),
    Column("created_at_ms", Id, nullable=False),
    Column("ended_at_ms", Id, nullable=False),
    # users.friends_version at the last change of this row.
    Column("version", Id, nullable=False),
    Index(None, "user_id", "version"),
    Index(None, "friend_id"),
    sqlite_with_rowid=False,
    **MYSQL_TABLE,
)

friend_groups = Table(
    "friend_groups",
    SCHEMA,
    Column("user_id", Id, ForeignKey("users.id"), primary_key=True),
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("name", String(64), nullable=False),
    Column("position", Integer, nullable=False),
    sqlite_with_rowid=False,
    **MYSQL_TABLE,
)

# The last request of one to another.
friend_requests = Table(
    "friend_requests",
    SCHEMA,
    Column("from_user", Id, ForeignKey("users.id"), primary_key=True),
    Column("to_user", Id, ForeignKey("users.id"), primary_key=True),
    Column("state", SmallInteger, nullable=False),
    Column("message", String(200), nullable=False),
    Column("created_at_ms", Id, nullable=False),
    Column("decided_at_ms", Id, nullable=False),
    Index(None, "from_user", "state"),
    Index(None, "to_user", "state"),
    sqlite_with_rowid=False,
    **MYSQL_TABLE,
)

blocks = Table(
    "blocks",
    SCHEMA,
    Column("user_id", Id, ForeignKey("users.id"), primary_key=True),
    Column("blocked_id", Id, ForeignKey("users.id"), primary_key=True),
    Column("created_at_ms", Id, nullable=False),
    Index(None, "blocked_id"),
    sqlite_with_rowid=False,
    **MYSQL_TABLE,
)

# Devices that are kept out for a while, each with the address from which it was tried.
device_bans = Table(
    "device_bans",
    SCHEMA,
    Column("device_id", String(64), primary_key=True),
    Column("address_key", String(64), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("first_failure_at_ms", Id, nullable=False),
    Column("banned_until_ms", Id, nullable=False),
    Index(None, "first_failure_at_ms"),
    **MYSQL_TABLE,
)

# The version rises when what the two may do to each other changes.
direct_conversations = Table(
    "direct_conversations",
    SCHEMA,
    Column("id", String(40), primary_key=True),
    Column("user_low", Id, ForeignKey("users.id"), nullable=False),
    Column("user_high", Id, ForeignKey("users.id"), nullable=False),
    Column("created_at_ms", Id, nullable=False),
    Column("version", Id, nullable=False, server_default="1"),
    UniqueConstraint("user_low", "user_high"),
    Index(None, "user_high"),
    **MYSQL_TABLE,
)
