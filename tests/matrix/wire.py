"""Every request of the wire, as whoever has a role makes it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import NamedTuple

from imd.pb.connection_pb2 import Heartbeat, RefreshToken
from imd.pb.delivery_pb2 import DeliverAck, Receipt, Typing
from imd.pb.envelope_pb2 import Envelope
from imd.pb.message_pb2 import CUSTOM, IMAGE, TEXT, MediaRef, SendMessageReq
from imd.pb.presence_pb2 import PresenceSubscribeReq
from imd.pb.sync_pb2 import (
    ConversationListReq,
    HistoryReq,
    QueryMessageStatusReq,
    RecallReq,
    ReceiptsReq,
    SyncReq,
)
from tests.matrix.scene import Ids, Scene

_numbers = count()


class Row(NamedTuple):
    """One request, or one way to make it."""

    request: Callable[[Scene, Ids], Envelope]
    #: Which of the ids is replaced by one that does not exist, to compare the answers.
    hides: str = ""
    #: Whether something was said in the group before.
    talk: bool = False


def _name() -> str:
    return f"m-{next(_numbers)}"


def _text(conversation_id: str = "", *, peer: int = 0) -> Envelope:
    request = SendMessageReq(clientMsgId=_name(), type=TEXT, textContent="hello", peerUserId=peer)
    request.conversationId = conversation_id
    return Envelope(send=request)


def _media(conversation_id: str) -> Envelope:
    medium = MediaRef(mediaId="1", url="https://media.example.com/1", size=1, mime="image/png")
    request = SendMessageReq(conversationId=conversation_id, clientMsgId=_name(), type=IMAGE, mediaRef=medium)
    return Envelope(send=request)


def _custom(conversation_id: str) -> Envelope:
    request = SendMessageReq(
        conversationId=conversation_id, clientMsgId=_name(), type=CUSTOM, binaryContent=b"\x00"
    )
    return Envelope(send=request)


def _recall(conversation_id: str, seq: int) -> Envelope:
    return Envelope(recall=RecallReq(conversationId=conversation_id, seq=seq, clientMsgId=_name()))


def _history(conversation_id: str) -> Envelope:
    return Envelope(historyReq=HistoryReq(conversationId=conversation_id))


def _status(conversation_id: str) -> Envelope:
    request = QueryMessageStatusReq(conversationId=conversation_id, clientMsgIds=["x"])
    return Envelope(queryMessageStatusReq=request)


def _token(scene: Scene) -> str:
    return scene.person.token if scene.person is not None else ""


ROWS: dict[str, Row] = {
    "connect": Row(lambda _, __: Envelope(hb=Heartbeat(sentAt=1))),
    "send:text": Row(lambda _, ids: _text(ids.group), hides="group"),
    "send:media": Row(lambda _, ids: _media(ids.group), hides="group"),
    "send:custom": Row(lambda _, ids: _custom(ids.group), hides="group"),
    "send:direct text": Row(lambda _, ids: _text(ids.direct), hides="direct"),
    "send:direct media": Row(lambda _, ids: _media(ids.direct), hides="direct"),
    "send:to a peer": Row(lambda _, ids: _text(peer=ids.peer), hides="peer"),
    "send:to anybody": Row(lambda _, ids: _text(peer=ids.outsider)),
    "recall:own": Row(lambda _, ids: _recall(ids.group, ids.own_seq), hides="group", talk=True),
    "recall:others'": Row(lambda _, ids: _recall(ids.group, ids.their_seq), hides="group", talk=True),
    "historyReq": Row(lambda _, ids: _history(ids.group), hides="group"),
    "historyReq:direct": Row(lambda _, ids: _history(ids.direct), hides="direct"),
    "syncReq": Row(lambda _, __: Envelope(syncReq=SyncReq())),
    "queryMessageStatusReq": Row(lambda _, ids: _status(ids.group), hides="group"),
    "receiptsReq": Row(
        lambda _, ids: Envelope(receiptsReq=ReceiptsReq(conversationId=ids.group)), hides="group"
    ),
    "read": Row(lambda _, ids: Envelope(read=Receipt(conversationId=ids.group, readSeq=1)), hides="group"),
    "deliverAck": Row(
        lambda _, ids: Envelope(deliverAck=DeliverAck(conversationId=ids.group, seq=1)), hides="group"
    ),
    "typing": Row(
        lambda _, ids: Envelope(typing=Typing(conversationId=ids.group, active=True)), hides="group"
    ),
    "typing:direct": Row(
        lambda _, ids: Envelope(typing=Typing(conversationId=ids.direct, active=True)), hides="direct"
    ),
    "presenceSubscribeReq": Row(
        lambda _, ids: Envelope(presenceSubscribeReq=PresenceSubscribeReq(userIds=[ids.member]))
    ),
    "conversationListReq": Row(lambda _, __: Envelope(conversationListReq=ConversationListReq())),
    "refreshToken": Row(lambda scene, _: Envelope(refreshToken=RefreshToken(token=_token(scene)))),
    "refreshToken:another's": Row(
        lambda scene, _: Envelope(refreshToken=RefreshToken(token=scene.cast.member.token))
    ),
}
