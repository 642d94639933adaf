"""What a message may hold, what makes two the same, and the stored form of one."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

from imd.core.permission.known import EVERYBODY
from imd.kernel.errors import MediaRequired, PayloadInvalid
from imd.kernel.ids import is_client_msg_id, is_id
from imd.pb.message_pb2 import (
    AUDIO,
    CUSTOM,
    FILE,
    IMAGE,
    RECALL,
    REVOKED,
    STORED,
    SYSTEM,
    TEXT,
    VIDEO,
    MediaRef,
    Message,
    RecallNotice,
    SendMessageReq,
    SystemNotice,
)
from imd.wire.framing import encode_varint

MEDIA_TYPES = frozenset({IMAGE, AUDIO, VIDEO, FILE})
#: Which content each type that clients may send must carry.
_CONTENT_OF: dict[int, str] = {
    TEXT: "textContent",
    CUSTOM: "binaryContent",
    **dict.fromkeys(MEDIA_TYPES, "mediaRef"),
}
#: meta is for an application's few labels, not a second body.
MAX_META_ENTRIES = 64
MAX_META_KEY_BYTES = 64
#: A mediaRef's strings: long enough for presigned URLs.
MAX_MEDIA_STRING_BYTES = 4096
#: Tag of Message.seq (field 2, varint): the one field that is not known when a message is admitted.
_SEQ_TAG = b"\x10"
#: Events of system notices after which their subjects are not in the conversation any more.
_OUT = ("group.kicked", "group.left")
#: Looked up once, see imd/wire/codec.py.
_which, _to_bytes = SendMessageReq.WhichOneof, Message.SerializeToString


class ContentLimits(NamedTuple):
    """Sizes of one message (spec 18.1)."""

    text_bytes: int
    binary_bytes: int


def check_send(request: SendMessageReq, *, size_bytes: int, limits: ContentLimits) -> None:
    """Refuse what cannot be stored.

    :param size_bytes: of the whole frame; whatever is in a small frame is small.
    :raises PayloadInvalid: naming the field; MediaRequired for media without a medium.
    """
    if not is_client_msg_id(request.clientMsgId):
        raise PayloadInvalid(
            "clientMsgId must be 1 to 64 characters of A-Z a-z 0-9 _ . : -", field="send.clientMsgId"
        )
    if not is_id(request.conversationId):
        raise PayloadInvalid("conversationId is missing or malformed", field="send.conversationId")
    wanted = _CONTENT_OF.get(request.type)
    if wanted is None:
        raise PayloadInvalid(f"type {request.type} cannot be sent", field="send.type")
    if _which(request, "content") != wanted:
        if wanted == "mediaRef":
            raise MediaRequired("a media message needs mediaRef", field="send.mediaRef")
        raise PayloadInvalid(f"this type needs {wanted}", field=f"send.{wanted}")
    if wanted == "mediaRef":
        _check_media(request.mediaRef)
    elif wanted == "textContent" and not request.textContent:
        raise PayloadInvalid("textContent is empty", field="send.textContent")
    if size_bytes > limits.text_bytes or request.meta:
        _check_sizes(request, limits)


def _check_sizes(request: SendMessageReq, limits: ContentLimits) -> None:
    if len(request.meta) > MAX_META_ENTRIES:
        raise PayloadInvalid(f"meta has more than {MAX_META_ENTRIES} entries", field="send.meta")
    total = len(request.binaryContent)
    for key, value in request.meta.items():
        key_bytes = len(key.encode())
        if not 0 < key_bytes <= MAX_META_KEY_BYTES:
            raise PayloadInvalid(f"meta keys have 1 to {MAX_META_KEY_BYTES} bytes", field="send.meta")
        total += key_bytes + len(value.encode())
    if len(request.textContent.encode()) > limits.text_bytes:
        raise PayloadInvalid(f"text is longer than {limits.text_bytes} bytes", field="send.textContent")
    if total > limits.binary_bytes:
        raise PayloadInvalid(
            f"binaryContent and meta together are longer than {limits.binary_bytes} bytes",
            field="send.binaryContent",
        )


def _check_media(media: MediaRef) -> None:
    if not media.mediaId and not media.url:
        raise MediaRequired("mediaRef needs a mediaId or a url", field="send.mediaRef.mediaId")
    for name in ("mediaId", "url", "md5", "mime", "thumbnailUrl"):
        if len(getattr(media, name).encode()) > MAX_MEDIA_STRING_BYTES:
            raise PayloadInvalid(
                f"mediaRef.{name} is longer than {MAX_MEDIA_STRING_BYTES} bytes",
                field=f"send.mediaRef.{name}",
            )
    for name in ("url", "thumbnailUrl"):
        url = getattr(media, name)
        if url and not url.startswith(("https://", "http://", "/")):
            raise PayloadInvalid("only http and https links", field=f"send.mediaRef.{name}")
    if min(media.size, media.duration, media.width, media.height) < 0:
        raise PayloadInvalid("mediaRef has a negative number", field="send.mediaRef")


def content_hash(request: SendMessageReq) -> bytes:
    """16 bytes that are equal for equal content, whatever order the maps came in."""
    if request.textContent:
        content = request.textContent.encode()
    else:
        content = request.mediaRef.SerializeToString(deterministic=True) + request.binaryContent
    # Each part behind its length: no content can look like another one with meta.
    digest = blake2b(b"%d|%d|%s" % (request.type, len(content), content), digest_size=16)
    for key in sorted(request.meta):
        name, value = key.encode(), request.meta[key].encode()
        digest.update(b"%d|%d|%s%s" % (len(name), len(value), name, value))
    return digest.digest()


class Origin(NamedTuple):
    """Who says it and when, as the server knows it."""

    conversation_id: str
    sender_id: int
    sender_device_id: str
    client_msg_id: str
    server_msg_id: int
    server_time_ms: int


def _message(origin: Origin, message_type: int) -> Message:
    return Message(
        conversationId=origin.conversation_id,
        serverMsgId=origin.server_msg_id,
        clientMsgId=origin.client_msg_id,
        senderId=origin.sender_id,
        senderDeviceId=origin.sender_device_id,
        type=message_type,  # type: ignore[arg-type]
        serverTime=origin.server_time_ms,
        status=STORED,
    )


def sent_body(request: SendMessageReq, origin: Origin) -> bytes:
    """The stored form of what a client sent, without its seq: see ``with_seq``."""
    message = _message(origin, request.type)
    which = _which(request, "content")
    if which == "textContent":
        message.textContent = request.textContent
    elif which == "mediaRef":
        message.mediaRef.CopyFrom(request.mediaRef)
        message.mediaRef.DiscardUnknownFields()
    else:
        message.binaryContent = request.binaryContent
    if request.meta:
        message.meta.update(request.meta)
    return _to_bytes(message)


def replaced_body(body: bytes, text: str) -> bytes:
    """A stored form with this text in place of its own."""
    message = Message.FromString(body)
    message.textContent = text
    return message.SerializeToString()


def with_id(body: bytes, server_msg_id: int) -> bytes:
    """A stored form with this id in place of its own."""
    message = Message.FromString(body)
    message.serverMsgId = server_msg_id
    return message.SerializeToString()


def recall_body(seq: int, server_msg_id: int, origin: Origin, *, reason: str = "") -> bytes:
    """The stored form of a recall, without its own seq.

    :param reason: why the server itself took it back.
    """
    message = _message(origin, RECALL)
    message.recall.CopyFrom(RecallNotice(seq=seq, serverMsgId=server_msg_id, reason=reason))
    return message.SerializeToString()


def system_body(notice: SystemNotice, origin: Origin) -> bytes:
    """The stored form of a system notice, without its seq."""
    message = _message(origin, SYSTEM)
    message.system.CopyFrom(notice)
    return message.SerializeToString()


def less_after(body: bytes) -> tuple[Sequence[int], Sequence[int]]:
    """Who is out and who may do less since what the notice in this body tells of."""
    notice = Message.FromString(body).system
    out = notice.subjectIds if notice.event in _OUT else ()
    if notice.event == "group.all_muted":
        return out, [EVERYBODY]
    return out, notice.subjectIds if notice.event == "group.muted" else ()


def with_seq(body: bytes, seq: int) -> bytes:
    """A body with its seq: protobuf fields may come in any order, so the one that is known last goes last."""
    return body + _SEQ_TAG + encode_varint(seq)


def revoked_body(stored: Message) -> bytes:
    """What is left of a recalled message: ids, times, and that it is gone."""
    kept = Message()
    kept.CopyFrom(stored)
    kept.ClearField("content")
    kept.ClearField("meta")
    kept.status = REVOKED
    return kept.SerializeToString()
