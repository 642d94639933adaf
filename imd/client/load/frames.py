"""What a load client says and hears, as bytes.

A client message id carries who sent the message, its number and the moment it was due, so that
whoever sees the message knows its identity and its age without looking anything up.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from imd.pb.connection_pb2 import ACK_FINAL_ONLY
from imd.pb.envelope_pb2 import Envelope
from imd.pb.message_pb2 import TEXT, Message
from imd.pb.sync_pb2 import FORWARD
from imd.wire.codec import encode
from imd.wire.framing import encode_varint

#: First byte of an Envelope that carries nothing but this payload (field number << 3 | 2).
ACK_TAG: Final = 11 << 3 | 2
DELIVER_TAG: Final = encode_varint(30 << 3 | 2)

#: The server takes at most 4 KiB as first frame; a cursor is about 40 bytes.
MAX_CURSORS: Final = 60
HISTORY_PAGE: Final = 200

_ID_FORMAT: Final = b"%06x.%08x.%016x"
_ID_LENGTH: Final = 32
_NUMBER_BITS: Final = 32

#: A message of somebody who is not part of this run.
FOREIGN: Final = -1


def identity(sender: int, number: int) -> int:
    """Sender and number as one integer."""
    return sender << _NUMBER_BITS | number


def sender_of(who: int) -> int:
    """The sender in an identity."""
    return who >> _NUMBER_BITS


def read_id(client_msg_id: str) -> tuple[int, int, int]:
    """(sender, number, due_ns) of a client message id of ours; (FOREIGN, 0, 0) of any other."""
    if len(client_msg_id) != _ID_LENGTH:
        return FOREIGN, 0, 0
    try:
        return int(client_msg_id[:6], 16), int(client_msg_id[7:15], 16), int(client_msg_id[16:], 16)
    except ValueError:
        return FOREIGN, 0, 0


class SendTemplate:
    """A send, serialised once; only the client message id differs from message to message."""

    __slots__ = ("_after", "_before")

    def __init__(self, *, conversation_id: str, peer_user_id: int = 0, text: str) -> None:
        envelope = Envelope()
        send = envelope.send
        send.conversationId = conversation_id
        send.peerUserId = peer_user_id
        send.type = TEXT
        send.textContent = text
        placeholder = _ID_FORMAT % (0xABCDEF, 0x12345678, 0x7EDCBA9876543210)
        send.clientMsgId = placeholder.decode()
        before, after = encode(envelope).split(placeholder)
        self._before = before
        self._after = after

    def frame(self, sender: int, number: int, due_ns: int) -> bytes:
        return self._before + _ID_FORMAT % (sender, number, due_ns) + self._after


#: conversation id, seq, identity (or FOREIGN), due_ns
Delivery = tuple[str, int, int, int]


def delivery(message: Message) -> Delivery:
    """What counts of a delivered message."""
    sender, number, due_ns = read_id(message.clientMsgId)
    who = FOREIGN if sender == FOREIGN else identity(sender, number)
    return message.conversationId, message.seq, who, due_ns


def connect_frame(*, token: str, device_id: str, cursors: Iterable[tuple[str, int]]) -> bytes:
    envelope = Envelope()
    connect = envelope.connect
    connect.token = token
    connect.deviceId = device_id
    connect.platform = "bot"
    connect.clientVersion = "bench"
    connect.acks = ACK_FINAL_ONLY
    for conversation_id, last_seq in list(cursors)[:MAX_CURSORS]:
        connect.cursors.add(conversationId=conversation_id, lastSeq=last_seq)
    return encode(envelope)


def sync_frame(cursors: Iterable[tuple[str, int]], page_token: str = "") -> bytes:
    envelope = Envelope()
    envelope.syncReq.pageToken = page_token
    for conversation_id, last_seq in cursors:
        envelope.syncReq.cursors.add(conversationId=conversation_id, lastSeq=last_seq)
    envelope.syncReq.SetInParent()
    return encode(envelope)


def history_frame(conversation_id: str, from_seq: int) -> bytes:
    envelope = Envelope()
    request = envelope.historyReq
    request.conversationId = conversation_id
    request.fromSeq = from_seq
    request.limit = HISTORY_PAGE
    request.direction = FORWARD
    return encode(envelope)


def deliver_ack_frame(conversation_id: str, seq: int) -> bytes:
    envelope = Envelope()
    envelope.deliverAck.conversationId = conversation_id
    envelope.deliverAck.seq = seq
    return encode(envelope)


def heartbeat_frame(now_ms: int) -> bytes:
    envelope = Envelope()
    envelope.hb.sentAt = now_ms
    return encode(envelope)
