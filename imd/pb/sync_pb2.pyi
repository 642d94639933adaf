from imd.pb import connection_pb2 as _connection_pb2
from imd.pb import delivery_pb2 as _delivery_pb2
from imd.pb import message_pb2 as _message_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Direction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FORWARD: _ClassVar[Direction]
    BACKWARD: _ClassVar[Direction]

class ConversationKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONVERSATION_KIND_UNSPECIFIED: _ClassVar[ConversationKind]
    P2P: _ClassVar[ConversationKind]
    GROUP: _ClassVar[ConversationKind]
FORWARD: Direction
BACKWARD: Direction
CONVERSATION_KIND_UNSPECIFIED: ConversationKind
P2P: ConversationKind
GROUP: ConversationKind

class HistoryReq(_message.Message):
    __slots__ = ("conversationId", "fromSeq", "limit", "direction")
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    FROMSEQ_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    conversationId: str
    fromSeq: int
    limit: int
    direction: Direction
    def __init__(self, conversationId: _Optional[str] = ..., fromSeq: _Optional[int] = ..., limit: _Optional[int] = ..., direction: _Optional[_Union[Direction, str]] = ...) -> None: ...

class HistoryResp(_message.Message):
    __slots__ = ("conversationId", "messages", "more", "lastSeq")
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    LASTSEQ_FIELD_NUMBER: _ClassVar[int]
    conversationId: str
    messages: _containers.RepeatedCompositeFieldContainer[_message_pb2.Message]
    more: bool
    lastSeq: int
    def __init__(self, conversationId: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[_message_pb2.Message, _Mapping]]] = ..., more: _Optional[bool] = ..., lastSeq: _Optional[int] = ...) -> None: ...

class ConversationState(_message.Message):
    __slots__ = ("conversationId", "lastSeq", "readSeq")
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    LASTSEQ_FIELD_NUMBER: _ClassVar[int]
    READSEQ_FIELD_NUMBER: _ClassVar[int]
    conversationId: str
    lastSeq: int
    readSeq: int
    def __init__(self, conversationId: _Optional[str] = ..., lastSeq: _Optional[int] = ..., readSeq: _Optional[int] = ...) -> None: ...

class SyncReq(_message.Message):
    __slots__ = ("cursors", "onlyListed", "pageToken")
    CURSORS_FIELD_NUMBER: _ClassVar[int]
    ONLYLISTED_FIELD_NUMBER: _ClassVar[int]
    PAGETOKEN_FIELD_NUMBER: _ClassVar[int]
    cursors: _containers.RepeatedCompositeFieldContainer[_connection_pb2.ConversationCursor]
    onlyListed: bool
    pageToken: str
    def __init__(self, cursors: _Optional[_Iterable[_Union[_connection_pb2.ConversationCursor, _Mapping]]] = ..., onlyListed: _Optional[bool] = ..., pageToken: _Optional[str] = ...) -> None: ...

class SyncResp(_message.Message):
    __slots__ = ("behind", "nextPageToken")
    BEHIND_FIELD_NUMBER: _ClassVar[int]
    NEXTPAGETOKEN_FIELD_NUMBER: _ClassVar[int]
    behind: _containers.RepeatedCompositeFieldContainer[ConversationState]
    nextPageToken: str
    def __init__(self, behind: _Optional[_Iterable[_Union[ConversationState, _Mapping]]] = ..., nextPageToken: _Optional[str] = ...) -> None: ...

class QueryMessageStatusReq(_message.Message):
    __slots__ = ("conversationId", "clientMsgIds")
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    CLIENTMSGIDS_FIELD_NUMBER: _ClassVar[int]
    conversationId: str
    clientMsgIds: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, conversationId: _Optional[str] = ..., clientMsgIds: _Optional[_Iterable[str]] = ...) -> None: ...

class QueryMessageStatusResp(_message.Message):
    __slots__ = ("conversationId", "acks")
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    ACKS_FIELD_NUMBER: _ClassVar[int]
    conversationId: str
    acks: _containers.RepeatedCompositeFieldContainer[_delivery_pb2.Ack]
    def __init__(self, conversationId: _Optional[str] = ..., acks: _Optional[_Iterable[_Union[_delivery_pb2.Ack, _Mapping]]] = ...) -> None: ...

class ReceiptsReq(_message.Message):
    __slots__ = ("conversationId",)
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    conversationId: str
    def __init__(self, conversationId: _Optional[str] = ...) -> None: ...

class RecallReq(_message.Message):
    __slots__ = ("conversationId", "seq", "clientMsgId")
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    CLIENTMSGID_FIELD_NUMBER: _ClassVar[int]
    conversationId: str
    seq: int
    clientMsgId: str
    def __init__(self, conversationId: _Optional[str] = ..., seq: _Optional[int] = ..., clientMsgId: _Optional[str] = ...) -> None: ...

class Conversation(_message.Message):
    __slots__ = ("conversationId", "kind", "peerUserId", "title", "lastSeq", "readSeq", "unread", "lastMessage", "memberCount", "updatedAt")
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PEERUSERID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    LASTSEQ_FIELD_NUMBER: _ClassVar[int]
    READSEQ_FIELD_NUMBER: _ClassVar[int]
    UNREAD_FIELD_NUMBER: _ClassVar[int]
    LASTMESSAGE_FIELD_NUMBER: _ClassVar[int]
    MEMBERCOUNT_FIELD_NUMBER: _ClassVar[int]
    UPDATEDAT_FIELD_NUMBER: _ClassVar[int]
    conversationId: str
    kind: ConversationKind
    peerUserId: int
    title: str
    lastSeq: int
    readSeq: int
    unread: int
    lastMessage: _message_pb2.Message
    memberCount: int
    updatedAt: int
    def __init__(self, conversationId: _Optional[str] = ..., kind: _Optional[_Union[ConversationKind, str]] = ..., peerUserId: _Optional[int] = ..., title: _Optional[str] = ..., lastSeq: _Optional[int] = ..., readSeq: _Optional[int] = ..., unread: _Optional[int] = ..., lastMessage: _Optional[_Union[_message_pb2.Message, _Mapping]] = ..., memberCount: _Optional[int] = ..., updatedAt: _Optional[int] = ...) -> None: ...

class ConversationLeft(_message.Message):
    __slots__ = ("conversationId", "reason")
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    conversationId: str
    reason: str
    def __init__(self, conversationId: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ConversationListReq(_message.Message):
    __slots__ = ("limit", "pageToken")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    PAGETOKEN_FIELD_NUMBER: _ClassVar[int]
    limit: int
    pageToken: str
    def __init__(self, limit: _Optional[int] = ..., pageToken: _Optional[str] = ...) -> None: ...

class ConversationListResp(_message.Message):
    __slots__ = ("conversations", "nextPageToken")
    CONVERSATIONS_FIELD_NUMBER: _ClassVar[int]
    NEXTPAGETOKEN_FIELD_NUMBER: _ClassVar[int]
    conversations: _containers.RepeatedCompositeFieldContainer[Conversation]
    nextPageToken: str
    def __init__(self, conversations: _Optional[_Iterable[_Union[Conversation, _Mapping]]] = ..., nextPageToken: _Optional[str] = ...) -> None: ...
