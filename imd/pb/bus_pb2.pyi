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

class GroupKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GROUP_KIND_UNSPECIFIED: _ClassVar[GroupKind]
    NORMAL: _ClassVar[GroupKind]
    MANAGED: _ClassVar[GroupKind]
    PUBLIC: _ClassVar[GroupKind]
    OFFICIAL: _ClassVar[GroupKind]

class Right(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NO_RIGHT: _ClassVar[Right]
    MESSAGE: _ClassVar[Right]
    MEDIA: _ClassVar[Right]
    CONTROL: _ClassVar[Right]
    INVITE: _ClassVar[Right]
    MUTE: _ClassVar[Right]
    RECALL_OTHERS: _ClassVar[Right]
    MANAGE: _ClassVar[Right]
MEMBER: Role
ADMIN: Role
OWNER: Role
GROUP_KIND_UNSPECIFIED: GroupKind
NORMAL: GroupKind
MANAGED: GroupKind
PUBLIC: GroupKind
OFFICIAL: GroupKind
NO_RIGHT: Right
MESSAGE: Right
MEDIA: Right
CONTROL: Right
INVITE: Right
MUTE: Right
RECALL_OTHERS: Right
MANAGE: Right

class Failure(_message.Message):
    __slots__ = ("code", "message", "retryable", "reason")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    code: _connection_pb2.ErrorCode
    message: str
    retryable: bool
    reason: str
    def __init__(self, code: _Optional[_Union[_connection_pb2.ErrorCode, str]] = ..., message: _Optional[str] = ..., retryable: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...

class TokenCheck(_message.Message):
    __slots__ = ("token", "deviceId")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    DEVICEID_FIELD_NUMBER: _ClassVar[int]
    token: str
    deviceId: str
    def __init__(self, token: _Optional[str] = ..., deviceId: _Optional[str] = ...) -> None: ...

class TokenVerdict(_message.Message):
    __slots__ = ("failure", "userId", "deviceId", "expiresAt", "scopes", "loginId", "ticket", "level")
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    USERID_FIELD_NUMBER: _ClassVar[int]
    DEVICEID_FIELD_NUMBER: _ClassVar[int]
    EXPIRESAT_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    LOGINID_FIELD_NUMBER: _ClassVar[int]
    TICKET_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    failure: Failure
    userId: int
    deviceId: str
    expiresAt: int
    scopes: _containers.RepeatedScalarFieldContainer[str]
    loginId: str
    ticket: bytes
    level: int
    def __init__(self, failure: _Optional[_Union[Failure, _Mapping]] = ..., userId: _Optional[int] = ..., deviceId: _Optional[str] = ..., expiresAt: _Optional[int] = ..., scopes: _Optional[_Iterable[str]] = ..., loginId: _Optional[str] = ..., ticket: _Optional[bytes] = ..., level: _Optional[int] = ...) -> None: ...

class MembersQuery(_message.Message):
    __slots__ = ("conversationId",)
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    conversationId: str
    def __init__(self, conversationId: _Optional[str] = ...) -> None: ...

class MembersAnswer(_message.Message):
    __slots__ = ("failure", "found", "kind", "version", "title", "memberIds", "roles", "groupKind", "sensitive", "rights", "allMutedUntil", "restrictions", "policyVersion")
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    MEMBERIDS_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    GROUPKIND_FIELD_NUMBER: _ClassVar[int]
    SENSITIVE_FIELD_NUMBER: _ClassVar[int]
    RIGHTS_FIELD_NUMBER: _ClassVar[int]
    ALLMUTEDUNTIL_FIELD_NUMBER: _ClassVar[int]
    RESTRICTIONS_FIELD_NUMBER: _ClassVar[int]
    POLICYVERSION_FIELD_NUMBER: _ClassVar[int]
    failure: Failure
    found: bool
    kind: _sync_pb2.ConversationKind
    version: int
    title: str
    memberIds: _containers.RepeatedScalarFieldContainer[int]
    roles: _containers.RepeatedScalarFieldContainer[Role]
    groupKind: GroupKind
    sensitive: bool
    rights: _containers.RepeatedScalarFieldContainer[int]
    allMutedUntil: int
    restrictions: _containers.RepeatedCompositeFieldContainer[Restriction]
    policyVersion: int
    def __init__(self, failure: _Optional[_Union[Failure, _Mapping]] = ..., found: _Optional[bool] = ..., kind: _Optional[_Union[_sync_pb2.ConversationKind, str]] = ..., version: _Optional[int] = ..., title: _Optional[str] = ..., memberIds: _Optional[_Iterable[int]] = ..., roles: _Optional[_Iterable[_Union[Role, str]]] = ..., groupKind: _Optional[_Union[GroupKind, str]] = ..., sensitive: _Optional[bool] = ..., rights: _Optional[_Iterable[int]] = ..., allMutedUntil: _Optional[int] = ..., restrictions: _Optional[_Iterable[_Union[Restriction, _Mapping]]] = ..., policyVersion: _Optional[int] = ...) -> None: ...

class Restriction(_message.Message):
    __slots__ = ("userId", "mutedUntil", "refused", "visibleFrom")
    USERID_FIELD_NUMBER: _ClassVar[int]
    MUTEDUNTIL_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    VISIBLEFROM_FIELD_NUMBER: _ClassVar[int]
    userId: int
    mutedUntil: int
    refused: str
    visibleFrom: int
    def __init__(self, userId: _Optional[int] = ..., mutedUntil: _Optional[int] = ..., refused: _Optional[str] = ..., visibleFrom: _Optional[int] = ...) -> None: ...

class CheckQuery(_message.Message):
    __slots__ = ("checks",)
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    checks: _containers.RepeatedCompositeFieldContainer[Check]
    def __init__(self, checks: _Optional[_Iterable[_Union[Check, _Mapping]]] = ...) -> None: ...

class Check(_message.Message):
    __slots__ = ("requestId", "ticket", "userId", "conversationId", "right")
    REQUESTID_FIELD_NUMBER: _ClassVar[int]
    TICKET_FIELD_NUMBER: _ClassVar[int]
    USERID_FIELD_NUMBER: _ClassVar[int]
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    RIGHT_FIELD_NUMBER: _ClassVar[int]
    requestId: str
    ticket: bytes
    userId: int
    conversationId: str
    right: Right
    def __init__(self, requestId: _Optional[str] = ..., ticket: _Optional[bytes] = ..., userId: _Optional[int] = ..., conversationId: _Optional[str] = ..., right: _Optional[_Union[Right, str]] = ...) -> None: ...

class CheckAnswer(_message.Message):
    __slots__ = ("failure", "verdicts", "policyVersion")
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    VERDICTS_FIELD_NUMBER: _ClassVar[int]
    POLICYVERSION_FIELD_NUMBER: _ClassVar[int]
    failure: Failure
    verdicts: _containers.RepeatedCompositeFieldContainer[CheckVerdict]
    policyVersion: int
    def __init__(self, failure: _Optional[_Union[Failure, _Mapping]] = ..., verdicts: _Optional[_Iterable[_Union[CheckVerdict, _Mapping]]] = ..., policyVersion: _Optional[int] = ...) -> None: ...

class CheckVerdict(_message.Message):
    __slots__ = ("requestId", "allowed", "refusal", "version")
    REQUESTID_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    requestId: str
    allowed: bool
    refusal: Failure
    version: int
    def __init__(self, requestId: _Optional[str] = ..., allowed: _Optional[bool] = ..., refusal: _Optional[_Union[Failure, _Mapping]] = ..., version: _Optional[int] = ...) -> None: ...

class RestrictedQuery(_message.Message):
    __slots__ = ("after",)
    AFTER_FIELD_NUMBER: _ClassVar[int]
    after: str
    def __init__(self, after: _Optional[str] = ...) -> None: ...

class RestrictedAnswer(_message.Message):
    __slots__ = ("failure", "conversationIds", "userIds", "next", "timestamp")
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    CONVERSATIONIDS_FIELD_NUMBER: _ClassVar[int]
    USERIDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    failure: Failure
    conversationIds: _containers.RepeatedScalarFieldContainer[str]
    userIds: _containers.RepeatedScalarFieldContainer[int]
    next: str
    timestamp: int
    def __init__(self, failure: _Optional[_Union[Failure, _Mapping]] = ..., conversationIds: _Optional[_Iterable[str]] = ..., userIds: _Optional[_Iterable[int]] = ..., next: _Optional[str] = ..., timestamp: _Optional[int] = ...) -> None: ...

class DirectQuery(_message.Message):
    __slots__ = ("userId", "peerUserId", "ticket")
    USERID_FIELD_NUMBER: _ClassVar[int]
    PEERUSERID_FIELD_NUMBER: _ClassVar[int]
    TICKET_FIELD_NUMBER: _ClassVar[int]
    userId: int
    peerUserId: int
    ticket: bytes
    def __init__(self, userId: _Optional[int] = ..., peerUserId: _Optional[int] = ..., ticket: _Optional[bytes] = ...) -> None: ...

class DirectAnswer(_message.Message):
    __slots__ = ("failure", "conversationId")
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    failure: Failure
    conversationId: str
    def __init__(self, failure: _Optional[_Union[Failure, _Mapping]] = ..., conversationId: _Optional[str] = ...) -> None: ...

class ConversationsQuery(_message.Message):
    __slots__ = ("userId", "after", "ticket")
    USERID_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    TICKET_FIELD_NUMBER: _ClassVar[int]
    userId: int
    after: str
    ticket: bytes
    def __init__(self, userId: _Optional[int] = ..., after: _Optional[str] = ..., ticket: _Optional[bytes] = ...) -> None: ...

class ConversationEntry(_message.Message):
    __slots__ = ("conversationId", "kind", "peerUserId", "title", "memberCount", "visibleFrom")
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PEERUSERID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    MEMBERCOUNT_FIELD_NUMBER: _ClassVar[int]
    VISIBLEFROM_FIELD_NUMBER: _ClassVar[int]
    conversationId: str
    kind: _sync_pb2.ConversationKind
    peerUserId: int
    title: str
    memberCount: int
    visibleFrom: int
    def __init__(self, conversationId: _Optional[str] = ..., kind: _Optional[_Union[_sync_pb2.ConversationKind, str]] = ..., peerUserId: _Optional[int] = ..., title: _Optional[str] = ..., memberCount: _Optional[int] = ..., visibleFrom: _Optional[int] = ...) -> None: ...

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
    __slots__ = ("userId", "targetIds", "ticket")
    USERID_FIELD_NUMBER: _ClassVar[int]
    TARGETIDS_FIELD_NUMBER: _ClassVar[int]
    TICKET_FIELD_NUMBER: _ClassVar[int]
    userId: int
    targetIds: _containers.RepeatedScalarFieldContainer[int]
    ticket: bytes
    def __init__(self, userId: _Optional[int] = ..., targetIds: _Optional[_Iterable[int]] = ..., ticket: _Optional[bytes] = ...) -> None: ...

class VisibleAnswer(_message.Message):
    __slots__ = ("failure", "visibleIds")
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    VISIBLEIDS_FIELD_NUMBER: _ClassVar[int]
    failure: Failure
    visibleIds: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, failure: _Optional[_Union[Failure, _Mapping]] = ..., visibleIds: _Optional[_Iterable[int]] = ...) -> None: ...

class Invalidation(_message.Message):
    __slots__ = ("conversationId", "revoked", "changed", "sight", "version", "timestamp", "removedIds", "reason", "restrictedIds")
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    SIGHT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    REMOVEDIDS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RESTRICTEDIDS_FIELD_NUMBER: _ClassVar[int]
    conversationId: str
    revoked: RevokedSessions
    changed: ChangedConversations
    sight: ChangedSight
    version: int
    timestamp: int
    removedIds: _containers.RepeatedScalarFieldContainer[int]
    reason: str
    restrictedIds: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, conversationId: _Optional[str] = ..., revoked: _Optional[_Union[RevokedSessions, _Mapping]] = ..., changed: _Optional[_Union[ChangedConversations, _Mapping]] = ..., sight: _Optional[_Union[ChangedSight, _Mapping]] = ..., version: _Optional[int] = ..., timestamp: _Optional[int] = ..., removedIds: _Optional[_Iterable[int]] = ..., reason: _Optional[str] = ..., restrictedIds: _Optional[_Iterable[int]] = ...) -> None: ...

