"""Messages and cursors, from SQLite to MongoDB: batch by batch, each confirmed by a majority before the
progress is written down beside it.

After a kill the batch that was under way is inserted again; what of it is there already is refused by the unique indexes,
and the check at the end looks at the content.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from heapq import merge
from typing import Any

import bson
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from imd.config.engines import Mongo
from imd.core.message.model import NewMessage
from imd.core.message.mongo_documents import (
    ARCHIVE_PREFIX,
    BY_SEQ,
    CURSORS,
    HOT_PREFIX,
    collection_of,
    encoded,
    partition_among,
)
from imd.core.message.mongo_epoch import ABOUT, EPOCH_ID, MOVING_IN
from imd.core.message.mongo_indexes import CURSOR_INDEXES, MESSAGE_INDEXES
from imd.ctl.exits import TARGET, USAGE, CommandFailed
from imd.ctl.migrate.compare import Sequences, Verdict, compare
from imd.ctl.migrate.record import COPYING, DONE, Identity, refusal
from imd.ctl.migrate.rows import CURSOR_KEY, MESSAGE_KEY, CursorRow, MovedMessage, Row
from imd.ctl.migrate.source import Folder
from imd.ctl.open_mongo import CODEC, open_mongo
from imd.ctl.progress import Progress

#: Messages read at a time; at most so many bytes of bodies, so that long ones do not fill the memory.
BATCH_ROWS = 4000
BATCH_BYTES = 8 * 1024 * 1024
#: Inserts under way at the same time, each into a collection of its own; each waits for a majority's disks.
_INSERTS_AT_ONCE = 4
#: Rows of one question when reading back.
_PAGE_ROWS = 2000
_DUPLICATE_KEY = 11000
_DAY_MS = 24 * 3600 * 1000

#: Where a move is written down.
_MIGRATION = "migration"
_MOVE_ID = "imctl"

_COLUMNS = (*MovedMessage._fields, "collection")
Documents = Collection[dict[str, Any]]


@contextmanager
def open_messages(mongo: Mongo) -> Iterator[MessageCopy]:
    """The database that [mongo] names, logged in.

    :raises CommandFailed: it cannot be used.
    """
    with open_mongo(mongo) as (database, place):
        yield MessageCopy(
            database=database,
            collections=mongo.message_collections,
            archive_days=mongo.archive_days,
            place=place,
        )


class MessageCopy:
    """One move of the messages and what belongs to them, and its check.

    :param collections: over so many the messages are spread.
    :param archive_days: the server deletes archived messages after so long; 0: never.
    """

    def __init__(
        self, *, database: Database[dict[str, Any]], collections: int, archive_days: int, place: str
    ) -> None:
        self._database = database
        self._collections = collections
        self._archive_days = archive_days
        self._place = place
        self._hot = [collection_of(number) for number in range(collections)]

    def refuse_others(self, identity: Identity) -> None:
        """:raises CommandFailed: the target holds something that this move has not put there."""
        names = self._database.list_collection_names()
        record = self._record() if _MIGRATION in names else {}
        occupied = sorted(
            name
            for name in names
            if (name.startswith(HOT_PREFIX) or name == CURSORS)
            and self._database[name].find_one({}, {"_id": 1}) is not None
        )
        reason = refusal(str(record.get("identity", "")), identity, occupied=occupied)
        if not reason and record and record.get("collections") != self._collections:
            reason = (
                f"holds a move into {record.get('collections')} collections, and [mongo] message_collections is "
                f"{self._collections} now"
            )
        if reason:
            raise CommandFailed(
                TARGET,
                f"the MongoDB database {self._place} {reason}: to begin anew, db.dropDatabase() it in mongosh",
            )

    def refuse_expired(self, folder: Folder, *, now_ms: int) -> None:
        """:raises CommandFailed: im-core would delete messages because of their age as soon as it starts."""
        if not self._archive_days:
            return
        days = self._archive_days
        count, oldest_ms = folder.older_than(now_ms - days * _DAY_MS)
        if count:
            needed = (now_ms - oldest_ms) // _DAY_MS + 1
            raise CommandFailed(
                USAGE,
                f"{count:,} messages are older than the {days} days of [mongo] archive_days in im-core.toml and would "
                f"be deleted there: set it to 0 (never), or to more than {needed}, and lower it when they may go",
            )

    def begin(self, identity: Identity, *, with_admin: bool) -> None:
        """Make the collections with their indexes, and write down whose move this is; im-core does not start then.

        :param with_admin: what im-admin keeps is part of it.
        """
        about = {
            "identity": identity.text(),
            "collections": self._collections,
            "state": COPYING,
            "with_admin": with_admin,
        }
        self._database[_MIGRATION].update_one({"_id": _MOVE_ID}, {"$set": about}, upsert=True)
        self._set_epoch(MOVING_IN)
        wanted = dict.fromkeys(self._hot, MESSAGE_INDEXES) | {CURSORS: CURSOR_INDEXES}
        for name, indexes in wanted.items():
            self._database.command(
                {"createIndexes": name, "indexes": [each.specification() for each in indexes]}
            )

    @property
    def done(self) -> bool:
        """Whether a move was finished: since then im-core may have changed anything."""
        return self._record().get("state") == DONE

    @property
    def with_admin(self) -> bool:
        """Whether what im-admin keeps is part of the move that was begun here."""
        return bool(self._record().get("with_admin"))

    def finish(self, epoch: str) -> None:
        """All is there; im-core may start, and clients go on with the cursors that they have."""
        self._set_epoch(epoch)
        self._write_down(state=DONE)

    def _set_epoch(self, value: str) -> None:
        self._database[ABOUT].update_one({"_id": EPOCH_ID}, {"$set": {"value": value}}, upsert=True)

    def copy(self, folder: Folder, progress: Progress) -> None:
        """All of it; goes on where it was cut off."""
        counts = folder.counts()
        self._copy_messages(folder, progress, counts["messages"])
        self._copy_cursors(folder, progress, counts["cursors"])

    def _copy_messages(self, folder: Folder, progress: Progress, total: int) -> None:
        last = int(self._record().get("row", 0))
        progress.begin("messages", total, done=folder.messages_up_to(last))
        with ThreadPoolExecutor(_INSERTS_AT_ONCE, thread_name_prefix="insert") as threads:
            while rows := folder.messages_after(last, BATCH_ROWS, BATCH_BYTES):
                batches: dict[str, list[RawBSONDocument]] = {}
                for _, message in rows:
                    name = self._hot[partition_among(message.conversation_id, self._collections)]
                    batches.setdefault(name, []).append(RawBSONDocument(_document(message)))
                list(threads.map(self._insert, batches, batches.values()))
                last = rows[-1][0]
                self._write_down(row=last)
                progress.advance(len(rows))
        progress.end()

    def _insert(self, name: str, documents: Sequence[Any]) -> None:
        """Those that are there already are from a run that was cut off."""
        try:
            self._database[name].insert_many(documents, ordered=False)
        except BulkWriteError as error:
            codes = {each["code"] for each in error.details["writeErrors"]}
            if codes != {_DUPLICATE_KEY} or error.details["writeConcernErrors"]:
                raise

    def _copy_cursors(self, folder: Folder, progress: Progress, total: int) -> None:
        conversation_id, user_id = self._record().get("cursor", ("", 0))
        done = self._database[CURSORS].estimated_document_count()
        progress.begin("cursors", total, done=min(done, total))
        while rows := folder.cursors_after(conversation_id, user_id, BATCH_ROWS):
            self._insert(CURSORS, [_cursor_put(row) for row in rows])
            conversation_id, user_id = rows[-1][:2]
            self._write_down(cursor=[conversation_id, user_id])
            progress.advance(len(rows))
        progress.end()

    def compare(self, folder: Folder, progress: Progress) -> Iterator[Verdict]:
        """Every message and cursor, the sequence of each conversation, and, once all is done, the epoch."""
        sequences = Sequences()
        yield compare(
            "messages",
            progress.watch("  messages", folder.counts()["messages"], map(self._placed, folder.messages())),
            sequences.watch(self._messages()),
            key=MESSAGE_KEY,
            columns=_COLUMNS,
            one="message",
        )
        yield sequences.verdict()
        yield compare(
            "cursors",
            folder.cursors(),
            self._cursors(),
            key=CURSOR_KEY,
            columns=CursorRow._fields,
            one="cursor",
        )
        found = self._database[ABOUT].find_one({"_id": EPOCH_ID}) or {}
        if found.get("value") != MOVING_IN:
            yield compare("epoch", [(EPOCH_ID, folder.epoch)], _told(found), key=1, columns=("", "value"))

    def _placed(self, row: MovedMessage) -> Row:
        return (*row, partition_among(row.conversation_id, self._collections))

    def _messages(self) -> Iterator[Row]:
        """All of the target, by conversation and seq, each with the number of the collection that it belongs to."""
        names = [name for name in self._database.list_collection_names() if name.startswith(HOT_PREFIX)]
        last: Row = ()
        for row in merge(*(self._rows(name) for name in sorted(names)), key=lambda row: row[:MESSAGE_KEY]):
            # On its way into the archive a message is in both for a moment.
            if row != last:
                yield row
            last = row

    def _rows(self, name: str) -> Iterator[Row]:
        number = name.removeprefix(HOT_PREFIX)
        for document in _sorted(self._database[name], BY_SEQ):
            message = _message(document)
            if name.startswith(ARCHIVE_PREFIX):
                yield self._placed(message)
            else:
                yield (*message, int(number) if number.isdigit() else -1)

    def _cursors(self) -> Iterator[Row]:
        for document in _sorted(self._database[CURSORS], CURSOR_INDEXES[0].key):
            yield _cursor(document)

    def _record(self) -> dict[str, Any]:
        return self._database[_MIGRATION].find_one({"_id": _MOVE_ID}) or {}

    def _write_down(self, **values: object) -> None:
        self._database[_MIGRATION].update_one({"_id": _MOVE_ID}, {"$set": values})


def _document(message: MovedMessage) -> bytes:
    """As im-core would have stored it."""
    raw = encoded(NewMessage(*message[:7], body=message.body))
    return bson.encode({**bson.decode(raw, CODEC), "r": True}) if message.revoked else raw


def _cursor_put(row: CursorRow) -> dict[str, Any]:
    return {"c": row.conversation_id, "u": row.user_id, "d": row.delivered_seq, "r": row.read_seq}


def _cursor(document: Mapping[str, Any]) -> CursorRow:
    return CursorRow(document["c"], document["u"], document.get("d", 0), document.get("r", 0))


def _message(document: Mapping[str, Any]) -> MovedMessage:
    time = document.get("t")
    return MovedMessage(
        conversation_id=document["c"],
        seq=document["s"],
        sender_id=document.get("f", 0),
        client_msg_id=document.get("k", ""),
        server_msg_id=document["_id"],
        server_time_ms=int(time) if isinstance(time, DatetimeMS) else 0,
        content_hash=document.get("h", b""),
        revoked=bool(document.get("r")),
        body=document.get("b", b""),
    )


def _sorted(collection: Documents, key: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    """All documents in the order of an index, page by page, so that no cursor grows old meanwhile."""
    index = list(key.items())
    names = list(key)
    after: list[tuple[str, Any]] | None = None
    while True:
        query = collection.find({}).sort(index).hint(index).limit(_PAGE_ROWS)
        if after is not None:
            query = query.min(after)
        count = 0
        for document in query:
            count += 1
            yield document
        if count < _PAGE_ROWS:
            return
        # Keys are unique and end with a whole number.
        values = [document[name] for name in names]
        after = list(zip(names, [*values[:-1], values[-1] + 1], strict=True))


def _told(document: Mapping[str, Any]) -> Iterable[Row]:
    return [(EPOCH_ID, str(document["value"]))] if "value" in document else []
