"""A data folder as `twistd im` leaves it, written without a server."""

from __future__ import annotations

from collections.abc import Coroutine
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar
from zlib import crc32

from sqlalchemy import insert
from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from imd.admin.operators.sql import SqlOperators
from imd.admin.schema import open_admin
from imd.admin.settings.model import Author, Settings
from imd.admin.settings.sql import SqlSettings
from imd.bus.journal import Journal
from imd.business.schema import open_business
from imd.business.tables.groups import group_conversations, group_members
from imd.business.tables.people import direct_conversations, logins, users
from imd.core.message.model import CursorRow, NewMessage
from imd.core.message.sqlite import SqliteCursors, SqliteMessageLog, message_database
from imd.core.presence.sqlite import SqliteLastSeen, presence_database
from imd.kernel.clocks import WallClock
from imd.kernel.ids import direct_conversation_id
from imd.ops.operators import Role
from imd.storage.epoch import EpochFile
from imd.storage.sql import Database

T = TypeVar("T")

START_MS = 1_764_000_000_000
TOKEN_KEY = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
EPOCH = "c0ffee0123456789"


def at_once(work: Coroutine[Deferred[Any], Any, T]) -> T:
    """The result of what needs no reactor."""
    results: list[Any] = []
    Deferred.fromCoroutine(work).addBoth(results.append)
    (result,) = results
    if isinstance(result, Failure):
        result.raiseException()
    return result  # type: ignore[no-any-return]


def message(
    conversation_id: str, seq: int, *, sender_id: int = 1, time_ms: int = START_MS, revokes_seq: int = 0
) -> NewMessage:
    """A message whose every part is its own."""
    return NewMessage(
        conversation_id=conversation_id,
        seq=seq,
        sender_id=sender_id,
        client_msg_id=f"c{seq}.{sender_id}",
        server_msg_id=crc32(conversation_id.encode()) << 24 | seq,
        server_time_ms=time_ms + seq,
        content_hash=seq.to_bytes(32, "big"),
        body=f"body {seq} of {conversation_id}".encode(),
        revokes_seq=revokes_seq,
        revoked_body=f"recalled {revokes_seq}".encode() if revokes_seq else b"",
    )


class DataFolder:
    """Its path, and what a test puts into it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(mode=0o700, parents=True)
        at_once(EpochFile(path / "epoch", random_hex=lambda _: EPOCH).start())
        (path / "secrets").mkdir(mode=0o700)
        (path / "secrets" / "token.key").write_text(TOKEN_KEY)
        (path / "secrets" / "token.key").chmod(0o600)
        open_business(path / "business.db").dispose()
        self.write_messages([])

    def write_messages(self, rows: list[NewMessage], cursors: list[CursorRow] | None = None) -> None:
        """As the log would."""
        database = message_database(folder=self.path, threads=None)
        at_once(database.start())
        for start in range(0, len(rows), 500):
            result = at_once(SqliteMessageLog(database=database).append(rows[start : start + 500]))
            assert result.refused is None, result
        at_once(SqliteCursors(database=database).advance(cursors or []))
        at_once(database.stop())

    def write_last_seen(self, seen: dict[int, int]) -> None:
        """As presence would."""
        database = presence_database(folder=self.path, threads=None)
        at_once(database.start())
        at_once(SqliteLastSeen(database=database).record(seen))
        at_once(database.stop())

    def write_people(self, count: int, *, group: str = "g_1") -> None:
        """People 1 to ``count``, each with a login, all in one group, 1 and 2 in a conversation of two."""
        engine = open_business(self.path / "business.db")
        with engine.begin() as connection:
            ids = range(1, count + 1)
            connection.execute(
                insert(users),
                [
                    {"id": n, "handle": f"user{n}", "display_name": f"Ü {n} 😀", "password_hash": "$argon2id$x",
                     "status": 0, "token_version": n, "created_at_ms": START_MS}
                    for n in ids
                ],
            )  # fmt: skip
            connection.execute(
                insert(logins),
                [
                    {"user_id": n, "device_id": "phone", "login_id": f"l{n}", "platform": "ios",
                     "created_at_ms": START_MS, "refreshed_at_ms": START_MS + n}
                    for n in ids
                ],
            )  # fmt: skip
            connection.execute(
                insert(group_conversations).values(
                    id=group, title="Everybody", version=3, member_count=count, created_at_ms=START_MS,
                    dissolved_at_ms=0,
                )
            )  # fmt: skip
            connection.execute(
                insert(group_members),
                [
                    {"group_id": group, "user_id": n, "role": 2 if n == 1 else 0, "joined_at_ms": START_MS}
                    for n in ids
                ],
            )
            connection.execute(
                insert(direct_conversations).values(
                    id=direct_conversation_id(1, 2), user_low=1, user_high=2, created_at_ms=START_MS
                )
            )
        engine.dispose()

    def write_settings(self, *, versions: int, operators: list[str]) -> None:
        """Versions 1, 2, ... of the settings, each with another limit, and operators whose tokens are their names."""
        engine = open_admin(self.path / "admin.db")
        database = Database(connect=lambda: engine, threads=execute, clock=Clock())
        at_once(database.start())
        settings, people = SqlSettings(database), SqlOperators(database)
        for number in range(1, versions + 1):
            document = {"limits": {"user_text_per_min": number}}
            version = Settings(number, document, f"change {number}", START_MS, author=Author(2, "ops"))
            assert at_once(settings.save(version, based_on=number - 1))
        for name in operators:
            at_once(
                people.add(name, Role.OPERATOR, sha256(name.encode()).digest(), by="ops", now_ms=START_MS)
            )
        at_once(database.stop())

    def leave_event(self, subject: str, *, consumer: str = "", taken: bool = False) -> None:
        """A durable event, for a consumer that has taken it or not."""
        clock: WallClock = lambda: START_MS  # noqa: E731
        journal = Journal(self.path / "bus.db", wall_clock=clock, threads=execute)
        at_once(journal.open())
        if consumer:
            at_once(journal.register(consumer, subject))
        at_once(journal.append(subject, b"x"))
        if taken:
            (event,) = at_once(journal.read(0))
            at_once(journal.acknowledge(consumer, subject, event.id, []))
        at_once(journal.close())
