"""Kinds of groups and their rules, mutes, blacklists, admissions, departures."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MYSQL: Any = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    _rules()
    _members()
    _blacklist()
    _admissions()
    _departures()
    _past_mutes()


def _rules() -> None:
    op.add_column(
        "group_conversations", sa.Column("kind", sa.SmallInteger(), server_default="1", nullable=False)
    )
    op.add_column(
        "group_conversations", sa.Column("sensitive", sa.SmallInteger(), server_default="0", nullable=False)
    )
    op.add_column(
        "group_conversations", sa.Column("join_policy", sa.SmallInteger(), server_default="1", nullable=False)
    )
    op.add_column(
        "group_conversations", sa.Column("question", sa.String(200), server_default="", nullable=False)
    )
    op.add_column(
        "group_conversations", sa.Column("answer_hash", sa.String(64), server_default="", nullable=False)
    )
    op.add_column(
        "group_conversations",
        sa.Column("members_invite", sa.SmallInteger(), server_default="0", nullable=False),
    )
    op.add_column(
        "group_conversations", sa.Column("consent", sa.SmallInteger(), server_default="0", nullable=False)
    )
    op.add_column(
        "group_conversations",
        sa.Column("history_from_join", sa.SmallInteger(), server_default="0", nullable=False),
    )
    op.add_column(
        "group_conversations", sa.Column("announcement", sa.String(2000), server_default="", nullable=False)
    )
    op.add_column("group_conversations", sa.Column("announced_by", _ID, server_default="0", nullable=False))
    op.add_column(
        "group_conversations", sa.Column("announced_at_ms", _ID, server_default="0", nullable=False)
    )
    op.add_column(
        "group_conversations", sa.Column("all_muted_until_ms", _ID, server_default="0", nullable=False)
    )
    op.add_column(
        "group_conversations", sa.Column("all_muted_at_ms", _ID, server_default="0", nullable=False)
    )


def _members() -> None:
    op.add_column("group_members", sa.Column("nickname", sa.String(64), server_default="", nullable=False))
    op.add_column("group_members", sa.Column("title", sa.String(32), server_default="", nullable=False))
    op.add_column("group_members", sa.Column("muted_until_ms", _ID, server_default="0", nullable=False))
    op.add_column("group_members", sa.Column("muted_at_ms", _ID, server_default="0", nullable=False))
    op.add_column("group_members", sa.Column("visible_from_seq", _ID, server_default="0", nullable=False))
    op.add_column(
        "group_members", sa.Column("do_not_disturb", sa.SmallInteger(), server_default="0", nullable=False)
    )
    op.add_column("group_members", sa.Column("pinned", sa.SmallInteger(), server_default="0", nullable=False))
    op.create_index("ix_group_members_muted_until_ms", "group_members", ["muted_until_ms"])


def _blacklist() -> None:
    op.create_table(
        "group_blacklist",
        sa.Column("group_id", sa.String(40), nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("by_user", _ID, nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("created_at_ms", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"],
            ["group_conversations.id"],
            name="fk_group_blacklist_group_id_group_conversations",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_group_blacklist_user_id_users"),
        sa.PrimaryKeyConstraint("group_id", "user_id", name="pk_group_blacklist"),
        sqlite_with_rowid=False,
        **_MYSQL,
    )


def _admissions() -> None:
    op.create_table(
        "group_admissions",
        sa.Column("group_id", sa.String(40), nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("kind", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("message", sa.String(200), nullable=False),
        sa.Column("by_user", _ID, nullable=False),
        sa.Column("created_at_ms", _ID, nullable=False),
        sa.Column("decided_at_ms", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"],
            ["group_conversations.id"],
            name="fk_group_admissions_group_id_group_conversations",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_group_admissions_user_id_users"),
        sa.PrimaryKeyConstraint("group_id", "user_id", "kind", name="pk_group_admissions"),
        sqlite_with_rowid=False,
        **_MYSQL,
    )
    op.create_index(
        "ix_group_admissions_group_id_kind_state", "group_admissions", ["group_id", "kind", "state"]
    )
    op.create_index(
        "ix_group_admissions_user_id_kind_state", "group_admissions", ["user_id", "kind", "state"]
    )


def _departures() -> None:
    op.create_table(
        "group_departures",
        sa.Column("group_id", sa.String(40), nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("left_at_ms", _ID, autoincrement=False, nullable=False),
        sa.Column("joined_at_ms", _ID, nullable=False),
        sa.Column("role", sa.SmallInteger(), nullable=False),
        sa.Column("muted_until_ms", _ID, nullable=False),
        sa.Column("muted_at_ms", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"],
            ["group_conversations.id"],
            name="fk_group_departures_group_id_group_conversations",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_group_departures_user_id_users"),
        sa.PrimaryKeyConstraint("group_id", "user_id", "left_at_ms", name="pk_group_departures"),
        sqlite_with_rowid=False,
        **_MYSQL,
    )
    op.create_index("ix_group_departures_left_at_ms", "group_departures", ["left_at_ms"])


def _past_mutes() -> None:
    op.create_table(
        "group_past_mutes",
        sa.Column("group_id", sa.String(40), nullable=False),
        sa.Column("user_id", _ID, autoincrement=False, nullable=False),
        sa.Column("muted_at_ms", _ID, autoincrement=False, nullable=False),
        sa.Column("ended_at_ms", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"],
            ["group_conversations.id"],
            name="fk_group_past_mutes_group_id_group_conversations",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("group_id", "user_id", "muted_at_ms", name="pk_group_past_mutes"),
        sqlite_with_rowid=False,
        **_MYSQL,
    )
    op.create_index("ix_group_past_mutes_ended_at_ms", "group_past_mutes", ["ended_at_ms"])