class ChangedConversations(_message.Message):
    __slots__ = ("conversationIds", "versions", "restrictedIds")
    CONVERSATIONIDS_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    RESTRICTEDIDS_FIELD_NUMBER: _ClassVar[int]
    conversationIds: _containers.RepeatedScalarFieldContainer[str]
    versions: _containers.RepeatedScalarFieldContainer[int]
    restrictedIds: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, conversationIds: _Optional[_Iterable[str]] = ..., versions: _Optional[_Iterable[int]] = ..., restrictedIds: _Optional[_Iterable[int]] = ...) -> None: ...

class ChangedSight(_message.Message):
    __slots__ = ("userId", "peerIds")
    USERID_FIELD_NUMBER: _ClassVar[int]
    PEERIDS_FIELD_NUMBER: _ClassVar[int]
    userId: int
    peerIds: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, userId: _Optional[int] = ..., peerIds: _Optional[_Iterable[int]] = ...) -> None: ...

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
    __slots__ = ("conversationId", "clientMsgId", "notice", "version", "revokes", "approved")
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    CLIENTMSGID_FIELD_NUMBER: _ClassVar[int]
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REVOKES_FIELD_NUMBER: _ClassVar[int]
    APPROVED_FIELD_NUMBER: _ClassVar[int]
    conversationId: str
    clientMsgId: str
    notice: _message_pb2.SystemNotice
    version: int
    revokes: Revocation
    approved: HeldMessage
    def __init__(self, conversationId: _Optional[str] = ..., clientMsgId: _Optional[str] = ..., notice: _Optional[_Union[_message_pb2.SystemNotice, _Mapping]] = ..., version: _Optional[int] = ..., revokes: _Optional[_Union[Revocation, _Mapping]] = ..., approved: _Optional[_Union[HeldMessage, _Mapping]] = ...) -> None: ...

