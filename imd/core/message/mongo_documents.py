"""What a message looks like in MongoDB, and how it is read back.

A message is one document of the collection ``message_{n}`` that its conversation belongs to, later of
``message_archive_{YYYYMM}``. Names are short because each is stored with each message:

=======  ===============================================================================================
``_id``  server_msg_id, an int64 that rises with time
``c``    conversation_id
``s``    seq
``f``    sender_id ("from")
``k``    client_msg_id ("key")
``t``    server time, as a date: what the archive expires by
``h``    content_hash
``b``    body, the serialised ``im.v1.Message``
``r``    true: revoked
``x``    in a recall: the seq that it revokes
``y``    in a recall: the body that its target gets
``v``    ids of recalls that are about to be stored, or are: see ``mongo_recall``
``e``    how often ``v``, ``r`` and ``b`` were changed; missing: never
=======  ===============================================================================================

The indexes of a hot collection are the safety of all order: ``(c, s)`` and ``(c, f, k)`` are unique.
``(c, t -1)`` is for people who look for messages by time. On a sharded cluster shard every collection
by the *ranged* key ``{c: 1}``: a unique index must begin with the shard key, which a hashed key forbids;
conversation ids are hashes or random, so ranges of them fill evenly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

import bson
from bson.datetime_ms import DatetimeMS
from twisted.logger import Logger

from imd.core.message.model import NewMessage, StoredKey
from imd.pb.message_pb2 import REVOKED, Message

Document = dict[str, Any]

HOT_PREFIX = "message_"
ARCHIVE_PREFIX = "message_archive_"
CURSORS = "cursors"

BY_SEQ = {"c": 1, "s": 1}
BY_KEY = {"c": 1, "f": 1, "k": 1}
BY_TIME = {"c": 1, "t": -1}
BY_EXPIRY = {"t": 1}

#: What it takes to show a message, and to find out whether it is revoked.
TO_SHOW = {"c": 1, "s": 1, "b": 1, "r": 1, "v": 1, "x": 1, "y": 1}
#: What a StoredKey is made of.
TO_KNOW = {"c": 1, "s": 1, "f": 1, "k": 1, "t": 1, "h": 1, "r": 1, "v": 1}

_logger = Logger()


def collection_of(partition: int) -> str:
    """The hot collection of a partition."""
    return f"{HOT_PREFIX}{partition}"


def partition_among(conversation_id: str, count: int) -> int:
    """To which of so many hot collections a conversation belongs.

    Not by the shard of its owner: that one takes the low bits of the same sum.
    """
    return (crc32(conversation_id.encode()) >> 8) % count


def archive_of(time_ms: int) -> str:
    """The archive of the month in which a message was stored."""
    month = datetime.fromtimestamp(max(0, time_ms) / 1000, tz=UTC)
    return f"{ARCHIVE_PREFIX}{month:%Y%m}"


def encoded(row: NewMessage, recalls: Sequence[int] = ()) -> bytes:
    """The document of a row.

    :param recalls: ids of rows behind it that recall it.
    """
    document: Document = {
        "_id": row.server_msg_id,
        "c": row.conversation_id,
        "s": row.seq,
        "f": row.sender_id,
        "k": row.client_msg_id,
        "t": DatetimeMS(row.server_time_ms),
        "h": row.content_hash,
        "b": row.body,
    }
    if row.revokes_seq:
        document["x"] = row.revokes_seq
        document["y"] = row.revoked_body
    if recalls:
        document["v"] = list(recalls)
        document["e"] = len(recalls)
    return bson.encode(document)


def stored_key(document: Mapping[str, Any]) -> StoredKey:
    """What is stored under the document's idempotency key.

    Where the document is broken its key counts still: the content is then like no other.
    """
    content_hash = document.get("h")
    return StoredKey(
        _number(document.get("s")),
        _number(document.get("_id")),
        _number(document.get("t")),
        content_hash if isinstance(content_hash, bytes) else b"",
        bool(document.get("r")),
    )


def _number(value: object) -> int:
    return int(value) if isinstance(value, int | DatetimeMS) else 0


def body_of(conversation_id: str, seq: int, document: Mapping[str, Any] | None) -> bytes:
    """The body; if there is none, or none that can be read, what stands in its place.

    One broken document must not keep anybody from what comes behind it.
    """
    body = document.get("b") if document is not None else None
    if isinstance(body, bytes):
        return body
    msg_id = document.get("_id") if document is not None else None
    _logger.error(
        "message {seq} of {conversation} is lost or cannot be read (_id {id}): its place stays empty",
        seq=seq,
        conversation=conversation_id,
        id=msg_id,
    )
    void = Message(conversationId=conversation_id, seq=seq, status=REVOKED)
    if isinstance(msg_id, int):
        void.serverMsgId = msg_id
    return void.SerializeToString()
