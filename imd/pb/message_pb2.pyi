from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MessageType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MESSAGE_TYPE_UNSPECIFIED: _ClassVar[MessageType]
    TEXT: _ClassVar[MessageType]
    IMAGE: _ClassVar[MessageType]
    AUDIO: _ClassVar[MessageType]
    VIDEO: _ClassVar[MessageType]
    FILE: _ClassVar[MessageType]
    SYSTEM: _ClassVar[MessageType]
    CUSTOM: _ClassVar[MessageType]
    RECALL: _ClassVar[MessageType]

class MessageStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MESSAGE_STATUS_UNSPECIFIED: _ClassVar[MessageStatus]
    SENDING: _ClassVar[MessageStatus]
    ACCEPTED: _ClassVar[MessageStatus]
    STORED: _ClassVar[MessageStatus]
    DELIVERED: _ClassVar[MessageStatus]
    READ: _ClassVar[MessageStatus]
    REVOKED: _ClassVar[MessageStatus]
    FAILED: _ClassVar[MessageStatus]
    DELAYED: _ClassVar[MessageStatus]
MESSAGE_TYPE_UNSPECIFIED: MessageType
TEXT: MessageType
IMAGE: MessageType
AUDIO: MessageType
VIDEO: MessageType
FILE: MessageType
SYSTEM: MessageType
CUSTOM: MessageType
RECALL: MessageType
MESSAGE_STATUS_UNSPECIFIED: MessageStatus
SENDING: MessageStatus
ACCEPTED: MessageStatus
STORED: MessageStatus
DELIVERED: MessageStatus
READ: MessageStatus
REVOKED: MessageStatus
FAILED: MessageStatus
DELAYED: MessageStatus

class MediaRef(_message.Message):
    __slots__ = ("mediaId", "url", "size", "md5", "mime", "duration", "width", "height", "thumbnailUrl")
    MEDIAID_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    MD5_FIELD_NUMBER: _ClassVar[int]
    MIME_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    THUMBNAILURL_FIELD_NUMBER: _ClassVar[int]
    mediaId: str
    url: str
    size: int
    md5: str
    mime: str
    duration: int
    width: int
    height: int
    thumbnailUrl: str
    def __init__(self, mediaId: _Optional[str] = ..., url: _Optional[str] = ..., size: _Optional[int] = ..., md5: _Optional[str] = ..., mime: _Optional[str] = ..., duration: _Optional[int] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., thumbnailUrl: _Optional[str] = ...) -> None: ...

class SendMessageReq(_message.Message):
    __slots__ = ("conversationId", "clientMsgId", "type", "textContent", "mediaRef", "binaryContent", "meta", "peerUserId")
    class MetaEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    CLIENTMSGID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TEXTCONTENT_FIELD_NUMBER: _ClassVar[int]
    MEDIAREF_FIELD_NUMBER: _ClassVar[int]
    BINARYCONTENT_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    PEERUSERID_FIELD_NUMBER: _ClassVar[int]
    conversationId: str
    clientMsgId: str
    type: MessageType
    textContent: str
    mediaRef: MediaRef
    binaryContent: bytes
    meta: _containers.ScalarMap[str, str]
    peerUserId: int
    def __init__(self, conversationId: _Optional[str] = ..., clientMsgId: _Optional[str] = ..., type: _Optional[_Union[MessageType, str]] = ..., textContent: _Optional[str] = ..., mediaRef: _Optional[_Union[MediaRef, _Mapping]] = ..., binaryContent: _Optional[bytes] = ..., meta: _Optional[_Mapping[str, str]] = ..., peerUserId: _Optional[int] = ...) -> None: ...

class RecallNotice(_message.Message):
    __slots__ = ("seq", "serverMsgId", "reason")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    SERVERMSGID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    seq: int
    serverMsgId: int
    reason: str
    def __init__(self, seq: _Optional[int] = ..., serverMsgId: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class SystemNotice(_message.Message):
    __slots__ = ("event", "actorId", "subjectIds", "text", "subjectCount", "until")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    ACTORID_FIELD_NUMBER: _ClassVar[int]
    SUBJECTIDS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SUBJECTCOUNT_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    event: str
    actorId: int
    subjectIds: _containers.RepeatedScalarFieldContainer[int]
    text: str
    subjectCount: int
    until: int
    def __init__(self, event: _Optional[str] = ..., actorId: _Optional[int] = ..., subjectIds: _Optional[_Iterable[int]] = ..., text: _Optional[str] = ..., subjectCount: _Optional[int] = ..., until: _Optional[int] = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("conversationId", "seq", "serverMsgId", "clientMsgId", "senderId", "senderDeviceId", "type", "textContent", "mediaRef", "binaryContent", "recall", "system", "meta", "serverTime", "status")
    class MetaEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CONVERSATIONID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    SERVERMSGID_FIELD_NUMBER: _ClassVar[int]
    CLIENTMSGID_FIELD_NUMBER: _ClassVar[int]
    SENDERID_FIELD_NUMBER: _ClassVar[int]
    SENDERDEVICEID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TEXTCONTENT_FIELD_NUMBER: _ClassVar[int]
    MEDIAREF_FIELD_NUMBER: _ClassVar[int]
    BINARYCONTENT_FIELD_NUMBER: _ClassVar[int]
    RECALL_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    SERVERTIME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    conversationId: str
    seq: int
    serverMsgId: int
    clientMsgId: str
    senderId: int
    senderDeviceId: str
    type: MessageType
    textContent: str
    mediaRef: MediaRef
    binaryContent: bytes
    recall: RecallNotice
    system: SystemNotice
    meta: _containers.ScalarMap[str, str]
    serverTime: int
    status: MessageStatus
    def __init__(self, conversationId: _Optional[str] = ..., seq: _Optional[int] = ..., serverMsgId: _Optional[int] = ..., clientMsgId: _Optional[str] = ..., senderId: _Optional[int] = ..., senderDeviceId: _Optional[str] = ..., type: _Optional[_Union[MessageType, str]] = ..., textContent: _Optional[str] = ..., mediaRef: _Optional[_Union[MediaRef, _Mapping]] = ..., binaryContent: _Optional[bytes] = ..., recall: _Optional[_Union[RecallNotice, _Mapping]] = ..., system: _Optional[_Union[SystemNotice, _Mapping]] = ..., meta: _Optional[_Mapping[str, str]] = ..., serverTime: _Optional[int] = ..., status: _Optional[_Union[MessageStatus, str]] = ...) -> None: ...
