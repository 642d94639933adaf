from imd.pb import connection_pb2 as _connection_pb2
from imd.pb import delivery_pb2 as _delivery_pb2
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
    __slots__ = ("userId", "deviceId", "exceptDeviceId", "reason", "loginIds")
    USERID_FIELD_NUMBER: _ClassVar[int]
    DEVICEID_FIELD_NUMBER: _ClassVar[int]
    EXCEPTDEVICEID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    LOGINIDS_FIELD_NUMBER: _ClassVar[int]
    userId: int
    deviceId: str
    exceptDeviceId: str
    reason: str
    loginIds: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, userId: _Optional[int] = ..., deviceId: _Optional[str] = ..., exceptDeviceId: _Optional[str] = ..., reason: _Optional[str] = ..., loginIds: _Optional[_Iterable[str]] = ...) -> None: ...

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

class ForwardedSend(_message.Message):
    __slots__ = ("forwardId", "conversationId", "senderId", "clientMsgId", "body", "contentHash", "serverMsgId", "serverTime", "isMedia", "peerUserId", "revokesSeq", "revokedBody", "deviceId", "mayBeStored", "version")
    FORWARDID_FIELD_NUMBER: _ClassVar[int]
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    SENDERID_FIELD_NUMBER: _ClassVar[int]
    CLIENTMSGID_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    CONTENTHASH_FIELD_NUMBER: _ClassVar[int]
    SERVERMSGID_FIELD_NUMBER: _ClassVar[int]
    SERVERTIME_FIELD_NUMBER: _ClassVar[int]
    ISMEDIA_FIELD_NUMBER: _ClassVar[int]
    PEERUSERID_FIELD_NUMBER: _ClassVar[int]
    REVOKESSEQ_FIELD_NUMBER: _ClassVar[int]
    REVOKEDBODY_FIELD_NUMBER: _ClassVar[int]
    DEVICEID_FIELD_NUMBER: _ClassVar[int]
    MAYBESTORED_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    forwardId: int
    conversationId: str
    senderId: int
    clientMsgId: str
    body: bytes
    contentHash: bytes
    serverMsgId: int
    serverTime: int
    isMedia: bool
    peerUserId: int
    revokesSeq: int
    revokedBody: bytes
    deviceId: str
    mayBeStored: bool
    version: int
    def __init__(self, forwardId: _Optional[int] = ..., conversationId: _Optional[str] = ..., senderId: _Optional[int] = ..., clientMsgId: _Optional[str] = ..., body: _Optional[bytes] = ..., contentHash: _Optional[bytes] = ..., serverMsgId: _Optional[int] = ..., serverTime: _Optional[int] = ..., isMedia: _Optional[bool] = ..., peerUserId: _Optional[int] = ..., revokesSeq: _Optional[int] = ..., revokedBody: _Optional[bytes] = ..., deviceId: _Optional[str] = ..., mayBeStored: _Optional[bool] = ..., version: _Optional[int] = ...) -> None: ...

class ForwardedSends(_message.Message):
    __slots__ = ("nodeId", "sends")
    NODEID_FIELD_NUMBER: _ClassVar[int]
    SENDS_FIELD_NUMBER: _ClassVar[int]
    nodeId: int
    sends: _containers.RepeatedCompositeFieldContainer[ForwardedSend]
    def __init__(self, nodeId: _Optional[int] = ..., sends: _Optional[_Iterable[_Union[ForwardedSend, _Mapping]]] = ...) -> None: ...

class ForwardedTaken(_message.Message):
    __slots__ = ("failure", "outcomes", "waitingIds")
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    WAITINGIDS_FIELD_NUMBER: _ClassVar[int]
    failure: Failure
    outcomes: _containers.RepeatedCompositeFieldContainer[SendOutcome]
    waitingIds: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, failure: _Optional[_Union[Failure, _Mapping]] = ..., outcomes: _Optional[_Iterable[_Union[SendOutcome, _Mapping]]] = ..., waitingIds: _Optional[_Iterable[int]] = ...) -> None: ...

