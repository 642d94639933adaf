"""What is in a database, told by itself: tables, rows, schema, and how far each conversation goes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from imd.bus.journal import SCHEMA_VERSION as JOURNAL_STEPS
from imd.business.schema import MIGRATIONS as BUSINESS_STEPS
from imd.core.message.sqlite import MIGRATIONS as MESSAGE_STEPS
from imd.core.presence.sqlite import MIGRATIONS as PRESENCE_STEPS
from imd.ctl.backup.manifest import Database

MESSAGES = "messages.db"
#: Without these it is no data folder.
REQUIRED = (MESSAGES, "business.db")

_USER_VERSION = "user_version"
#: The newest schema step that this release knows, where it can be told without opening the file for writing.
_KNOWN_STEPS = {
    MESSAGES: (_USER_VERSION, str(len(MESSAGE_STEPS))),
    "presence.db": (_USER_VERSION, str(len(PRESENCE_STEPS))),
    "bus.db": (_USER_VERSION, str(JOURNAL_STEPS)),
    "business.db": ("alembic_business", BUSINESS_STEPS.head),
}

# CROSS: the conversations outside, so that both indexes give the order and nothing is sorted.
_TAILS = (
    "SELECT conversation_id, count(*), min(seq), max(seq) FROM conversations"
    " CROSS JOIN messages ON conversation = number GROUP BY conversation_id ORDER BY conversation_id"
)


class Tail(NamedTuple):
    """A conversation, and what its messages are by their numbers."""

    conversation_id: str
    messages: int
    first_seq: int
    last_seq: int

    @property
    def is_whole(self) -> bool:
        """All of 1 to ``last_seq``; the unique index keeps each from being there twice."""
        return self.first_seq == 1 and self.messages == self.last_seq


@contextmanager
def resting(path: Path) -> Iterator[sqlite3.Connection]:
    """A file that nobody writes, read without leaving anything beside it."""
    uri = path.resolve().as_uri() + "?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
        yield connection


def describe(connection: sqlite3.Connection) -> Database:
    """Rows of each table, and the schema steps that were taken.

    :raises sqlite3.Error: it cannot be read.
    """
    names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    tables = [str(name) for (name,) in names if not name.startswith("sqlite_")]
    rows = {name: _number(connection, f'SELECT count(*) FROM "{name}"') for name in tables}  # noqa: S608
    schema = {_USER_VERSION: str(_number(connection, "PRAGMA user_version"))}
    for name in tables:
        if name.startswith("alembic_"):
            found = connection.execute(f'SELECT version_num FROM "{name}"').fetchone()  # noqa: S608
            schema[name] = str(found[0]) if found else ""
    return Database(schema=schema, rows=rows)


def tails(connection: sqlite3.Connection) -> Iterator[Tail]:
    """Every conversation of the message store, by id."""
    for row in connection.execute(_TAILS):
        yield Tail(*row)


def is_newer(name: str, database: Database) -> bool:
    """Whether a release wrote it that knows more than this one."""
    if name not in _KNOWN_STEPS:
        return False
    key, known = _KNOWN_STEPS[name]
    found = database.schema.get(key, "")
    # Numbers with as many digits as they had, or Alembic's, which all have four.
    return (len(found), found) > (len(known), known)


def _number(connection: sqlite3.Connection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])
