"""Reviews, the outbox of webhooks, audit events."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0004"
down_revision = "0003"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MYSQL: Any = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    _reviews()
    _outbox()
    _audit()


def _reviews() -> None:
    op.create_table(
        "reviews",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("conversation_id", sa.String(64), nullable=False),
        sa.Column("sender_id", _ID, nullable=False),
        sa.Column("client_msg_id", sa.String(64), nullable=False),
        sa.Column("device_id", sa.String(64), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column(
            "request", sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb"), nullable=False
        ),
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.Column("created_at_ms", _ID, nullable=False),
        sa.Column("decided_at_ms", _ID, nullable=False),
        sa.Column("decided_by", sa.String(64), nullable=False),
        sa.Column("note", sa.String(500), nullable=False),
        sa.Column("seq", _ID, nullable=False),
        sa.Column("due_at_ms", _ID, nullable=False),
        sa.Column("told", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reviews"),
        sa.UniqueConstraint(
            "conversation_id",
            "sender_id",
            "client_msg_id",
            name="uq_reviews_conversation_id_sender_id_client_msg_id",
        ),
        **_MYSQL,
    )
    op.create_index("ix_reviews_due_at_ms", "reviews", ["due_at_ms"])
    op.create_index("ix_reviews_sender_id_state", "reviews", ["sender_id", "state"])
    op.create_index("ix_reviews_state_id", "reviews", ["state", "id"])


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("event_id", sa.String(128), nullable=False),
        sa.Column("order_key", sa.String(80), nullable=False),
        sa.Column("position", _ID, nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("payload", sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb"), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.String(200), nullable=False),
        sa.Column("created_at_ms", _ID, nullable=False),
        sa.Column("settled_at_ms", _ID, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint("event_id", name="uq_outbox_event_id"),
        sqlite_autoincrement=True,
        **_MYSQL,
    )
    op.create_index(
        "ix_outbox_order_key_state_position_id", "outbox", ["order_key", "state", "position", "id"]
    )
    op.create_index("ix_outbox_state_id", "outbox", ["state", "id"])
    op.create_index("ix_outbox_state_settled_at_ms", "outbox", ["state", "settled_at_ms"])
    op.create_table(
        "outbox_lines",
        sa.Column("order_key", sa.String(80), nullable=False),
        sa.Column("last_position", _ID, nullable=False),
        sa.Column("due_at_ms", _ID, nullable=False),
        sa.Column("lease_owner", sa.String(64), nullable=False),
        sa.Column("lease_until_ms", _ID, nullable=False),
        sa.Column("touched_at_ms", _ID, nullable=False),
        sa.PrimaryKeyConstraint("order_key", name="pk_outbox_lines"),
        sqlite_with_rowid=False,
        **_MYSQL,
    )
    op.create_index("ix_outbox_lines_due_at_ms", "outbox_lines", ["due_at_ms"])


def _audit() -> None:
    op.create_table(
        "audit_events",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("event_id", sa.String(64), nullable=False),
        sa.Column("at_ms", _ID, nullable=False),
        sa.Column("node", sa.String(32), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("actor_id", _ID, nullable=False),
        sa.Column("subject_id", _ID, nullable=False),
        sa.Column("conversation_id", sa.String(64), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("decision", sa.String(32), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("policy_version", _ID, nullable=False),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_events"),
        sa.UniqueConstraint("event_id", name="uq_audit_events_event_id"),
        sqlite_autoincrement=True,
        **_MYSQL,
    )
    op.create_index("ix_audit_events_actor_id_at_ms", "audit_events", ["actor_id", "at_ms"])
    op.create_index("ix_audit_events_at_ms", "audit_events", ["at_ms"])
    op.create_index("ix_audit_events_conversation_id_at_ms", "audit_events", ["conversation_id", "at_ms"])
    op.create_index("ix_audit_events_subject_id_at_ms", "audit_events", ["subject_id", "at_ms"])