class SendOutcome(_message.Message):
    __slots__ = ("forwardId", "kind", "seq", "serverMsgId", "serverTime", "duplicate", "failure", "retryAfterMs", "field")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STORED: _ClassVar[SendOutcome.Kind]
        FAILED: _ClassVar[SendOutcome.Kind]
        DELAYED: _ClassVar[SendOutcome.Kind]
        ACCEPTED: _ClassVar[SendOutcome.Kind]
    STORED: SendOutcome.Kind
    FAILED: SendOutcome.Kind
    DELAYED: SendOutcome.Kind
    ACCEPTED: SendOutcome.Kind
    FORWARDID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    SERVERMSGID_FIELD_NUMBER: _ClassVar[int]
    SERVERTIME_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    RETRYAFTERMS_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    forwardId: int
    kind: SendOutcome.Kind
    seq: int
    serverMsgId: int
    serverTime: int
    duplicate: bool
    failure: Failure
    retryAfterMs: int
    field: str
    def __init__(self, forwardId: _Optional[int] = ..., kind: _Optional[_Union[SendOutcome.Kind, str]] = ..., seq: _Optional[int] = ..., serverMsgId: _Optional[int] = ..., serverTime: _Optional[int] = ..., duplicate: _Optional[bool] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., retryAfterMs: _Optional[int] = ..., field: _Optional[str] = ...) -> None: ...

class SendOutcomes(_message.Message):
    __slots__ = ("outcomes",)
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[SendOutcome]
    def __init__(self, outcomes: _Optional[_Iterable[_Union[SendOutcome, _Mapping]]] = ...) -> None: ...

class ToldMessage(_message.Message):
    __slots__ = ("seq", "senderId", "body", "exceptDeviceId", "revokesSeq", "revokedBody")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    SENDERID_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    EXCEPTDEVICEID_FIELD_NUMBER: _ClassVar[int]
    REVOKESSEQ_FIELD_NUMBER: _ClassVar[int]
    REVOKEDBODY_FIELD_NUMBER: _ClassVar[int]
    seq: int
    senderId: int
    body: bytes
    exceptDeviceId: str
    revokesSeq: int
    revokedBody: bytes
    def __init__(self, seq: _Optional[int] = ..., senderId: _Optional[int] = ..., body: _Optional[bytes] = ..., exceptDeviceId: _Optional[str] = ..., revokesSeq: _Optional[int] = ..., revokedBody: _Optional[bytes] = ...) -> None: ...

class ToldConversation(_message.Message):
    __slots__ = ("conversationId", "messages", "hintSeq", "typing", "typingUserId", "typingDeviceId", "cursors")
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    HINTSEQ_FIELD_NUMBER: _ClassVar[int]
    TYPING_FIELD_NUMBER: _ClassVar[int]
    TYPINGUSERID_FIELD_NUMBER: _ClassVar[int]
    TYPINGDEVICEID_FIELD_NUMBER: _ClassVar[int]
    CURSORS_FIELD_NUMBER: _ClassVar[int]
    conversationId: str
    messages: _containers.RepeatedCompositeFieldContainer[ToldMessage]
    hintSeq: int
    typing: bytes
    typingUserId: int
    typingDeviceId: str
    cursors: _containers.RepeatedCompositeFieldContainer[_delivery_pb2.MemberCursor]
    def __init__(self, conversationId: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[ToldMessage, _Mapping]]] = ..., hintSeq: _Optional[int] = ..., typing: _Optional[bytes] = ..., typingUserId: _Optional[int] = ..., typingDeviceId: _Optional[str] = ..., cursors: _Optional[_Iterable[_Union[_delivery_pb2.MemberCursor, _Mapping]]] = ...) -> None: ...

class ToldConversations(_message.Message):
    __slots__ = ("conversations",)
    CONVERSATIONS_FIELD_NUMBER: _ClassVar[int]
    conversations: _containers.RepeatedCompositeFieldContainer[ToldConversation]
    def __init__(self, conversations: _Optional[_Iterable[_Union[ToldConversation, _Mapping]]] = ...) -> None: ...

class SessionEvent(_message.Message):
    __slots__ = ("userId", "deviceId", "sessionId", "platform", "since", "gone", "goneAt")
    USERID_FIELD_NUMBER: _ClassVar[int]
    DEVICEID_FIELD_NUMBER: _ClassVar[int]
    SESSIONID_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    GONE_FIELD_NUMBER: _ClassVar[int]
    GONEAT_FIELD_NUMBER: _ClassVar[int]
    userId: int
    deviceId: str
    sessionId: int
    platform: str
    since: int
    gone: bool
    goneAt: int
    def __init__(self, userId: _Optional[int] = ..., deviceId: _Optional[str] = ..., sessionId: _Optional[int] = ..., platform: _Optional[str] = ..., since: _Optional[int] = ..., gone: _Optional[bool] = ..., goneAt: _Optional[int] = ...) -> None: ...