class Revocation(_message.Message):
    __slots__ = ("seq", "senderId", "clientMsgId", "reason", "peerUserId")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    SENDERID_FIELD_NUMBER: _ClassVar[int]
    CLIENTMSGID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PEERUSERID_FIELD_NUMBER: _ClassVar[int]
    seq: int
    senderId: int
    clientMsgId: str
    reason: str
    peerUserId: int
    def __init__(self, seq: _Optional[int] = ..., senderId: _Optional[int] = ..., clientMsgId: _Optional[str] = ..., reason: _Optional[str] = ..., peerUserId: _Optional[int] = ...) -> None: ...

class HeldMessage(_message.Message):
    __slots__ = ("senderId", "deviceId", "request", "reason", "ticket", "contentHash")
    SENDERID_FIELD_NUMBER: _ClassVar[int]
    DEVICEID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TICKET_FIELD_NUMBER: _ClassVar[int]
    CONTENTHASH_FIELD_NUMBER: _ClassVar[int]
    senderId: int
    deviceId: str
    request: bytes
    reason: str
    ticket: bytes
    contentHash: bytes
    def __init__(self, senderId: _Optional[int] = ..., deviceId: _Optional[str] = ..., request: _Optional[bytes] = ..., reason: _Optional[str] = ..., ticket: _Optional[bytes] = ..., contentHash: _Optional[bytes] = ...) -> None: ...

