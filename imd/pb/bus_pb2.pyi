from imd.pb import connection_pb2 as _connection_pb2
from imd.pb import message_pb2 as _message_pb2
from imd.pb import sync_pb2 as _sync_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MEMBER: _ClassVar[Role]
    ADMIN: _ClassVar[Role]
    OWNER: _ClassVar[Role]
MEMBER: Role
ADMIN: Role
OWNER: Role

class Failure(_message.Message):
    __slots__ = ("code", "message", "retryable")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    code: _connection_pb2.ErrorCode
    message: str
    retryable: bool
    def __init__(self, code: _Optional[_Union[_connection_pb2.ErrorCode, str]] = ..., message: _Optional[str] = ..., retryable: _Optional[bool] = ...) -> None: ...

class TokenCheck(_message.Message):
    __slots__ = ("token", "deviceId")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    DEVICEID_FIELD_NUMBER: _ClassVar[int]
    token: str
    deviceId: str
    def __init__(self, token: _Optional[str] = ..., deviceId: _Optional[str] = ...) -> None: ...

class TokenVerdict(_message.Message):
    __slots__ = ("failure", "userId", "deviceId", "expiresAt", "scopes", "loginId")
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    USERID_FIELD_NUMBER: _ClassVar[int]
    DEVICEID_FIELD_NUMBER: _ClassVar[int]
    EXPIRESAT_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    LOGINID_FIELD_NUMBER: _ClassVar[int]
    failure: Failure
    userId: int
    deviceId: str
    expiresAt: int
    scopes: _containers.RepeatedScalarFieldContainer[str]
    loginId: str
    def __init__(self, failure: _Optional[_Union[Failure, _Mapping]] = ..., userId: _Optional[int] = ..., deviceId: _Optional[str] = ..., expiresAt: _Optional[int] = ..., scopes: _Optional[_Iterable[str]] = ..., loginId: _Optional[str] = ...) -> None: ...

class Member(_message.Message):
    __slots__ = ("userId", "role")
    USERID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    userId: int
    role: Role
    def __init__(self, userId: _Optional[int] = ..., role: _Optional[_Union[Role, str]] = ...) -> None: ...

class MembersQuery(_message.Message):
    __slots__ = ("conversationId",)
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    conversationId: str
    def __init__(self, conversationId: _Optional[str] = ...) -> None: ...

class MembersAnswer(_message.Message):
    __slots__ = ("failure", "found", "kind", "version", "members", "title")
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    failure: Failure
    found: bool
    kind: _sync_pb2.ConversationKind
    version: int
    members: _containers.RepeatedCompositeFieldContainer[Member]
    title: str
    def __init__(self, failure: _Optional[_Union[Failure, _Mapping]] = ..., found: _Optional[bool] = ..., kind: _Optional[_Union[_sync_pb2.ConversationKind, str]] = ..., version: _Optional[int] = ..., members: _Optional[_Iterable[_Union[Member, _Mapping]]] = ..., title: _Optional[str] = ...) -> None: ...

class DirectQuery(_message.Message):
    __slots__ = ("userId", "peerUserId")
    USERID_FIELD_NUMBER: _ClassVar[int]
    PEERUSERID_FIELD_NUMBER: _ClassVar[int]
    userId: int
    peerUserId: int
    def __init__(self, userId: _Optional[int] = ..., peerUserId: _Optional[int] = ...) -> None: ...

class DirectAnswer(_message.Message):
    __slots__ = ("failure", "conversationId")
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    failure: Failure
    conversationId: str
    def __init__(self, failure: _Optional[_Union[Failure, _Mapping]] = ..., conversationId: _Optional[str] = ...) -> None: ...

class ConversationsQuery(_message.Message):
    __slots__ = ("userId", "after")
    USERID_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    userId: int
    after: str
    def __init__(self, userId: _Optional[int] = ..., after: _Optional[str] = ...) -> None: ...

class ConversationEntry(_message.Message):
    __slots__ = ("conversationId", "kind", "peerUserId", "title", "memberCount")
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PEERUSERID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    MEMBERCOUNT_FIELD_NUMBER: _ClassVar[int]
    conversationId: str
    kind: _sync_pb2.ConversationKind
    peerUserId: int
    title: str
    memberCount: int
    def __init__(self, conversationId: _Optional[str] = ..., kind: _Optional[_Union[_sync_pb2.ConversationKind, str]] = ..., peerUserId: _Optional[int] = ..., title: _Optional[str] = ..., memberCount: _Optional[int] = ...) -> None: ...

class ConversationsAnswer(_message.Message):
    __slots__ = ("failure", "conversations", "next")
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    CONVERSATIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    failure: Failure
    conversations: _containers.RepeatedCompositeFieldContainer[ConversationEntry]
    next: str
    def __init__(self, failure: _Optional[_Union[Failure, _Mapping]] = ..., conversations: _Optional[_Iterable[_Union[ConversationEntry, _Mapping]]] = ..., next: _Optional[str] = ...) -> None: ...

class VisibleQuery(_message.Message):
    __slots__ = ("userId", "targetIds")
    USERID_FIELD_NUMBER: _ClassVar[int]
    TARGETIDS_FIELD_NUMBER: _ClassVar[int]
    userId: int
    targetIds: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, userId: _Optional[int] = ..., targetIds: _Optional[_Iterable[int]] = ...) -> None: ...

class VisibleAnswer(_message.Message):
    __slots__ = ("failure", "visibleIds")
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    VISIBLEIDS_FIELD_NUMBER: _ClassVar[int]
    failure: Failure
    visibleIds: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, failure: _Optional[_Union[Failure, _Mapping]] = ..., visibleIds: _Optional[_Iterable[int]] = ...) -> None: ...

class Invalidation(_message.Message):
    __slots__ = ("conversationId", "revoked", "version", "timestamp", "removedIds", "reason")
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    REMOVEDIDS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    conversationId: str
    revoked: RevokedSessions
    version: int
    timestamp: int
    removedIds: _containers.RepeatedScalarFieldContainer[int]
    reason: str
    def __init__(self, conversationId: _Optional[str] = ..., revoked: _Optional[_Union[RevokedSessions, _Mapping]] = ..., version: _Optional[int] = ..., timestamp: _Optional[int] = ..., removedIds: _Optional[_Iterable[int]] = ..., reason: _Optional[str] = ...) -> None: ...

class RevokedSessions(_message.Message):
    __slots__ = ("userId", "deviceId", "exceptDeviceId", "reason")
    USERID_FIELD_NUMBER: _ClassVar[int]
    DEVICEID_FIELD_NUMBER: _ClassVar[int]
    EXCEPTDEVICEID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    userId: int
    deviceId: str
    exceptDeviceId: str
    reason: str
    def __init__(self, userId: _Optional[int] = ..., deviceId: _Optional[str] = ..., exceptDeviceId: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class SystemAppend(_message.Message):
    __slots__ = ("conversationId", "clientMsgId", "notice", "version")
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    CLIENTMSGID_FIELD_NUMBER: _ClassVar[int]
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    conversationId: str
    clientMsgId: str
    notice: _message_pb2.SystemNotice
    version: int
    def __init__(self, conversationId: _Optional[str] = ..., clientMsgId: _Optional[str] = ..., notice: _Optional[_Union[_message_pb2.SystemNotice, _Mapping]] = ..., version: _Optional[int] = ...) -> None: ...

class SystemAppended(_message.Message):
    __slots__ = ("failure", "seq")
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    failure: Failure
    seq: int
    def __init__(self, failure: _Optional[_Union[Failure, _Mapping]] = ..., seq: _Optional[int] = ...) -> None: ...
