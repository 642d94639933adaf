"""What a Client tells its application: frozen records, handed to one callback in order."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from imd.pb.delivery_pb2 import Ack
from imd.pb.message_pb2 import (
    CUSTOM,
    RECALL,
    REVOKED,
    STORED,
    SYSTEM,
    TEXT,
    MediaRef,
    Message,
    RecallNotice,
    SendMessageReq,
    SystemNotice,
)


class ChatMessage(NamedTuple):
    """One message, as the server stored it. ``sender_id`` 0 is the server itself.

    Exactly the content that goes with ``type`` is set; a revoked message has none.
    """

    conversation_id: str
    seq: int
    server_msg_id: int
    client_msg_id: str
    sender_id: int
    sender_device_id: str
    #: An ``im.v1.MessageType``; a number that is unknown here is a message to show as unsupported.
    type: int
    text: str
    media: MediaRef | None
    binary: bytes
    system: SystemNotice | None
    recalled_seq: int
    meta: dict[str, str]
    server_time_ms: int
    revoked: bool


class MessageReceived(NamedTuple):
    """The next message of its conversation, from somebody else or from another device of ours."""

    message: ChatMessage


class MessageStored(NamedTuple):
    """The next message of its conversation is one that this device sent."""

    message: ChatMessage


class MessageAccepted(NamedTuple):
    """The server has queued it; proves nothing. Only told with ``ClientOptions.all_acks``."""

    conversation_id: str
    client_msg_id: str


class MessageHeld(NamedTuple):
    """A person will look at it before anybody else sees it; it is on its way still, maybe for days."""

    conversation_id: str
    client_msg_id: str


class MessageRevoked(NamedTuple):
    """A message of ours was let in while nobody could say whether it was allowed, and it was not: it is gone again.

    Told on the devices that are connected then; who is still in the conversation sees a ``Recalled``, too.
    ``reason`` is a word for programs, as in an error.
    """

    conversation_id: str
    seq: int
    client_msg_id: str
    reason: str


class Recalled(NamedTuple):
    """The message at ``recalled_seq`` is gone; ``message`` is the recall, at its own place in the order."""

    message: ChatMessage
    recalled_seq: int


class ReceiptChanged(NamedTuple):
    """How far a member (or another device of ours) has come; a 0 says nothing about that half."""

    conversation_id: str
    user_id: int
    delivered_seq: int
    read_seq: int


class TypingChanged(NamedTuple):
    """Somebody began or ceased to type."""

    conversation_id: str
    user_id: int
    active: bool


class PresenceChanged(NamedTuple):
    """A watched user came or went. ``last_seen_ms`` is 0 while online or never seen."""

    user_id: int
    online: bool
    platforms: tuple[str, ...]
    last_seen_ms: int


class CaughtUp(NamedTuple):
    """After a (re)connect or a loss: everything the server had for us has been applied."""


class ConnectionState(Enum):
    """CONNECTING -> LIVE -> RECONNECTING -> LIVE ... -> ENDED."""

    CONNECTING = "connecting"
    LIVE = "live"
    RECONNECTING = "reconnecting"
    ENDED = "ended"


class ConversationLeft(NamedTuple):
    """We are not in this conversation any more; ``reason`` is kicked, left or dissolved."""

    conversation_id: str
    reason: str


class ConnectionStateChanged(NamedTuple):
    """The line came or went; ``reason`` is for people."""

    state: ConnectionState
    reason: str


class SessionEnded(NamedTuple):
    """The server ended this session for good (kicked, revoked, token refused); no reconnect follows."""

    reason: str


Event = (
    MessageReceived
    | MessageStored
    | MessageAccepted
    | MessageHeld
    | MessageRevoked
    | Recalled
    | ReceiptChanged
    | TypingChanged
    | PresenceChanged
    | CaughtUp
    | ConversationLeft
    | ConnectionStateChanged
    | SessionEnded
)


class SentMessage(NamedTuple):
    """Where a message of ours stands. ``duplicate``: it had been stored before, by an earlier try."""

    conversation_id: str
    seq: int
    server_msg_id: int
    client_msg_id: str
    server_time_ms: int
    duplicate: bool


class MessageFate(NamedTuple):
    """What became of a message: ``status`` is an ``im.v1.MessageStatus``; 0: not stored, send it again."""

    client_msg_id: str
    status: int
    seq: int
    server_msg_id: int


class HistoryPage(NamedTuple):
    """Messages in rising seq; ``more`` in the asked direction."""

    messages: tuple[ChatMessage, ...]
    more: bool
    last_seq: int


class ConversationInfo(NamedTuple):
    """A line of the conversation list."""

    conversation_id: str
    #: An ``im.v1.ConversationKind``.
    kind: int
    peer_user_id: int
    title: str
    last_seq: int
    read_seq: int
    unread: int
    last_message: ChatMessage | None
    member_count: int
    updated_at_ms: int


def chat_message(message: Message) -> ChatMessage:
    """Scalars copied out, so that the frame's memory can go."""
    media: MediaRef | None = None
    if message.HasField("mediaRef"):
        media = MediaRef()
        media.CopyFrom(message.mediaRef)
    system: SystemNotice | None = None
    if message.type == SYSTEM and message.HasField("system"):
        system = SystemNotice()
        system.CopyFrom(message.system)
    return ChatMessage(
        message.conversationId,
        message.seq,
        message.serverMsgId,
        message.clientMsgId,
        message.senderId,
        message.senderDeviceId,
        message.type,
        message.textContent,
        media,
        message.binaryContent,
        system,
        message.recall.seq if message.type == RECALL else 0,
        dict(message.meta),
        message.serverTime,
        message.status == REVOKED,
    )


def own_message(
    ack: Ack, sent: SendMessageReq, *, user_id: int, device_id: str, recalled_seq: int
) -> Message:
    """What the server stored for a send of ours: our content and what the ACK says."""
    message = Message(
        conversationId=ack.conversationId,
        seq=ack.seq,
        serverMsgId=ack.serverMsgId,
        clientMsgId=ack.clientMsgId,
        senderId=user_id,
        senderDeviceId=device_id,
        type=RECALL if recalled_seq else sent.type,
        serverTime=ack.serverTime,
        status=ack.status if ack.status == REVOKED else STORED,
        meta=sent.meta,
    )
    if recalled_seq:
        message.recall.CopyFrom(RecallNotice(seq=recalled_seq))
    elif message.status == REVOKED:
        message.ClearField("meta")
    elif sent.type == TEXT:
        message.textContent = sent.textContent
    elif sent.type == CUSTOM:
        message.binaryContent = sent.binaryContent
    elif sent.HasField("mediaRef"):
        message.mediaRef.CopyFrom(sent.mediaRef)
    return message
