"""How people stand to each other: profiles, privacy, friends, blocks, devices that are kept out."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MYSQL: Any = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    _profiles()
    _logins()
    _pairs()
    _friends()
    _friend_groups()
    _friend_requests()
    _blocks()
    _device_bans()


def _profiles() -> None:
    op.add_column("users", sa.Column("about", sa.String(256), server_default="", nullable=False))
    op.add_column("users", sa.Column("avatar_url", sa.String(512), server_default="", nullable=False))
    op.add_column("users", sa.Column("message_from", sa.SmallInteger(), server_default="0", nullable=False))
    op.add_column("users", sa.Column("add_from", sa.SmallInteger(), server_default="0", nullable=False))
    op.add_column("users", sa.Column("presence_to", sa.SmallInteger(), server_default="0", nullable=False))
    op.add_column("users", sa.Column("findable", sa.SmallInteger(), server_default="1", nullable=False))
    op.add_column("users", sa.Column("level", sa.SmallInteger(), server_default="0", nullable=False))
    op.add_column("users", sa.Column("status_at_ms", _ID, server_default="0", nullable=False))
    op.add_column("users", sa.Column("status_reason", sa.String(200), server_default="", nullable=False))
    for name in ("friends_version", "friends_epoch", "friends_floor", "friend_groups_version"):
        op.add_column("users", sa.Column(name, _ID, server_default="0", nullable=False))


def _logins() -> None:
    op.add_column("logins", sa.Column("address_key", sa.String(64), server_default="", nullable=False))
    op.create_index("ix_logins_device_id", "logins", ["device_id"])


def _pairs() -> None:
    op.add_column("direct_conversations", sa.Column("version", _ID, server_default="1", nullable=False))


def _friends() -> None:
    op.create_table(
        "friends",
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("friend_id", _ID, nullable=False),
        sa.Column("remark", sa.String(64), nullable=False),
        sa.Column("friend_group_id", _ID, nullable=False),
        sa.Column("created_at_ms", _ID, nullable=False),
        sa.Column("ended_at_ms", _ID, nullable=False),
        sa.Column("version", _ID, nullable=False),
        sa.ForeignKeyConstraint(["friend_id"], ["users.id"], name="fk_friends_friend_id_users"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_friends_user_id_users"),
        sa.PrimaryKeyConstraint("user_id", "friend_id", name="pk_friends"),
        sqlite_with_rowid=False,
        **_MYSQL,
    )
    op.create_index("ix_friends_friend_id", "friends", ["friend_id"])
    op.create_index("ix_friends_user_id_version", "friends", ["user_id", "version"])


def _friend_groups() -> None:
    op.create_table(
        "friend_groups",
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_friend_groups_user_id_users"),
        sa.PrimaryKeyConstraint("user_id", "id", name="pk_friend_groups"),
        sqlite_with_rowid=False,
        **_MYSQL,
    )


def _friend_requests() -> None:
    op.create_table(
        "friend_requests",
        sa.Column("from_user", _ID, nullable=False),
        sa.Column("to_user", _ID, nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("message", sa.String(200), nullable=False),
        sa.Column("created_at_ms", _ID, nullable=False),
        sa.Column("decided_at_ms", _ID, nullable=False),
        sa.ForeignKeyConstraint(["from_user"], ["users.id"], name="fk_friend_requests_from_user_users"),
        sa.ForeignKeyConstraint(["to_user"], ["users.id"], name="fk_friend_requests_to_user_users"),
        sa.PrimaryKeyConstraint("from_user", "to_user", name="pk_friend_requests"),
        sqlite_with_rowid=False,
        **_MYSQL,
    )
    op.create_index("ix_friend_requests_from_user_state", "friend_requests", ["from_user", "state"])
    op.create_index("ix_friend_requests_to_user_state", "friend_requests", ["to_user", "state"])


def _blocks() -> None:
    op.create_table(
        "blocks",
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("blocked_id", _ID, nullable=False),
        sa.Column("created_at_ms", _ID, nullable=False),
        sa.ForeignKeyConstraint(["blocked_id"], ["users.id"], name="fk_blocks_blocked_id_users"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_blocks_user_id_users"),
        sa.PrimaryKeyConstraint("user_id", "blocked_id", name="pk_blocks"),
        sqlite_with_rowid=False,
        **_MYSQL,
    )
    op.create_index("ix_blocks_blocked_id", "blocks", ["blocked_id"])


def _device_bans() -> None:
    op.create_table(
        "device_bans",
        sa.Column("device_id", sa.String(64), nullable=False),
        sa.Column("address_key", sa.String(64), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("first_failure_at_ms", _ID, nullable=False),
        sa.Column("banned_until_ms", _ID, nullable=False),
        sa.PrimaryKeyConstraint("device_id", "address_key", name="pk_device_bans"),
        **_MYSQL,
    )
    op.create_index("ix_device_bans_first_failure_at_ms", "device_bans", ["first_failure_at_ms"])
