"""What has changed, and the other roles have not been told of yet."""

from __future__ import annotations

from sqlalchemy import Column, LargeBinary, String, Table
from sqlalchemy.dialects.mysql import MEDIUMBLOB

from imd.business.tables.base import SCHEMA
from imd.storage.sql import MYSQL_TABLE

announcements = Table(
    "announcements",
    SCHEMA,
    # Names the change: a conversation and its version, a login; "~" and the same for what is written into the
    # conversation, which sorts behind the rest.
    Column("about", String(120), primary_key=True),
    # A serialised im.internal.v1.Invalidation, without its time; behind a "~" a SystemAppend.
    Column("payload", LargeBinary().with_variant(MEDIUMBLOB(), "mysql", "mariadb"), nullable=False),
    sqlite_with_rowid=False,
    **MYSQL_TABLE,
)