class SessionEvents(_message.Message):
    __slots__ = ("nodeId", "incarnation", "events", "unrecorded", "again")
    NODEID_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    UNRECORDED_FIELD_NUMBER: _ClassVar[int]
    AGAIN_FIELD_NUMBER: _ClassVar[int]
    nodeId: int
    incarnation: str
    events: _containers.RepeatedCompositeFieldContainer[SessionEvent]
    unrecorded: bool
    again: bool
    def __init__(self, nodeId: _Optional[int] = ..., incarnation: _Optional[str] = ..., events: _Optional[_Iterable[_Union[SessionEvent, _Mapping]]] = ..., unrecorded: _Optional[bool] = ..., again: _Optional[bool] = ...) -> None: ...

class RoutesQuery(_message.Message):
    __slots__ = ("userIds",)
    USERIDS_FIELD_NUMBER: _ClassVar[int]
    userIds: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, userIds: _Optional[_Iterable[int]] = ...) -> None: ...

class KnownRoute(_message.Message):
    __slots__ = ("userId", "deviceId", "nodeId", "sessionId", "platform", "since")
    USERID_FIELD_NUMBER: _ClassVar[int]
    DEVICEID_FIELD_NUMBER: _ClassVar[int]
    NODEID_FIELD_NUMBER: _ClassVar[int]
    SESSIONID_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    userId: int
    deviceId: str
    nodeId: int
    sessionId: int
    platform: str
    since: int
    def __init__(self, userId: _Optional[int] = ..., deviceId: _Optional[str] = ..., nodeId: _Optional[int] = ..., sessionId: _Optional[int] = ..., platform: _Optional[str] = ..., since: _Optional[int] = ...) -> None: ...

class RoutesAnswer(_message.Message):
    __slots__ = ("failure", "routes")
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    failure: Failure
    routes: _containers.RepeatedCompositeFieldContainer[KnownRoute]
    def __init__(self, failure: _Optional[_Union[Failure, _Mapping]] = ..., routes: _Optional[_Iterable[_Union[KnownRoute, _Mapping]]] = ...) -> None: ...

class NodeChanged(_message.Message):
    __slots__ = ("nodeId", "incarnation", "ready", "left", "shards")
    NODEID_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    nodeId: int
    incarnation: str
    ready: bool
    left: bool
    shards: bool
    def __init__(self, nodeId: _Optional[int] = ..., incarnation: _Optional[str] = ..., ready: _Optional[bool] = ..., left: _Optional[bool] = ..., shards: _Optional[bool] = ...) -> None: ...

class NodeReport(_message.Message):
    __slots__ = ("nodeId", "incarnation", "zone", "ready", "connections", "maxConnections", "load", "tcp", "tls", "ws", "versionLabels", "weight", "timestamp")
    NODEID_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    MAXCONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    TCP_FIELD_NUMBER: _ClassVar[int]
    TLS_FIELD_NUMBER: _ClassVar[int]
    WS_FIELD_NUMBER: _ClassVar[int]
    VERSIONLABELS_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    nodeId: int
    incarnation: str
    zone: str
    ready: bool
    connections: int
    maxConnections: int
    load: float
    tcp: str
    tls: str
    ws: str
    versionLabels: _containers.RepeatedScalarFieldContainer[str]
    weight: int
    timestamp: int
    def __init__(self, nodeId: _Optional[int] = ..., incarnation: _Optional[str] = ..., zone: _Optional[str] = ..., ready: _Optional[bool] = ..., connections: _Optional[int] = ..., maxConnections: _Optional[int] = ..., load: _Optional[float] = ..., tcp: _Optional[str] = ..., tls: _Optional[str] = ..., ws: _Optional[str] = ..., versionLabels: _Optional[_Iterable[str]] = ..., weight: _Optional[int] = ..., timestamp: _Optional[int] = ...) -> None: ...

class KickSession(_message.Message):
    __slots__ = ("userId", "deviceId", "sessionId", "reason")
    USERID_FIELD_NUMBER: _ClassVar[int]
    DEVICEID_FIELD_NUMBER: _ClassVar[int]
    SESSIONID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    userId: int
    deviceId: str
    sessionId: int
    reason: str
    def __init__(self, userId: _Optional[int] = ..., deviceId: _Optional[str] = ..., sessionId: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class SettingsChanged(_message.Message):
    __slots__ = ("version", "document", "timestamp")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    version: int
    document: str
    timestamp: int
    def __init__(self, version: _Optional[int] = ..., document: _Optional[str] = ..., timestamp: _Optional[int] = ...) -> None: ...
