from imd.pb import connection_pb2 as _connection_pb2
from imd.pb import message_pb2 as _message_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Ack(_message.Message):
    __slots__ = ("clientMsgId", "serverMsgId", "seq", "status", "conversationId", "serverTime", "duplicate", "error")
    CLIENTMSGID_FIELD_NUMBER: _ClassVar[int]
    SERVERMSGID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    SERVERTIME_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    clientMsgId: str
    serverMsgId: int
    seq: int
    status: _message_pb2.MessageStatus
    conversationId: str
    serverTime: int
    duplicate: bool
    error: _connection_pb2.Error
    def __init__(self, clientMsgId: _Optional[str] = ..., serverMsgId: _Optional[int] = ..., seq: _Optional[int] = ..., status: _Optional[_Union[_message_pb2.MessageStatus, str]] = ..., conversationId: _Optional[str] = ..., serverTime: _Optional[int] = ..., duplicate: _Optional[bool] = ..., error: _Optional[_Union[_connection_pb2.Error, _Mapping]] = ...) -> None: ...

class Deliver(_message.Message):
    __slots__ = ("message",)
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    message: _message_pb2.Message
    def __init__(self, message: _Optional[_Union[_message_pb2.Message, _Mapping]] = ...) -> None: ...

class DeliverAck(_message.Message):
    __slots__ = ("conversationId", "seq")
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    conversationId: str
    seq: int
    def __init__(self, conversationId: _Optional[str] = ..., seq: _Optional[int] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("conversationId", "readSeq")
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    READSEQ_FIELD_NUMBER: _ClassVar[int]
    conversationId: str
    readSeq: int
    def __init__(self, conversationId: _Optional[str] = ..., readSeq: _Optional[int] = ...) -> None: ...

class MemberCursor(_message.Message):
    __slots__ = ("userId", "deliveredSeq", "readSeq")
    USERID_FIELD_NUMBER: _ClassVar[int]
    DELIVEREDSEQ_FIELD_NUMBER: _ClassVar[int]
    READSEQ_FIELD_NUMBER: _ClassVar[int]
    userId: int
    deliveredSeq: int
    readSeq: int
    def __init__(self, userId: _Optional[int] = ..., deliveredSeq: _Optional[int] = ..., readSeq: _Optional[int] = ...) -> None: ...

class ReceiptNotice(_message.Message):
    __slots__ = ("conversationId", "cursors")
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    CURSORS_FIELD_NUMBER: _ClassVar[int]
    conversationId: str
    cursors: _containers.RepeatedCompositeFieldContainer[MemberCursor]
    def __init__(self, conversationId: _Optional[str] = ..., cursors: _Optional[_Iterable[_Union[MemberCursor, _Mapping]]] = ...) -> None: ...

class Hint(_message.Message):
    __slots__ = ("conversationId", "lastSeq")
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    LASTSEQ_FIELD_NUMBER: _ClassVar[int]
    conversationId: str
    lastSeq: int
    def __init__(self, conversationId: _Optional[str] = ..., lastSeq: _Optional[int] = ...) -> None: ...

class Resync(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class Typing(_message.Message):
    __slots__ = ("conversationId", "userId", "active")
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    USERID_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    conversationId: str
    userId: int
    active: bool
    def __init__(self, conversationId: _Optional[str] = ..., userId: _Optional[int] = ..., active: _Optional[bool] = ...) -> None: ...
