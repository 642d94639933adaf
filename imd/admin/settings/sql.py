"""Settings in SQL: a row a version, never changed again, so that the table is also the record of who set what when."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Connection, Integer, Row, String, Table, Text, insert, select
from sqlalchemy.exc import IntegrityError

from imd.admin.settings.model import MAX_COMMENT, NONE, Author, GrayRelease, Settings
from imd.storage.sql import MYSQL_TABLE, Database, Id, metadata

SCHEMA = metadata()

versions = Table(
    "admin_settings",
    SCHEMA,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("document", Text, nullable=False),
    Column("comment", String(MAX_COMMENT), nullable=False),
    Column("changed_at_ms", Id, nullable=False),
    **MYSQL_TABLE,
)

#: Who and how, and for whom. A table of its own: databases of the first release have the other one already, and its
#: versions have no row here.
acts = Table(
    "admin_settings_acts",
    SCHEMA,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("act", String(16), nullable=False),
    Column("author_id", Integer, nullable=False),
    Column("author", String(64), nullable=False),
    #: JSON of the gray release, or empty.
    Column("gray", Text, nullable=False),
    **MYSQL_TABLE,
)

_WHOLE = select(versions, acts.c.act, acts.c.author_id, acts.c.author, acts.c.gray).join_from(
    versions, acts, versions.c.version == acts.c.version, isouter=True
)
_NEWEST_FIRST = _WHOLE.order_by(versions.c.version.desc())


class SqlSettings:
    """See ``SettingsStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def current(self) -> Settings:
        newest = await self.history(before=0, limit=1)
        return newest[0] if newest else NONE

    async def version(self, version: int) -> Settings | None:
        wanted = _WHOLE.where(versions.c.version == version)
        row = await self._database.read(lambda connection: connection.execute(wanted).one_or_none())
        return None if row is None else _settings(row)

    async def history(self, *, before: int, limit: int) -> Sequence[Settings]:
        wanted = _NEWEST_FIRST.limit(limit)
        if before:
            wanted = wanted.where(versions.c.version < before)
        rows = await self._database.read(lambda connection: connection.execute(wanted).all())
        return [_settings(row) for row in rows]

    async def save(self, settings: Settings, *, based_on: int) -> bool:
        try:
            return await self._database.write(lambda connection: _save(connection, settings, based_on))
        except IntegrityError:
            return False


def _save(connection: Connection, settings: Settings, based_on: int) -> bool:
    # Locked, also where there is none yet: another node may be saving one with a number of its own.
    newest = select(versions.c.version).order_by(versions.c.version.desc()).limit(1).with_for_update()
    current = connection.execute(newest).scalar() or 0
    if current != based_on or settings.version <= current:
        return False
    connection.execute(
        insert(versions).values(
            version=settings.version,
            document=json.dumps(settings.document, sort_keys=True),
            comment=settings.comment,
            changed_at_ms=settings.changed_at_ms,
        )
    )
    connection.execute(
        insert(acts).values(
            version=settings.version,
            act=settings.act,
            author_id=settings.author.id,
            author=settings.author.name,
            gray="" if settings.gray is None else json.dumps(settings.gray._asdict()),
        )
    )
    return True


def _settings(row: Row[Any]) -> Settings:
    settings = Settings(row.version, json.loads(row.document), row.comment, row.changed_at_ms)
    if row.act is None:
        return settings
    return settings._replace(
        act=row.act, author=Author(row.author_id, row.author), gray=_gray(row.gray) if row.gray else None
    )


def _gray(text: str) -> GrayRelease:
    kept = json.loads(text)
    lists = {name: tuple(kept[name]) for name in ("user_ids", "zones", "client_versions")}
    return GrayRelease(**{**kept, **lists})