class HoldAnswer(_message.Message):
    __slots__ = ("failure", "reviewId", "status")
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    REVIEWID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    failure: Failure
    reviewId: int
    status: _message_pb2.MessageStatus
    def __init__(self, failure: _Optional[_Union[Failure, _Mapping]] = ..., reviewId: _Optional[int] = ..., status: _Optional[_Union[_message_pb2.MessageStatus, str]] = ...) -> None: ...

class HeldQuery(_message.Message):
    __slots__ = ("conversationId", "senderId", "clientMsgIds", "ticket")
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    SENDERID_FIELD_NUMBER: _ClassVar[int]
    CLIENTMSGIDS_FIELD_NUMBER: _ClassVar[int]
    TICKET_FIELD_NUMBER: _ClassVar[int]
    conversationId: str
    senderId: int
    clientMsgIds: _containers.RepeatedScalarFieldContainer[str]
    ticket: bytes
    def __init__(self, conversationId: _Optional[str] = ..., senderId: _Optional[int] = ..., clientMsgIds: _Optional[_Iterable[str]] = ..., ticket: _Optional[bytes] = ...) -> None: ...

class HeldAnswer(_message.Message):
    __slots__ = ("failure", "statuses")
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    failure: Failure
    statuses: _containers.RepeatedScalarFieldContainer[_message_pb2.MessageStatus]
    def __init__(self, failure: _Optional[_Union[Failure, _Mapping]] = ..., statuses: _Optional[_Iterable[_Union[_message_pb2.MessageStatus, str]]] = ...) -> None: ...

