from imd.pb import connection_pb2 as _connection_pb2
from imd.pb import delivery_pb2 as _delivery_pb2
from imd.pb import message_pb2 as _message_pb2
from imd.pb import presence_pb2 as _presence_pb2
from imd.pb import sync_pb2 as _sync_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Header(_message.Message):
    __slots__ = ("traceId", "clientMsgId", "timestamp", "codecVersion", "deviceId", "userId", "requestId")
    TRACEID_FIELD_NUMBER: _ClassVar[int]
    CLIENTMSGID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    CODECVERSION_FIELD_NUMBER: _ClassVar[int]
    DEVICEID_FIELD_NUMBER: _ClassVar[int]
    USERID_FIELD_NUMBER: _ClassVar[int]
    REQUESTID_FIELD_NUMBER: _ClassVar[int]
    traceId: str
    clientMsgId: str
    timestamp: int
    codecVersion: str
    deviceId: str
    userId: int
    requestId: int
    def __init__(self, traceId: _Optional[str] = ..., clientMsgId: _Optional[str] = ..., timestamp: _Optional[int] = ..., codecVersion: _Optional[str] = ..., deviceId: _Optional[str] = ..., userId: _Optional[int] = ..., requestId: _Optional[int] = ...) -> None: ...

class Envelope(_message.Message):
    __slots__ = ("header", "send", "ack", "hb", "read", "typing", "connect", "connected", "refreshToken", "tokenRefreshed", "reconnect", "kicked", "error", "deliver", "deliverAck", "receiptNotice", "hint", "resync", "historyReq", "historyResp", "syncReq", "syncResp", "queryMessageStatusReq", "queryMessageStatusResp", "receiptsReq", "recall", "presenceSubscribeReq", "presenceNotice", "conversationListReq", "conversationListResp", "conversationLeft")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    SEND_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    HB_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    TYPING_FIELD_NUMBER: _ClassVar[int]
    CONNECT_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    REFRESHTOKEN_FIELD_NUMBER: _ClassVar[int]
    TOKENREFRESHED_FIELD_NUMBER: _ClassVar[int]
    RECONNECT_FIELD_NUMBER: _ClassVar[int]
    KICKED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    DELIVER_FIELD_NUMBER: _ClassVar[int]
    DELIVERACK_FIELD_NUMBER: _ClassVar[int]
    RECEIPTNOTICE_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    RESYNC_FIELD_NUMBER: _ClassVar[int]
    HISTORYREQ_FIELD_NUMBER: _ClassVar[int]
    HISTORYRESP_FIELD_NUMBER: _ClassVar[int]
    SYNCREQ_FIELD_NUMBER: _ClassVar[int]
    SYNCRESP_FIELD_NUMBER: _ClassVar[int]
    QUERYMESSAGESTATUSREQ_FIELD_NUMBER: _ClassVar[int]
    QUERYMESSAGESTATUSRESP_FIELD_NUMBER: _ClassVar[int]
    RECEIPTSREQ_FIELD_NUMBER: _ClassVar[int]
    RECALL_FIELD_NUMBER: _ClassVar[int]
    PRESENCESUBSCRIBEREQ_FIELD_NUMBER: _ClassVar[int]
    PRESENCENOTICE_FIELD_NUMBER: _ClassVar[int]
    CONVERSATIONLISTREQ_FIELD_NUMBER: _ClassVar[int]
    CONVERSATIONLISTRESP_FIELD_NUMBER: _ClassVar[int]
    CONVERSATIONLEFT_FIELD_NUMBER: _ClassVar[int]
    header: Header
    send: _message_pb2.SendMessageReq
    ack: _delivery_pb2.Ack
    hb: _connection_pb2.Heartbeat
    read: _delivery_pb2.Receipt
    typing: _delivery_pb2.Typing
    connect: _connection_pb2.Connect
    connected: _connection_pb2.Connected
    refreshToken: _connection_pb2.RefreshToken
    tokenRefreshed: _connection_pb2.TokenRefreshed
    reconnect: _connection_pb2.Reconnect
    kicked: _connection_pb2.Kicked
    error: _connection_pb2.Error
    deliver: _delivery_pb2.Deliver
    deliverAck: _delivery_pb2.DeliverAck
    receiptNotice: _delivery_pb2.ReceiptNotice
    hint: _delivery_pb2.Hint
    resync: _delivery_pb2.Resync
    historyReq: _sync_pb2.HistoryReq
    historyResp: _sync_pb2.HistoryResp
    syncReq: _sync_pb2.SyncReq
    syncResp: _sync_pb2.SyncResp
    queryMessageStatusReq: _sync_pb2.QueryMessageStatusReq
    queryMessageStatusResp: _sync_pb2.QueryMessageStatusResp
    receiptsReq: _sync_pb2.ReceiptsReq
    recall: _sync_pb2.RecallReq
    presenceSubscribeReq: _presence_pb2.PresenceSubscribeReq
    presenceNotice: _presence_pb2.PresenceNotice
    conversationListReq: _sync_pb2.ConversationListReq
    conversationListResp: _sync_pb2.ConversationListResp
    conversationLeft: _sync_pb2.ConversationLeft
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., send: _Optional[_Union[_message_pb2.SendMessageReq, _Mapping]] = ..., ack: _Optional[_Union[_delivery_pb2.Ack, _Mapping]] = ..., hb: _Optional[_Union[_connection_pb2.Heartbeat, _Mapping]] = ..., read: _Optional[_Union[_delivery_pb2.Receipt, _Mapping]] = ..., typing: _Optional[_Union[_delivery_pb2.Typing, _Mapping]] = ..., connect: _Optional[_Union[_connection_pb2.Connect, _Mapping]] = ..., connected: _Optional[_Union[_connection_pb2.Connected, _Mapping]] = ..., refreshToken: _Optional[_Union[_connection_pb2.RefreshToken, _Mapping]] = ..., tokenRefreshed: _Optional[_Union[_connection_pb2.TokenRefreshed, _Mapping]] = ..., reconnect: _Optional[_Union[_connection_pb2.Reconnect, _Mapping]] = ..., kicked: _Optional[_Union[_connection_pb2.Kicked, _Mapping]] = ..., error: _Optional[_Union[_connection_pb2.Error, _Mapping]] = ..., deliver: _Optional[_Union[_delivery_pb2.Deliver, _Mapping]] = ..., deliverAck: _Optional[_Union[_delivery_pb2.DeliverAck, _Mapping]] = ..., receiptNotice: _Optional[_Union[_delivery_pb2.ReceiptNotice, _Mapping]] = ..., hint: _Optional[_Union[_delivery_pb2.Hint, _Mapping]] = ..., resync: _Optional[_Union[_delivery_pb2.Resync, _Mapping]] = ..., historyReq: _Optional[_Union[_sync_pb2.HistoryReq, _Mapping]] = ..., historyResp: _Optional[_Union[_sync_pb2.HistoryResp, _Mapping]] = ..., syncReq: _Optional[_Union[_sync_pb2.SyncReq, _Mapping]] = ..., syncResp: _Optional[_Union[_sync_pb2.SyncResp, _Mapping]] = ..., queryMessageStatusReq: _Optional[_Union[_sync_pb2.QueryMessageStatusReq, _Mapping]] = ..., queryMessageStatusResp: _Optional[_Union[_sync_pb2.QueryMessageStatusResp, _Mapping]] = ..., receiptsReq: _Optional[_Union[_sync_pb2.ReceiptsReq, _Mapping]] = ..., recall: _Optional[_Union[_sync_pb2.RecallReq, _Mapping]] = ..., presenceSubscribeReq: _Optional[_Union[_presence_pb2.PresenceSubscribeReq, _Mapping]] = ..., presenceNotice: _Optional[_Union[_presence_pb2.PresenceNotice, _Mapping]] = ..., conversationListReq: _Optional[_Union[_sync_pb2.ConversationListReq, _Mapping]] = ..., conversationListResp: _Optional[_Union[_sync_pb2.ConversationListResp, _Mapping]] = ..., conversationLeft: _Optional[_Union[_sync_pb2.ConversationLeft, _Mapping]] = ...) -> None: ...
