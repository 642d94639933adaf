"""The data folder of `twistd im`, held for this process alone, and read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Engine

from imd.admin.schema import open_admin
from imd.bus.journal import SCHEMA_VERSION as JOURNAL_VERSION
from imd.bus.matching import matcher
from imd.bus.subjects import AUTH_INVALIDATE
from imd.business.schema import open_business
from imd.core.message.sqlite import message_database
from imd.core.presence.sqlite import presence_database
from imd.ctl.at_once import at_once
from imd.ctl.exits import SOURCE, CommandFailed
from imd.ctl.migrate.rows import CursorRow, LastSeenRow, MovedMessage
from imd.kernel.errors import StartupError
from imd.kernel.ids import is_id
from imd.storage.sqlite import FolderLock

_PAGE_ROWS = 2000

#: They tell caches and sessions of a process what the business tables say anyway; the cluster begins without either.
_MOOT = frozenset({AUTH_INVALIDATE})

_MESSAGE = "conversation_id, seq, sender_id, client_msg_id, server_msg_id, server_time_ms, content_hash, revoked, body"
_IN_ORDER = (
    f"SELECT messages.rowid, {_MESSAGE} FROM messages JOIN conversations ON number = conversation"  # noqa: S608
    " WHERE messages.rowid > ? ORDER BY messages.rowid LIMIT ?"
)
# CROSS: the conversations outside, so that both indexes give the order and nothing is sorted.
_SORTED = (
    f"SELECT {_MESSAGE} FROM conversations CROSS JOIN messages ON conversation = number"  # noqa: S608
    " ORDER BY conversation_id, seq"
)
_CURSORS = (
    "SELECT conversation_id, user_id, delivered_seq, read_seq FROM cursors"
    " WHERE (conversation_id, user_id) > (?, ?) ORDER BY conversation_id, user_id LIMIT ?"
)
_LAST_SEEN = "SELECT user_id, seen_ms FROM last_seen WHERE user_id > ? ORDER BY user_id LIMIT ?"


class Folder:
    """Open as a context. The files are checked, and brought to this release's schema, as the server itself does.

    :raises CommandFailed: (on entering) it is no data folder, is in use, damaged or of a newer release, or
        its server stopped before it was done.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        #: Stays the same for the life of the data; clients keep their cursors by it.
        self.epoch = ""
        self._open = ExitStack()
        self._messages: sqlite3.Connection
        self._presence: sqlite3.Connection | None = None
        self.business: Engine
        #: Settings and operators; of an older release there are none.
        self.admin: Engine

    @property
    def token_key(self) -> Path:
        return self.path / "secrets" / "token.key"

    def __enter__(self) -> Self:
        try:
            with self._open:
                self._enter()
                self._open = self._open.pop_all()
        except (StartupError, OSError, sqlite3.Error) as error:
            raise CommandFailed(SOURCE, str(error)) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def _enter(self) -> None:
        missing = [
            name for name in ("messages.db", "business.db", "epoch") if not (self.path / name).is_file()
        ]
        if missing:
            raise StartupError(
                f"{self.path} is no data folder of `twistd im`: it has no {' and no '.join(missing)}; give the "
                "folder that data_dir names in im.toml"
            )
        lock = FolderLock(folder=self.path)
        at_once(lock.start())
        self._open.callback(_let_go, lock)
        self.epoch = (self.path / "epoch").read_text(encoding="ascii", errors="replace").strip()
        if not is_id(self.epoch):
            raise StartupError(
                f"{self.path / 'epoch'} holds no epoch: start `twistd im` on the folder, it says why"
            )
        self._refuse_pending()
        databases = [message_database(folder=self.path, threads=None)]
        if (self.path / "presence.db").exists():
            databases.append(presence_database(folder=self.path, threads=None))
        for database in databases:
            at_once(database.start())
            at_once(database.stop())
        self.business = open_business(self.path / "business.db")
        self._open.callback(self.business.dispose)
        admin = self.path / "admin.db"
        self.admin = open_admin(admin if admin.exists() else None)
        self._open.callback(self.admin.dispose)
        self._messages = self._read_only("messages.db")
        if len(databases) > 1:
            self._presence = self._read_only("presence.db")

    def _read_only(self, name: str) -> sqlite3.Connection:
        uri = (self.path / name).resolve().as_uri() + "?mode=ro"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None)
        self._open.callback(connection.close)
        return connection

    def _refuse_pending(self) -> None:
        """Events are not moved: a consumer that has still to see one would never see it."""
        if not (self.path / "bus.db").exists():
            return
        connection = self._read_only("bus.db")
        if connection.execute("PRAGMA user_version").fetchone()[0] > JOURNAL_VERSION:
            raise StartupError(f"{self.path / 'bus.db'} was written by a newer release: use its imctl")
        pending: dict[str, int] = {}
        consumers = connection.execute("SELECT pattern, acked_id FROM consumer").fetchall()
        for event_id, subject in connection.execute("SELECT id, subject FROM event"):
            if subject not in _MOOT and any(
                event_id > acked_id and matcher(pattern)(subject) for pattern, acked_id in consumers
            ):
                pending[subject] = pending.get(subject, 0) + 1
        if pending:
            told = ", ".join(f"{count} of {subject}" for subject, count in sorted(pending.items()))
            raise StartupError(
                f"events in {self.path} were not handled before the server stopped ({told}): start `twistd im` "
                "on the folder, wait a minute, stop it, and begin again"
            )

    # Counts

    def counts(self) -> dict[str, int]:
        """How much there is to move, beside business data."""
        counts = {
            name: int(self._messages.execute(f"SELECT count(*) FROM {name}").fetchone()[0])  # noqa: S608
            for name in ("messages", "cursors")
        }
        counts["last_seen"] = 0
        if self._presence is not None:
            counts["last_seen"] = int(self._presence.execute("SELECT count(*) FROM last_seen").fetchone()[0])
        return counts

    def stamp(self) -> str:
        """Changes whenever the server has run on the folder and done anything: messages, recalls, cursors."""
        numbers = self._messages.execute(
            "SELECT (SELECT count(*) FROM messages), (SELECT max(rowid) FROM messages),"
            " (SELECT sum(revoked) FROM messages), (SELECT sum(delivered_seq + read_seq) FROM cursors)"
        ).fetchone()
        return "/".join(str(number or 0) for number in numbers)

    # In the order in which they were written, for copying

    def messages_after(self, row_id: int, limit: int, max_bytes: int) -> list[tuple[int, MovedMessage]]:
        """The next ones behind that row, each with its row; at least one if there is any."""
        found: list[tuple[int, MovedMessage]] = []
        size = 0
        with closing(self._messages.execute(_IN_ORDER, (row_id, limit))) as rows:
            for row in rows:
                found.append((row[0], _message(row[1:])))
                size += len(found[-1][1].body)
                if size >= max_bytes:
                    break
        return found

    def messages_up_to(self, row_id: int) -> int:
        """How many there are up to that row."""
        return int(
            self._messages.execute("SELECT count(*) FROM messages WHERE rowid <= ?", (row_id,)).fetchone()[0]
        )

    def older_than(self, time_ms: int) -> tuple[int, int]:
        """How many messages were stored before that time, and when the first."""
        count, oldest_ms = self._messages.execute(
            "SELECT count(*), min(server_time_ms) FROM messages WHERE server_time_ms < ?", (time_ms,)
        ).fetchone()
        return int(count), int(oldest_ms or 0)

    # In the order of their keys, for comparing

    def messages(self) -> Iterator[MovedMessage]:
        """All, by conversation and seq."""
        for row in self._messages.execute(_SORTED):
            yield _message(row)

    def cursors(self) -> Iterator[CursorRow]:
        """All, by (conversation, user)."""
        last: tuple[str, int] = ("", 0)
        while rows := self.cursors_after(*last, _PAGE_ROWS):
            yield from rows
            last = rows[-1][:2]

    def cursors_after(self, conversation_id: str, user_id: int, limit: int) -> list[CursorRow]:
        """The next ones by (conversation, user)."""
        rows = self._messages.execute(_CURSORS, (conversation_id, user_id, limit)).fetchall()
        return [CursorRow(*row) for row in rows]

    def last_seen_after(self, user_id: int, limit: int) -> list[LastSeenRow]:
        """The next ones by user."""
        if self._presence is None:
            return []
        return [LastSeenRow(*row) for row in self._presence.execute(_LAST_SEEN, (user_id, limit)).fetchall()]


def _message(row: tuple[Any, ...]) -> MovedMessage:
    message = MovedMessage(*row)
    return message._replace(revoked=bool(message.revoked))


def _let_go(lock: FolderLock) -> None:
    at_once(lock.stop())