class Decided(_message.Message):
    __slots__ = ("senderId", "ack")
    SENDERID_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    senderId: int
    ack: _delivery_pb2.Ack
    def __init__(self, senderId: _Optional[int] = ..., ack: _Optional[_Union[_delivery_pb2.Ack, _Mapping]] = ...) -> None: ...

class HistoryQuery(_message.Message):
    __slots__ = ("conversationId",)
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    conversationId: str
    def __init__(self, conversationId: _Optional[str] = ...) -> None: ...

class HistoryAnswer(_message.Message):
    __slots__ = ("failure", "lastSeq")
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    LASTSEQ_FIELD_NUMBER: _ClassVar[int]
    failure: Failure
    lastSeq: int
    def __init__(self, failure: _Optional[_Union[Failure, _Mapping]] = ..., lastSeq: _Optional[int] = ...) -> None: ...

class StoredMessages(_message.Message):
    __slots__ = ("messages",)
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, messages: _Optional[_Iterable[bytes]] = ...) -> None: ...

class AuditEvent(_message.Message):
    __slots__ = ("eventId", "timestamp", "node", "requestId", "actorId", "subjectId", "conversationId", "action", "decision", "reason", "policyVersion", "level", "detail", "seq", "serverMsgId", "right")
    EVENTID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    REQUESTID_FIELD_NUMBER: _ClassVar[int]
    ACTORID_FIELD_NUMBER: _ClassVar[int]
    SUBJECTID_FIELD_NUMBER: _ClassVar[int]
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    POLICYVERSION_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    SERVERMSGID_FIELD_NUMBER: _ClassVar[int]
    RIGHT_FIELD_NUMBER: _ClassVar[int]
    eventId: str
    timestamp: int
    node: str
    requestId: str
    actorId: int
    subjectId: int
    conversationId: str
    action: str
    decision: str
    reason: str
    policyVersion: int
    level: int
    detail: str
    seq: int
    serverMsgId: int
    right: Right
    def __init__(self, eventId: _Optional[str] = ..., timestamp: _Optional[int] = ..., node: _Optional[str] = ..., requestId: _Optional[str] = ..., actorId: _Optional[int] = ..., subjectId: _Optional[int] = ..., conversationId: _Optional[str] = ..., action: _Optional[str] = ..., decision: _Optional[str] = ..., reason: _Optional[str] = ..., policyVersion: _Optional[int] = ..., level: _Optional[int] = ..., detail: _Optional[str] = ..., seq: _Optional[int] = ..., serverMsgId: _Optional[int] = ..., right: _Optional[_Union[Right, str]] = ...) -> None: ...

