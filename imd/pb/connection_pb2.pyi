from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ErrorCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OK: _ClassVar[ErrorCode]
    AUTH_FAILED: _ClassVar[ErrorCode]
    FORBIDDEN: _ClassVar[ErrorCode]
    RATE_LIMITED: _ClassVar[ErrorCode]
    PAYLOAD_INVALID: _ClassVar[ErrorCode]
    MEDIA_REQUIRED: _ClassVar[ErrorCode]
    IDEMPOTENT_CONFLICT: _ClassVar[ErrorCode]
    SERVER_BUSY: _ClassVar[ErrorCode]
    INTERNAL_ERROR: _ClassVar[ErrorCode]

class AckMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACK_ALL: _ClassVar[AckMode]
    ACK_FINAL_ONLY: _ClassVar[AckMode]
OK: ErrorCode
AUTH_FAILED: ErrorCode
FORBIDDEN: ErrorCode
RATE_LIMITED: ErrorCode
PAYLOAD_INVALID: ErrorCode
MEDIA_REQUIRED: ErrorCode
IDEMPOTENT_CONFLICT: ErrorCode
SERVER_BUSY: ErrorCode
INTERNAL_ERROR: ErrorCode
ACK_ALL: AckMode
ACK_FINAL_ONLY: AckMode

class ConversationCursor(_message.Message):
    __slots__ = ("conversationId", "lastSeq")
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    LASTSEQ_FIELD_NUMBER: _ClassVar[int]
    conversationId: str
    lastSeq: int
    def __init__(self, conversationId: _Optional[str] = ..., lastSeq: _Optional[int] = ...) -> None: ...

class Connect(_message.Message):
    __slots__ = ("token", "deviceId", "platform", "clientVersion", "cursors", "acks")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    DEVICEID_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    CLIENTVERSION_FIELD_NUMBER: _ClassVar[int]
    CURSORS_FIELD_NUMBER: _ClassVar[int]
    ACKS_FIELD_NUMBER: _ClassVar[int]
    token: str
    deviceId: str
    platform: str
    clientVersion: str
    cursors: _containers.RepeatedCompositeFieldContainer[ConversationCursor]
    acks: AckMode
    def __init__(self, token: _Optional[str] = ..., deviceId: _Optional[str] = ..., platform: _Optional[str] = ..., clientVersion: _Optional[str] = ..., cursors: _Optional[_Iterable[_Union[ConversationCursor, _Mapping]]] = ..., acks: _Optional[_Union[AckMode, str]] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("textBytes", "binaryBytes", "envelopeBytes", "historyPage", "syncPage", "presenceUsers")
    TEXTBYTES_FIELD_NUMBER: _ClassVar[int]
    BINARYBYTES_FIELD_NUMBER: _ClassVar[int]
    ENVELOPEBYTES_FIELD_NUMBER: _ClassVar[int]
    HISTORYPAGE_FIELD_NUMBER: _ClassVar[int]
    SYNCPAGE_FIELD_NUMBER: _ClassVar[int]
    PRESENCEUSERS_FIELD_NUMBER: _ClassVar[int]
    textBytes: int
    binaryBytes: int
    envelopeBytes: int
    historyPage: int
    syncPage: int
    presenceUsers: int
    def __init__(self, textBytes: _Optional[int] = ..., binaryBytes: _Optional[int] = ..., envelopeBytes: _Optional[int] = ..., historyPage: _Optional[int] = ..., syncPage: _Optional[int] = ..., presenceUsers: _Optional[int] = ...) -> None: ...

class Connected(_message.Message):
    __slots__ = ("userId", "deviceId", "sessionId", "serverId", "epoch", "serverTime", "heartbeatIntervalS", "idleTimeoutS", "tokenExpiresAt", "limits")
    USERID_FIELD_NUMBER: _ClassVar[int]
    DEVICEID_FIELD_NUMBER: _ClassVar[int]
    SESSIONID_FIELD_NUMBER: _ClassVar[int]
    SERVERID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SERVERTIME_FIELD_NUMBER: _ClassVar[int]
    HEARTBEATINTERVALS_FIELD_NUMBER: _ClassVar[int]
    IDLETIMEOUTS_FIELD_NUMBER: _ClassVar[int]
    TOKENEXPIRESAT_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    userId: int
    deviceId: str
    sessionId: str
    serverId: str
    epoch: str
    serverTime: int
    heartbeatIntervalS: int
    idleTimeoutS: int
    tokenExpiresAt: int
    limits: Limits
    def __init__(self, userId: _Optional[int] = ..., deviceId: _Optional[str] = ..., sessionId: _Optional[str] = ..., serverId: _Optional[str] = ..., epoch: _Optional[str] = ..., serverTime: _Optional[int] = ..., heartbeatIntervalS: _Optional[int] = ..., idleTimeoutS: _Optional[int] = ..., tokenExpiresAt: _Optional[int] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("sentAt", "deliveredCount", "degraded")
    SENTAT_FIELD_NUMBER: _ClassVar[int]
    DELIVEREDCOUNT_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    sentAt: int
    deliveredCount: int
    degraded: bool
    def __init__(self, sentAt: _Optional[int] = ..., deliveredCount: _Optional[int] = ..., degraded: _Optional[bool] = ...) -> None: ...

class RefreshToken(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    def __init__(self, token: _Optional[str] = ...) -> None: ...

class TokenRefreshed(_message.Message):
    __slots__ = ("tokenExpiresAt",)
    TOKENEXPIRESAT_FIELD_NUMBER: _ClassVar[int]
    tokenExpiresAt: int
    def __init__(self, tokenExpiresAt: _Optional[int] = ...) -> None: ...

class Reconnect(_message.Message):
    __slots__ = ("reason", "spreadMs", "deadlineMs")
    REASON_FIELD_NUMBER: _ClassVar[int]
    SPREADMS_FIELD_NUMBER: _ClassVar[int]
    DEADLINEMS_FIELD_NUMBER: _ClassVar[int]
    reason: str
    spreadMs: int
    deadlineMs: int
    def __init__(self, reason: _Optional[str] = ..., spreadMs: _Optional[int] = ..., deadlineMs: _Optional[int] = ...) -> None: ...

class Kicked(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ("code", "message", "retryable", "retryAfterMs", "closing", "field", "reason")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    RETRYAFTERMS_FIELD_NUMBER: _ClassVar[int]
    CLOSING_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    code: ErrorCode
    message: str
    retryable: bool
    retryAfterMs: int
    closing: bool
    field: str
    reason: str
    def __init__(self, code: _Optional[_Union[ErrorCode, str]] = ..., message: _Optional[str] = ..., retryable: _Optional[bool] = ..., retryAfterMs: _Optional[int] = ..., closing: _Optional[bool] = ..., field: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...
