"""A business database as release 0.1.0 made it, with something in every table."""

from __future__ import annotations

import sqlite3
from pathlib import Path

_MADE = """
CREATE TABLE direct_conversations (
    id VARCHAR(40) NOT NULL,
    user_low INTEGER NOT NULL,
    user_high INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    CONSTRAINT pk_direct_conversations PRIMARY KEY (id),
    CONSTRAINT uq_direct_conversations_user_low_user_high UNIQUE (user_low, user_high),
    CONSTRAINT fk_direct_conversations_user_low_users FOREIGN KEY(user_low) REFERENCES users (id),
    CONSTRAINT fk_direct_conversations_user_high_users FOREIGN KEY(user_high) REFERENCES users (id)
);
CREATE TABLE group_conversations (
    id VARCHAR(40) NOT NULL,
    title VARCHAR(128) NOT NULL,
    version INTEGER NOT NULL,
    member_count INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    dissolved_at_ms INTEGER NOT NULL,
    CONSTRAINT pk_group_conversations PRIMARY KEY (id)
);
CREATE TABLE group_members (
    group_id VARCHAR(40) NOT NULL,
    user_id INTEGER NOT NULL,
    role SMALLINT NOT NULL,
    joined_at_ms INTEGER NOT NULL,
    CONSTRAINT pk_group_members PRIMARY KEY (group_id, user_id),
    CONSTRAINT fk_group_members_group_id_group_conversations
        FOREIGN KEY(group_id) REFERENCES group_conversations (id) ON DELETE CASCADE,
    CONSTRAINT fk_group_members_user_id_users FOREIGN KEY(user_id) REFERENCES users (id)
) WITHOUT ROWID;
CREATE TABLE logins (
    user_id INTEGER NOT NULL,
    device_id VARCHAR(64) NOT NULL,
    login_id VARCHAR(32) NOT NULL,
    platform VARCHAR(32) NOT NULL,
    created_at_ms INTEGER NOT NULL,
    refreshed_at_ms INTEGER NOT NULL,
    CONSTRAINT pk_logins PRIMARY KEY (user_id, device_id),
    CONSTRAINT fk_logins_user_id_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE TABLE schema_version (name VARCHAR(32) NOT NULL, version INTEGER, PRIMARY KEY (name));
CREATE TABLE users (
    id INTEGER NOT NULL,
    handle VARCHAR(32) NOT NULL,
    display_name VARCHAR(64) NOT NULL,
    password_hash VARCHAR(255) NOT NULL,
    status SMALLINT NOT NULL,
    token_version INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    CONSTRAINT pk_users PRIMARY KEY (id),
    CONSTRAINT uq_users_handle UNIQUE (handle)
);
CREATE INDEX ix_direct_conversations_user_high ON direct_conversations (user_high);
CREATE INDEX ix_group_members_user_id ON group_members (user_id);
INSERT INTO schema_version VALUES ('business', 1);
INSERT INTO users VALUES (1, 'alice', 'Alice', 'x', 1, 1, 5), (2, 'bob', 'Bob', 'y', 1, 1, 6);
INSERT INTO logins VALUES (1, 'phone', 'abc', 'ios', 5, 5);
INSERT INTO direct_conversations VALUES ('p_1', 1, 2, 7);
INSERT INTO group_conversations VALUES ('g_1', 'Fun', 3, 2, 8, 0);
INSERT INTO group_members VALUES ('g_1', 1, 2, 8), ('g_1', 2, 0, 9);
"""


def make_first_release(path: Path) -> None:
    """Make the file."""
    with sqlite3.connect(path) as connection:
        connection.executescript("PRAGMA journal_mode=WAL;" + _MADE)
    connection.close()