class AuditEvents(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[AuditEvent]
    def __init__(self, events: _Optional[_Iterable[_Union[AuditEvent, _Mapping]]] = ...) -> None: ...

class SystemAppended(_message.Message):
    __slots__ = ("failure", "seq", "serverMsgId", "serverTime")
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    SERVERMSGID_FIELD_NUMBER: _ClassVar[int]
    SERVERTIME_FIELD_NUMBER: _ClassVar[int]
    failure: Failure
    seq: int
    serverMsgId: int
    serverTime: int
    def __init__(self, failure: _Optional[_Union[Failure, _Mapping]] = ..., seq: _Optional[int] = ..., serverMsgId: _Optional[int] = ..., serverTime: _Optional[int] = ...) -> None: ...

class ForwardedSend(_message.Message):
    __slots__ = ("forwardId", "conversationId", "senderId", "clientMsgId", "body", "contentHash", "serverMsgId", "serverTime", "isMedia", "peerUserId", "revokesSeq", "revokedBody", "deviceId", "mayBeStored", "version", "ticket", "right", "level", "traceparent")
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
    TICKET_FIELD_NUMBER: _ClassVar[int]
    RIGHT_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
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
    ticket: bytes
    right: Right
    level: int
    traceparent: str
    def __init__(self, forwardId: _Optional[int] = ..., conversationId: _Optional[str] = ..., senderId: _Optional[int] = ..., clientMsgId: _Optional[str] = ..., body: _Optional[bytes] = ..., contentHash: _Optional[bytes] = ..., serverMsgId: _Optional[int] = ..., serverTime: _Optional[int] = ..., isMedia: _Optional[bool] = ..., peerUserId: _Optional[int] = ..., revokesSeq: _Optional[int] = ..., revokedBody: _Optional[bytes] = ..., deviceId: _Optional[str] = ..., mayBeStored: _Optional[bool] = ..., version: _Optional[int] = ..., ticket: _Optional[bytes] = ..., right: _Optional[_Union[Right, str]] = ..., level: _Optional[int] = ..., traceparent: _Optional[str] = ...) -> None: ...

class ForwardedSends(_message.Message):
    __slots__ = ("nodeId", "sends", "asked")
    NODEID_FIELD_NUMBER: _ClassVar[int]
    SENDS_FIELD_NUMBER: _ClassVar[int]
    ASKED_FIELD_NUMBER: _ClassVar[int]
    nodeId: int
    sends: _containers.RepeatedCompositeFieldContainer[ForwardedSend]
    asked: _containers.RepeatedCompositeFieldContainer[AskedSend]
    def __init__(self, nodeId: _Optional[int] = ..., sends: _Optional[_Iterable[_Union[ForwardedSend, _Mapping]]] = ..., asked: _Optional[_Iterable[_Union[AskedSend, _Mapping]]] = ...) -> None: ...

class AskedSend(_message.Message):
    __slots__ = ("conversationId", "senderId", "clientMsgId")
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    SENDERID_FIELD_NUMBER: _ClassVar[int]
    CLIENTMSGID_FIELD_NUMBER: _ClassVar[int]
    conversationId: str
    senderId: int
    clientMsgId: str
    def __init__(self, conversationId: _Optional[str] = ..., senderId: _Optional[int] = ..., clientMsgId: _Optional[str] = ...) -> None: ...

class ForwardedTaken(_message.Message):
    __slots__ = ("failure", "outcomes", "waitingIds", "held")
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    WAITINGIDS_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    failure: Failure
    outcomes: _containers.RepeatedCompositeFieldContainer[SendOutcome]
    waitingIds: _containers.RepeatedScalarFieldContainer[int]
    held: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, failure: _Optional[_Union[Failure, _Mapping]] = ..., outcomes: _Optional[_Iterable[_Union[SendOutcome, _Mapping]]] = ..., waitingIds: _Optional[_Iterable[int]] = ..., held: _Optional[_Iterable[bool]] = ...) -> None: ...

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
    __slots__ = ("seq", "senderId", "body", "exceptDeviceId", "revokesSeq", "revokedBody", "traceparent")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    SENDERID_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    EXCEPTDEVICEID_FIELD_NUMBER: _ClassVar[int]
    REVOKESSEQ_FIELD_NUMBER: _ClassVar[int]
    REVOKEDBODY_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    seq: int
    senderId: int
    body: bytes
    exceptDeviceId: str
    revokesSeq: int
    revokedBody: bytes
    traceparent: str
    def __init__(self, seq: _Optional[int] = ..., senderId: _Optional[int] = ..., body: _Optional[bytes] = ..., exceptDeviceId: _Optional[str] = ..., revokesSeq: _Optional[int] = ..., revokedBody: _Optional[bytes] = ..., traceparent: _Optional[str] = ...) -> None: ...

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
    __slots__ = ("nodeId", "incarnation", "ready", "left", "shards", "saidAt")
    NODEID_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    SAIDAT_FIELD_NUMBER: _ClassVar[int]
    nodeId: int
    incarnation: str
    ready: bool
    left: bool
    shards: bool
    saidAt: int
    def __init__(self, nodeId: _Optional[int] = ..., incarnation: _Optional[str] = ..., ready: _Optional[bool] = ..., left: _Optional[bool] = ..., shards: _Optional[bool] = ..., saidAt: _Optional[int] = ...) -> None: ...

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
    __slots__ = ("version", "document", "timestamp", "gray")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    GRAY_FIELD_NUMBER: _ClassVar[int]
    version: int
    document: str
    timestamp: int
    gray: GrayRelease
    def __init__(self, version: _Optional[int] = ..., document: _Optional[str] = ..., timestamp: _Optional[int] = ..., gray: _Optional[_Union[GrayRelease, _Mapping]] = ...) -> None: ...

