"""Accounts, logins, conversations of two, groups."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MYSQL: Any = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    _people()
    _pairs()
    _groups()


def _people() -> None:
    op.create_table(
        "users",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("handle", sa.String(32), nullable=False),
        sa.Column("display_name", sa.String(64), nullable=False),
        sa.Column("password_hash", sa.String(255), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("token_version", sa.Integer(), nullable=False),
        sa.Column("created_at_ms", _ID, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("handle", name="uq_users_handle"),
        **_MYSQL,
    )
    op.create_table(
        "logins",
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("device_id", sa.String(64), nullable=False),
        sa.Column("login_id", sa.String(32), nullable=False),
        sa.Column("platform", sa.String(32), nullable=False),
        sa.Column("created_at_ms", _ID, nullable=False),
        sa.Column("refreshed_at_ms", _ID, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "device_id", name="pk_logins"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_logins_user_id_users", ondelete="CASCADE"
        ),
        **_MYSQL,
    )


def _pairs() -> None:
    op.create_table(
        "direct_conversations",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("user_low", _ID, nullable=False),
        sa.Column("user_high", _ID, nullable=False),
        sa.Column("created_at_ms", _ID, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_direct_conversations"),
        sa.UniqueConstraint("user_low", "user_high", name="uq_direct_conversations_user_low_user_high"),
        sa.ForeignKeyConstraint(["user_low"], ["users.id"], name="fk_direct_conversations_user_low_users"),
        sa.ForeignKeyConstraint(["user_high"], ["users.id"], name="fk_direct_conversations_user_high_users"),
        **_MYSQL,
    )
    op.create_index("ix_direct_conversations_user_high", "direct_conversations", ["user_high"])


def _groups() -> None:
    op.create_table(
        "group_conversations",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("title", sa.String(128), nullable=False),
        sa.Column("version", _ID, nullable=False),
        sa.Column("member_count", sa.Integer(), nullable=False),
        sa.Column("created_at_ms", _ID, nullable=False),
        sa.Column("dissolved_at_ms", _ID, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_group_conversations"),
        **_MYSQL,
    )
    op.create_table(
        "group_members",
        sa.Column("group_id", sa.String(40), nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("role", sa.SmallInteger(), nullable=False),
        sa.Column("joined_at_ms", _ID, nullable=False),
        sa.PrimaryKeyConstraint("group_id", "user_id", name="pk_group_members"),
        sa.ForeignKeyConstraint(
            ["group_id"],
            ["group_conversations.id"],
            name="fk_group_members_group_id_group_conversations",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_group_members_user_id_users"),
        sqlite_with_rowid=False,
        **_MYSQL,
    )
    op.create_index("ix_group_members_user_id", "group_members", ["user_id"])
