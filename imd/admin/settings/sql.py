"""Settings in SQL: a row a version, never changed again, so that the table is also the record of who set what when."""

from __future__ import annotations

import json

from sqlalchemy import Column, Connection, Engine, Integer, String, Table, Text, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.schema import CreateTable

from imd.admin.settings.model import MAX_COMMENT, NONE, Settings
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


def create_tables(engine: Engine) -> None:
    """Make the table if it is not there; several nodes may do so at once."""
    with engine.begin() as connection:
        connection.execute(CreateTable(versions, if_not_exists=True))


class SqlSettings:
    """See ``SettingsStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def current(self) -> Settings:
        return await self._database.read(_current)

    async def save(self, settings: Settings) -> bool:
        try:
            return await self._database.write(lambda connection: _save(connection, settings))
        except IntegrityError:
            return False


def _current(connection: Connection) -> Settings:
    row = connection.execute(select(versions).order_by(versions.c.version.desc()).limit(1)).one_or_none()
    if row is None:
        return NONE
    return Settings(row.version, json.loads(row.document), row.comment, row.changed_at_ms)


def _save(connection: Connection, settings: Settings) -> bool:
    if settings.version != _current(connection).version + 1:
        return False
    row = settings._asdict() | {"document": json.dumps(settings.document, sort_keys=True)}
    connection.execute(insert(versions).values(row))
    return True
