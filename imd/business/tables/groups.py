"""Groups, who is in them, who wants in, who may not."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, SmallInteger, String, Table

from imd.business.tables.base import SCHEMA
from imd.storage.sql import MYSQL_TABLE, Id

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
    # 1 normal, 2 managed, 3 public, 4 official.
    Column("kind", SmallInteger, nullable=False, server_default="1"),
    # Marked by an operator; kinds and sizes may make it sensitive as well.
    Column("sensitive", SmallInteger, nullable=False, server_default="0"),
    # How one gets in without being added: 1 by invitation, 2 by approval, 3 by a question, 4 freely.
    Column("join_policy", SmallInteger, nullable=False, server_default="1"),
    Column("question", String(200), nullable=False, server_default=""),
    Column("answer_hash", String(64), nullable=False, server_default=""),
    Column("members_invite", SmallInteger, nullable=False, server_default="0"),
    # Whoever is added must say yes first.
    Column("consent", SmallInteger, nullable=False, server_default="0"),
    # 1: a member sees what was said since they joined, and nothing from before.
    Column("history_from_join", SmallInteger, nullable=False, server_default="0"),
    Column("announcement", String(2000), nullable=False, server_default=""),
    Column("announced_by", Id, nullable=False, server_default="0"),
    Column("announced_at_ms", Id, nullable=False, server_default="0"),
    Column("all_muted_until_ms", Id, nullable=False, server_default="0"),
    Column("all_muted_at_ms", Id, nullable=False, server_default="0"),
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
    Column("nickname", String(64), nullable=False, server_default=""),
    Column("title", String(32), nullable=False, server_default=""),
    Column("muted_until_ms", Id, nullable=False, server_default="0"),
    Column("muted_at_ms", Id, nullable=False, server_default="0"),
    # What came before this seq is not shown to the member; 0: everything is.
    Column("visible_from_seq", Id, nullable=False, server_default="0"),
    # The member's own wishes, which change nobody's rights.
    Column("do_not_disturb", SmallInteger, nullable=False, server_default="0"),
    Column("pinned", SmallInteger, nullable=False, server_default="0"),
    Index(None, "user_id"),
    # For those who want to know all who are muted anywhere.
    Index(None, "muted_until_ms"),
    sqlite_with_rowid=False,
    **MYSQL_TABLE,
)

# Who is kept out of a group.
group_blacklist = Table(
    "group_blacklist",
    SCHEMA,
    Column(
        "group_id", String(40), ForeignKey("group_conversations.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("user_id", Id, ForeignKey("users.id"), primary_key=True),
    Column("by_user", Id, nullable=False),
    Column("reason", String(200), nullable=False),
    Column("created_at_ms", Id, nullable=False),
    sqlite_with_rowid=False,
    **MYSQL_TABLE,
)

# Who wants in, and who was asked in: one open case for each group and user.
group_admissions = Table(
    "group_admissions",
    SCHEMA,
    Column(
        "group_id", String(40), ForeignKey("group_conversations.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("user_id", Id, ForeignKey("users.id"), primary_key=True),
    # 1 the user applied, 2 the user was invited.
    Column("kind", SmallInteger, primary_key=True, autoincrement=False),
    Column("state", SmallInteger, nullable=False),
    Column("message", String(200), nullable=False),
    # Who invited, and who decided.
    Column("by_user", Id, nullable=False),
    Column("created_at_ms", Id, nullable=False),
    Column("decided_at_ms", Id, nullable=False),
    Index(None, "user_id", "kind", "state"),
    Index(None, "group_id", "kind", "state"),
    sqlite_with_rowid=False,
    **MYSQL_TABLE,
)

# Who was in a group until when, kept for a week: what was said in doubt is judged by what was true then.
group_departures = Table(
    "group_departures",
    SCHEMA,
    Column(
        "group_id", String(40), ForeignKey("group_conversations.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("user_id", Id, ForeignKey("users.id"), primary_key=True),
    Column("left_at_ms", Id, primary_key=True, autoincrement=False),
    Column("joined_at_ms", Id, nullable=False),
    Column("role", SmallInteger, nullable=False),
    # Who comes back while this lasts is still mute.
    Column("muted_until_ms", Id, nullable=False),
    Column("muted_at_ms", Id, nullable=False),
    Index(None, "left_at_ms"),
    sqlite_with_rowid=False,
    **MYSQL_TABLE,
)

# Mutes that are over, kept for a week for the same reason. User 0: all members.
group_past_mutes = Table(
    "group_past_mutes",
    SCHEMA,
    Column(
        "group_id", String(40), ForeignKey("group_conversations.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("user_id", Id, primary_key=True, autoincrement=False),
    Column("muted_at_ms", Id, primary_key=True, autoincrement=False),
    Column("ended_at_ms", Id, nullable=False),
    Index(None, "ended_at_ms"),
    sqlite_with_rowid=False,
    **MYSQL_TABLE,
)