class GrayRelease(_message.Message):
    __slots__ = ("id", "document", "percent", "userIds", "zones", "clientVersions")
    ID_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    USERIDS_FIELD_NUMBER: _ClassVar[int]
    ZONES_FIELD_NUMBER: _ClassVar[int]
    CLIENTVERSIONS_FIELD_NUMBER: _ClassVar[int]
    id: int
    document: str
    percent: float
    userIds: _containers.RepeatedScalarFieldContainer[int]
    zones: _containers.RepeatedScalarFieldContainer[str]
    clientVersions: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[int] = ..., document: _Optional[str] = ..., percent: _Optional[float] = ..., userIds: _Optional[_Iterable[int]] = ..., zones: _Optional[_Iterable[str]] = ..., clientVersions: _Optional[_Iterable[str]] = ...) -> None: ...

class SettingsReport(_message.Message):
    __slots__ = ("node", "zone", "version", "appliedAt", "refusedVersion", "reasons", "notKept", "grayId", "grayUsers", "leaving")
    NODE_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    APPLIEDAT_FIELD_NUMBER: _ClassVar[int]
    REFUSEDVERSION_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    NOTKEPT_FIELD_NUMBER: _ClassVar[int]
    GRAYID_FIELD_NUMBER: _ClassVar[int]
    GRAYUSERS_FIELD_NUMBER: _ClassVar[int]
    LEAVING_FIELD_NUMBER: _ClassVar[int]
    node: str
    zone: str
    version: int
    appliedAt: int
    refusedVersion: int
    reasons: _containers.RepeatedScalarFieldContainer[str]
    notKept: str
    grayId: int
    grayUsers: int
    leaving: bool
    def __init__(self, node: _Optional[str] = ..., zone: _Optional[str] = ..., version: _Optional[int] = ..., appliedAt: _Optional[int] = ..., refusedVersion: _Optional[int] = ..., reasons: _Optional[_Iterable[str]] = ..., notKept: _Optional[str] = ..., grayId: _Optional[int] = ..., grayUsers: _Optional[int] = ..., leaving: _Optional[bool] = ...) -> None: ...

class OperatorCheck(_message.Message):
    __slots__ = ("tokenHash",)
    TOKENHASH_FIELD_NUMBER: _ClassVar[int]
    tokenHash: bytes
    def __init__(self, tokenHash: _Optional[bytes] = ...) -> None: ...

class OperatorVerdict(_message.Message):
    __slots__ = ("failure", "operatorId", "name", "role")
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    OPERATORID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    failure: Failure
    operatorId: int
    name: str
    role: str
    def __init__(self, failure: _Optional[_Union[Failure, _Mapping]] = ..., operatorId: _Optional[int] = ..., name: _Optional[str] = ..., role: _Optional[str] = ...) -> None: ...

class OperatorRevoked(_message.Message):
    __slots__ = ("operatorId",)
    OPERATORID_FIELD_NUMBER: _ClassVar[int]
    operatorId: int
    def __init__(self, operatorId: _Optional[int] = ...) -> None: ...
